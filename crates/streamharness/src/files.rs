//! Files that are read and written with care.

pub mod pem_file;
pub mod small_file;
pub mod whole;
