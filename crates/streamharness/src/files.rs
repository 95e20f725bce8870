//! Files that are read and written with care.

pub mod pem_file;
pub mod replayed;
pub mod small_file;
pub mod whole;
