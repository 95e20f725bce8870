//! Random bytes, and files that only one user can read.

use crate::{Result, identity::Identity};
use shortage::FileContext;
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// `bytes` random bytes as hexadecimal text. Hexadecimal because `#` would start a comment in rabbitmq.conf.
pub fn random_hex(bytes: usize) -> Result<String> {
    let path = Path::new("/dev/urandom");
    let mut buffer = vec![0; bytes];
    File::open(path).and_then(|mut file| file.read_exact(&mut buffer)).on("read", path)?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub fn random_number() -> Result<u64> {
    Ok(u64::from_str_radix(&random_hex(8)?, 16).expect("eight bytes are sixteen hexadecimal digits"))
}

/// Writes a new file with `mode`, never readable by more than that even for a moment.
pub fn write(path: &Path, text: &str, mode: u32, owner: Option<&Identity>) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).on("write", path)?;
    owner.map_or(Ok(()), |owner| owner.own(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_file_is_for_its_owner_only_and_no_two_secrets_are_alike() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write(&path, "x", 0o600, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(random_hex(16).unwrap().len(), 32);
        assert_ne!(random_hex(16).unwrap(), random_hex(16).unwrap());
    }
}
