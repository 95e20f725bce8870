//! HDF5 files in memory: the calls of libhdf5 that its safe bindings lack.
//!
//! All use the driver that holds a file in memory and never touches a disk. It identifies files by name within a
//! process, so each open image has a name of its own.
//!
//! ```
//! let file = hdf5_image::create()?;
//! file.new_dataset_builder().with_data(&[1u16, 2, 3]).create("numbers")?;
//! let bytes = hdf5_image::bytes(&file)?;
//! let mut numbers: Vec<u16> = Vec::new();
//! hdf5_image::Image::open(&bytes)?.read("numbers", &[3], &mut numbers).unwrap();
//! assert_eq!(numbers, [1, 2, 3]);
//! # Ok::<(), hdf5::Error>(())
//! ```

#![expect(unsafe_code, reason = "hdf5 binds the file images of libhdf5 in its raw layer only")]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod collection;
mod stack;

pub use collection::Collection;
pub use stack::Stack;

use hdf5::{
    Datatype, File, FileBuilder, H5Type, Result,
    file::{FileAccess, FileCloseDegree},
    from_id, h5check,
    sync::sync,
};
use hdf5_sys::{
    h5::H5set_free_list_limits,
    h5d::H5Dread,
    h5f::{H5F_ACC_RDONLY, H5Fget_file_image, H5Fopen},
    h5fd::{H5FD_file_image_callbacks_t, H5FD_file_image_op_t},
    h5p::{H5P_DEFAULT, H5Pset_file_image, H5Pset_file_image_callbacks},
    h5s::H5S_ALL,
};
use std::{
    ffi::{CString, c_int, c_void},
    marker::PhantomData,
    ptr::null_mut,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A new file in memory, in the earliest format: it has no checksums, which a changed pixel or time would break, and it
/// is the only one whose image libhdf5 1.10 reads correctly.
///
/// # Errors
///
/// The library's, if it has no memory for the file.
pub fn create() -> Result<File> {
    FileBuilder::new().with_fapl(|access| access.core_filebacked(false).libver_earliest()).create(name())
}

/// The bytes of a file.
///
/// # Errors
///
/// The library's, if it cannot finish the file.
pub fn bytes(file: &File) -> Result<Vec<u8>> {
    file.flush()?;
    sync(|| {
        // SAFETY: without a buffer the call only returns the size.
        let size = h5check(unsafe { H5Fget_file_image(file.id(), null_mut(), 0) })?;
        let mut bytes = vec![0u8; size as usize];
        // SAFETY: the buffer has the given length, and outlives the call, which keeps no pointer to it.
        h5check(unsafe { H5Fget_file_image(file.id(), bytes.as_mut_ptr().cast(), bytes.len()) })?;
        Ok(bytes)
    })
}

/// Bytes, opened as a file for reading. They are not copied, which halves the time to read 1 MiB.
#[derive(Debug)]
pub struct Image<'bytes> {
    /// Private, because a copy of it could outlive the bytes.
    file: File,
    _bytes: PhantomData<&'bytes [u8]>,
}

impl<'bytes> Image<'bytes> {
    /// Opens bytes that may be anything.
    ///
    /// # Errors
    ///
    /// The library's, if they are not an HDF5 file.
    pub fn open(bytes: &'bytes [u8]) -> Result<Self> {
        let name = CString::new(name()).expect("it is made of letters and digits");
        let image = bytes.as_ptr().cast_mut().cast();
        let mut callbacks = borrow(image);
        sync(|| {
            let access = access()?.id();
            // SAFETY: libhdf5 copies the callbacks, and they fulfil its contract for an image that the caller owns. The
            // list has no image at this point, which is a condition of the call.
            h5check(unsafe { H5Pset_file_image_callbacks(access, &raw mut callbacks) })?;
            // SAFETY: the bytes outlive the file. libhdf5 reads them only: the file is open for reading.
            h5check(unsafe { H5Pset_file_image(access, image, bytes.len()) })?;
            // SAFETY: the name ends in a zero and outlives the call; the property list is alive.
            let id = h5check(unsafe { H5Fopen(name.as_ptr(), H5F_ACC_RDONLY, access) });
            // SAFETY: the list forgets the bytes, which it must not outlive; freeing them does nothing.
            h5check(unsafe { H5Pset_file_image(access, null_mut(), 0) })?;
            // SAFETY: the identifier belongs to a file, and this is its only owner.
            Ok(Self { file: unsafe { from_id(id?) }?, _bytes: PhantomData })
        })
    }

    /// Reads a dataset of this type and these extents into `values`, whose memory is used again.
    ///
    /// # Errors
    ///
    /// Otherwise, with its actual type and extents.
    pub fn read<T: H5Type + Copy + Default>(
        &self,
        path: &str,
        shape: &[usize],
        values: &mut Vec<T>,
    ) -> Result<(), String> {
        let dataset = self.file.dataset(path).map_err(|error| format!("no dataset `{path}`: {error}"))?;
        let failed = |error: hdf5::Error| format!("dataset `{path}` cannot be read: {error}");
        let (stored, wanted) = (dataset.dtype().map_err(failed)?, Datatype::from_type::<T>().map_err(failed)?);
        if stored != wanted {
            let found = stored.to_descriptor().map_err(failed)?;
            return Err(format!("dataset `{path}` is of another type: {found}"));
        }
        if dataset.shape() != shape {
            return Err(format!("dataset `{path}` should be {shape:?} and is {:?}", dataset.shape()));
        }
        values.resize(shape.iter().product(), T::default());
        let to = values.as_mut_ptr().cast();
        // The safe binding makes a property list, asks for the type again and searches for a conversion, for each dataset.
        // SAFETY: the dataset has this type and as many elements as the buffer, which outlives the call.
        let read = sync(|| h5check(unsafe { H5Dread(dataset.id(), wanted.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, to) }));
        read.map_err(failed).map(drop)
    }
}

/// The property list with which all images are opened; libhdf5's lock must be held. It is made once, because a new one for
/// each file costs a tenth of the inspection of 1 MiB.
fn access() -> Result<&'static FileAccess> {
    static ACCESS: OnceLock<FileAccess> = OnceLock::new();
    if let Some(access) = ACCESS.get() {
        return Ok(access);
    }
    keep_freed_memory()?;
    let access = FileAccess::build()
        .core_filebacked(false)
        // All objects opened in the file are closed with it, while the bytes still exist.
        .fclose_degree(FileCloseDegree::Strong)
        // The file is in memory: a chunk that is cached is copied twice, through fresh memory.
        .chunk_cache(0, 0, 1.0)
        .sieve_buf_size(0)
        .finish()?;
    Ok(ACCESS.get_or_init(|| access))
}

/// Lets libhdf5 keep the memory that it frees. Each open file has a cache of metadata of 0.5 MiB, whatever is configured;
/// by default it is returned to the allocator and from there to the kernel, and comes back as fresh pages.
fn keep_freed_memory() -> Result<()> {
    const LIST: c_int = 1 << 20;
    const ALL: c_int = 4 << 20;
    // SAFETY: the call sets limits and nothing else; they hold for lists of objects, of arrays and of blocks.
    h5check(unsafe { H5set_free_list_limits(ALL, LIST, ALL, LIST, ALL, LIST) }).map(drop)
}

/// Callbacks with which libhdf5 uses an image in place: allocation returns the image, copying does nothing because the
/// data are there, and freeing does nothing because the image is not libhdf5's.
fn borrow(image: *mut c_void) -> H5FD_file_image_callbacks_t {
    extern "C" fn allocate(_: usize, _: H5FD_file_image_op_t, image: *mut c_void) -> *mut c_void {
        image
    }
    extern "C" fn copy(
        to: *mut c_void,
        _: *const c_void,
        _: usize,
        _: H5FD_file_image_op_t,
        _: *mut c_void,
    ) -> *mut c_void {
        to
    }
    extern "C" fn grow(_: *mut c_void, _: usize, _: H5FD_file_image_op_t, _: *mut c_void) -> *mut c_void {
        null_mut()
    }
    extern "C" fn free(_: *mut c_void, _: H5FD_file_image_op_t, _: *mut c_void) -> c_int {
        0
    }
    extern "C" fn share(image: *mut c_void) -> *mut c_void {
        image
    }
    extern "C" fn leave(_: *mut c_void) -> c_int {
        0
    }
    H5FD_file_image_callbacks_t {
        image_malloc: Some(allocate),
        image_memcpy: Some(copy),
        image_realloc: Some(grow),
        image_free: Some(free),
        udata_copy: Some(share),
        udata_free: Some(leave),
        udata: image,
    }
}

fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("streamharness-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_survives_its_bytes_and_no_bytes_at_all_are_no_file() {
        let file = create().unwrap();
        file.new_dataset_builder().with_data(&[1u16, 2, 3]).create("numbers").unwrap();
        let image = bytes(&file).unwrap();
        drop(file);
        // Two of one name would be one file to libhdf5.
        let (one, other) = (Image::open(&image).unwrap(), Image::open(&image).unwrap());
        for image in [one, other] {
            let mut numbers = vec![7u16; 5];
            image.read("numbers", &[3], &mut numbers).unwrap();
            assert_eq!(numbers, [1, 2, 3], "whatever the buffer held");
            assert!(image.read("numbers", &[4], &mut numbers).unwrap_err().contains("should be [4] and is [3]"));
            assert!(
                image.read("numbers", &[3], &mut Vec::<u32>::new()).unwrap_err().contains("of another type: uint16")
            );
            assert!(image.read("letters", &[3], &mut numbers).unwrap_err().contains("no dataset `letters`"));
        }
        for damaged in [&[][..], &image[..100], &[0; 4096]] {
            assert!(Image::open(damaged).is_err());
        }
    }
}
