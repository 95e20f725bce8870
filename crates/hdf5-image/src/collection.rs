//! One HDF5 file on disk that collects messages: bytes as datasets, HDF5 files as groups.

use crate::Image;
use hdf5::{File, plist::LinkCreate};
use std::path::Path;

/// A file that collects messages.
#[derive(Debug)]
pub struct Collection {
    file: File,
    links: LinkCreate,
}

impl Collection {
    /// A new file.
    ///
    /// # Errors
    ///
    /// The library's, if it cannot be created.
    pub fn create(path: &Path) -> hdf5::Result<Self> {
        let links = LinkCreate::build().create_intermediate_group(true).finish()?;
        Ok(Self { file: File::create(path)?, links })
    }

    /// Adds bytes as a dataset, in place of what has this path.
    ///
    /// # Errors
    ///
    /// The library's, if it cannot write.
    pub fn add_bytes(&self, path: &str, bytes: &[u8]) -> hdf5::Result<()> {
        self.make_room(path)?;
        let builder = self.file.new_dataset_builder().create_intermediate_group(true);
        builder.with_data(bytes).create(path).map(drop)
    }

    /// Adds an HDF5 file as a group, in place of what has this path; bytes that are no such file as a dataset.
    ///
    /// # Errors
    ///
    /// The library's, if it cannot write.
    pub fn add_file(&self, path: &str, bytes: &[u8]) -> hdf5::Result<()> {
        self.make_room(path)?;
        match Image::open(bytes) {
            Ok(image) => image.file.group("/")?.copy_to_with_props(&self.file, path, None, Some(&self.links)),
            Err(_) => self.add_bytes(path, bytes),
        }
    }

    /// A message that is delivered twice is there once.
    fn make_room(&self, path: &str) -> hdf5::Result<()> {
        let (group, name) = path.rsplit_once('/').unwrap_or(("/", path));
        match self.file.group(group) {
            Ok(group) if group.link_exists(name) => group.unlink(name),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_datasets_and_files_become_groups() {
        let dir = tempfile::tempdir().unwrap();
        let inner = crate::create().unwrap();
        let data = inner.new_dataset_builder().create_intermediate_group(true).with_data(&[1u16, 2, 3]);
        data.create("data/data").unwrap();
        let image = crate::bytes(&inner).unwrap();
        let collection = Collection::create(&dir.path().join("all.h5")).unwrap();
        for _ in 0..2 {
            collection.add_file("consumer-0/producer-1/00000007", &image).unwrap();
            collection.add_bytes("consumer-0/producer-1/00000008", b"plain").unwrap();
        }
        collection.add_file("consumer-0/producer-1/00000009", b"no HDF5").unwrap();
        drop(collection);
        let file = File::open(dir.path().join("all.h5")).unwrap();
        let read = |path: &str| file.dataset(path).unwrap();
        assert_eq!(read("consumer-0/producer-1/00000007/data/data").read_raw::<u16>().unwrap(), [1, 2, 3]);
        assert_eq!(read("consumer-0/producer-1/00000008").read_raw::<u8>().unwrap(), b"plain");
        assert_eq!(read("consumer-0/producer-1/00000009").read_raw::<u8>().unwrap(), b"no HDF5");
    }
}
