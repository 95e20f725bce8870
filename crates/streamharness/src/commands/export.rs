//! `streamharness export`: all runs of a sweep in one file, for your own analysis.

use crate::{
    files::whole,
    terminal::exit::{Exit, Failure},
};
use clap::Args;
use figures::{Failed, Measured};
use std::{fs, io, path::PathBuf};

/// The options of an export.
#[derive(Debug, Clone, Args)]
pub struct ExportArguments {
    /// Directories that runs or sweeps wrote; records are found at any depth.
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// The HDF5 file to write.
    #[arg(long, value_name = "FILE")]
    hdf5: PathBuf,
}

/// Writes the file. It includes failed runs, marked as failed.
pub fn export(arguments: &ExportArguments) -> Result<Exit, Failure> {
    let loaded = figures::load(&arguments.dirs, Failed::Use).map_err(|error| Failure::new(Exit::Usage, error))?;
    let measured = Measured::of(loaded.runs);
    let bytes = export_hdf5::export(&measured).map_err(|error| Failure::new(Exit::Usage, error))?;
    let runs = measured.runs.len();
    // A file is replaced; a device or a pipe would be replaced, too.
    if let Some(other) =
        fs::symlink_metadata(&arguments.hdf5).ok().filter(|there| !there.is_file() && !there.is_symlink())
    {
        let what = if other.is_dir() { "a directory" } else { "no file, but a device, pipe or socket" };
        let sentence = format!("`{}` is {what}: give another file with --hdf5", arguments.hdf5.display());
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let sound = |written: &_| export_hdf5::check(written, runs).map_err(io::Error::other);
    whole::write_checked(&arguments.hdf5, &bytes, sound).map_err(|error| {
        let file = arguments.hdf5.display();
        Failure::new(Exit::Usage, format!("`{file}` cannot be written: {error}; give another file with --hdf5"))
    })?;
    crate::terminal::stderr::say(format_args!("{} runs in {}", runs, arguments.hdf5.display()));
    Ok(Exit::Pass)
}
