//! Where arrived messages are written, to be looked at. A run that writes them is no measurement.

use crate::{
    error::{ProfileError, impossible},
    files::words,
    values::{unknown, written_as_text},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where arrived messages are written, as written in a profile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkProfile {
    /// A directory. Unset: nothing is written.
    pub dir: Option<String>,
    /// `files`: one for each message; `hdf5`: one file for each rank [default: files].
    pub form: Option<SinkForm>,
}

/// In what arrived messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkForm {
    /// One file for each message.
    Files,
    /// One HDF5 file for each rank.
    Hdf5,
}

written_as_text!(SinkForm);
words! {
    SinkForm, "a form of the sink": Files "files", Hdf5 "hdf5";
}

/// Where arrived messages are written, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// A directory.
    pub dir: String,
    /// In what.
    pub form: SinkForm,
}

impl Sink {
    pub(crate) fn resolve(written: &SinkProfile) -> Result<Option<Self>, ProfileError> {
        let form = written.form.unwrap_or(SinkForm::Files);
        match (&written.dir, written.form) {
            (Some(dir), _) => Ok(Some(Self { dir: dir.clone(), form })),
            (None, None) => Ok(None),
            (None, Some(_)) => {
                impossible("sink.form says how arrived messages are written, but not where: add --sink DIR")
            }
        }
    }
}
