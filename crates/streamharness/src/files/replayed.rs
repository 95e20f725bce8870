//! Profiles whose workload is files: the files are found when the profile is read, before anything starts.

use figures::input;
use payload::survey;
use profile::{FilesProfile, Format, Found, Layer, Profile, ProfileError, combine};
use std::sync::{Mutex, PoisonError};

/// The profile of these layers. Reads files.
pub fn combined(layers: &[Layer]) -> Result<Profile, ProfileError> {
    let mut profile = combine(layers, |path| input::profile(path))?;
    let message = &mut profile.message;
    if message.format == Some(Format::Files) && message.files.paths.as_ref().is_some_and(|paths| !paths.is_empty()) {
        message.files.found = Some(find(&message.files)?);
    }
    Ok(profile)
}

/// Finds files and their messages. The points of a sweep replay the same ones, which are read only for the first.
pub fn find(files: &FilesProfile) -> Result<Found, ProfileError> {
    static LAST: Mutex<Option<(FilesProfile, Found)>> = Mutex::new(None);
    let files = FilesProfile { found: None, ..files.clone() };
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, found)) = last.as_ref().filter(|(same, _)| *same == files) {
        return Ok(found.clone());
    }
    let found = survey::find(&files).map_err(|error| ProfileError::Impossible(error.0))?;
    Ok(last.insert((files, found)).1.clone())
}
