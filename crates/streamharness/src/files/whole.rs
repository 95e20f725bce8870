//! Writes result files: a file is complete under its name or absent, and links are not followed.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Component, Path},
};
use tempfile::NamedTempFile;

/// Suffix of temporary files, which a killed process may leave.
pub const PARTIAL: &str = ".partial";
/// Free bytes that a run needs: more than its files take with 64 ranks.
const ROOM: usize = 512 << 10;

/// Writes `bytes` to `path`, replacing any existing file.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_checked(path, bytes, |_| Ok(()))
}

/// The same, if `check` accepts the written file; it gets the temporary name.
pub fn write_checked(path: &Path, bytes: &[u8], check: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Err(ErrorKind::IsADirectory.into()) };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = written(dir, &name.to_string_lossy(), bytes)?;
    check(file.path())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Checks that a directory has room for results, so that a full disk or a quota is reported before a run.
pub fn probe(dir: &Path) -> io::Result<()> {
    written(dir, "probe", &vec![0xA5; ROOM]).map(drop)
}

/// A new file under a random name; it is deleted with the value.
fn written(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let named = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(PARTIAL)
        // The umask applies, as to every file.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir);
    // Its error would contain the random name.
    let mut file = named.map_err(|error| io::Error::from(error.kind()))?;
    file.as_file_mut().write_all(bytes)?;
    // Some file systems report a full disk only now.
    file.as_file().sync_all()?;
    Ok(file)
}

/// Creates `dir`, which is `top` or below it. Everything below `top` must be directories, not links.
pub fn make_dir(top: &Path, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(top)?;
    let mut made = top.to_owned();
    for part in dir.strip_prefix(top).unwrap_or(Path::new("")).components() {
        let Component::Normal(part) = part else { return Err(ErrorKind::InvalidInput.into()) };
        made.push(part);
        match DirBuilder::new().create(&made) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            new => new?,
        }
        if !fs::symlink_metadata(&made)?.is_dir() {
            let sentence = format!("`{}` is a link or a file where a directory is to be", made.display());
            return Err(io::Error::new(ErrorKind::NotADirectory, sentence));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_stays() {
        let place = tempfile::tempdir().unwrap();
        let (theirs, ours) = (place.path().join("theirs"), place.path().join("ours"));
        fs::write(&theirs, "precious").unwrap();
        symlink(&theirs, &ours).unwrap();
        write(&ours, b"new").unwrap();
        assert_eq!(fs::read(&theirs).unwrap(), b"precious");
        assert_eq!((fs::read(&ours).unwrap(), ours.is_symlink()), (b"new".to_vec(), false));
    }

    #[test]
    fn what_is_not_sound_gets_no_name_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, "old").unwrap();
        let error = write_checked(&path, b"new", |written| {
            assert_eq!(fs::read(written).unwrap(), b"new");
            Err(io::Error::other("damaged"))
        });
        assert_eq!(error.unwrap_err().to_string(), "damaged");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        probe(place.path()).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn directories_are_made_below_the_top_and_links_there_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let (top, elsewhere) = (place.path().join("top"), place.path().join("elsewhere"));
        make_dir(&top, &top.join("a/b")).unwrap();
        make_dir(&top, &top.join("a/b")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, top.join("run-001")).unwrap();
        let error = make_dir(&top, &top.join("run-001")).unwrap_err().to_string();
        assert!(error.contains("run-001` is a link"), "{error}");
    }
}
