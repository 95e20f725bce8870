//! What can be wrong with a profile, each as one sentence that says what to do.

use crate::origin::Origin;

/// A profile that cannot become a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// One layer (a file, the command line) holds something that is not understood.
    #[error("{origin}: {message}")]
    Layer {
        /// Where it was written.
        origin: Origin,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A name that no shipped profile has and that is not a file.
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
    /// Every part is understood, but together they cannot be carried out.
    #[error("{0}")]
    Impossible(String),
}

impl ProfileError {
    /// Whether the mistake was typed on the command line, rather than written in a file or made
    /// of parts that do not fit together.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Layer { origin: Origin::CommandLine, .. } | Self::UnknownName { origin: Origin::CommandLine, .. }
        )
    }
}

/// Parts that are understood and cannot be carried out together.
pub(crate) fn impossible<T>(message: impl Into<String>) -> Result<T, ProfileError> {
    Err(ProfileError::Impossible(message.into()))
}

/// A layer that holds something which is not understood.
pub(crate) fn wrong(origin: &Origin, message: impl Into<String>) -> ProfileError {
    ProfileError::Layer { origin: origin.clone(), message: message.into() }
}
