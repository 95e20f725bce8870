//! Why something cannot be predicted.

use thiserror::Error;

/// Why something cannot be predicted. Each is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// A testbed's description is wrong.
    #[error("testbed {name}: {message}")]
    Testbed {
        /// The testbed.
        name: String,
        /// What is wrong, and what to write.
        message: String,
    },
    /// A hypothesis is wrong.
    #[error("hypothesis {name}: {message}")]
    Hypothesis {
        /// The hypothesis.
        name: String,
        /// What is wrong, and what to write.
        message: String,
    },
    /// The testbed lacks something that the plan needs.
    #[error(
        "the testbed {testbed} has no route `{route}`: use an architecture of {known}, or describe the route under [routes]"
    )]
    NoRoute {
        /// The testbed.
        testbed: String,
        /// The route.
        route: String,
        /// Those that it has.
        known: String,
    },
    /// The model does not know something that the plan has.
    #[error("the model does not know {what}: {instead}")]
    Unknown {
        /// What the plan has.
        what: String,
        /// What to do instead.
        instead: String,
    },
}
