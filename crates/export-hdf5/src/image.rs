//! An HDF5 file in memory: the call of libhdf5 that its safe bindings lack.

#![expect(unsafe_code, reason = "hdf5 binds the file images of libhdf5 in its raw layer only")]

use hdf5::{File, FileBuilder, Result, h5check, sync::sync};
use hdf5_sys::h5f::H5Fget_file_image;
use std::{
    ptr::null_mut,
    sync::atomic::{AtomicU64, Ordering},
};

/// The library identifies files by name, and opens no name twice.
static FILES: AtomicU64 = AtomicU64::new(0);

/// A new file that never touches a disk.
pub fn create() -> Result<File> {
    let name = format!("export-{}", FILES.fetch_add(1, Ordering::Relaxed));
    FileBuilder::new().with_fapl(|access| access.core_filebacked(false)).create(name)
}

/// The bytes of a file.
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
