//! Errors of a profile, each as one sentence that ends in what to do.

use crate::origin::Origin;

/// A profile that cannot become a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// One layer (a file, the command line) contains an error.
    #[error("{origin}: {message}")]
    Layer {
        /// Where it was written.
        origin: Origin,
        /// The error, and a correct form.
        message: String,
    },
    /// A name that is neither a shipped profile nor a file.
    #[error(
        "{origin}: no {kind} is called `{name}`{hint}; `streamharness profiles` lists them, or give the path of a TOML file"
    )]
    UnknownName {
        /// Where the name was written.
        origin: Origin,
        /// `architecture` or `workload`.
        kind: &'static str,
        /// The name as written.
        name: String,
        /// ` (did you mean `dstream`?)`, or nothing.
        hint: String,
    },
    /// A fault on a part or a queue that the run does not have. An experiment leaves such a cell out.
    #[error("{0}")]
    FaultElsewhere(String),
    /// Every part is valid, but they contradict each other.
    #[error("{0}")]
    Impossible(String),
}

impl ProfileError {
    /// Whether the error is on the command line, not in a file or in the combination of parts.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Layer { origin: Origin::CommandLine, .. } | Self::UnknownName { origin: Origin::CommandLine, .. }
        )
    }
}

/// An error for valid parts that contradict each other.
pub(crate) fn impossible<T>(message: impl Into<String>) -> Result<T, ProfileError> {
    Err(ProfileError::Impossible(message.into()))
}

/// An error in a layer.
pub(crate) fn wrong(origin: &Origin, message: impl Into<String>) -> ProfileError {
    ProfileError::Layer { origin: origin.clone(), message: message.into() }
}
