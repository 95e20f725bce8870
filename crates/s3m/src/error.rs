//! What can go wrong, each sentence ending in what to do. None holds a token or a password.

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the S3M interface did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is refused.
    #[error("the S3M service refuses the token ({0}): renew it, or check S3M_TOKEN or the token file")]
    Token(String),
    /// There is no such cluster.
    #[error("the S3M service has no such cluster ({0}): it may have expired or been deleted; provision it again")]
    Missing(String),
    /// The name belongs to another cluster.
    #[error(
        "the S3M service has that name already ({0}): choose another name, or delete it with `streamharness s3m delete`"
    )]
    Taken(String),
    /// The request itself is refused.
    #[error(
        "the S3M service refuses the request ({0}): check name, kind and settings against `streamharness s3m backends`"
    )]
    Refused(String),
    /// The service failed, after retries.
    #[error("the S3M service failed with status {status} ({message}): try again later")]
    Failed {
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// Nothing answered, or it was cut off.
    #[error("the S3M service at {url} cannot be reached: {reason}; check the address")]
    Unreachable {
        /// Its base.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// What cannot be sent.
    #[error(
        "the S3M address, its prefix or the token contains characters that HTTP does not allow: check them for blanks and line ends"
    )]
    Malformed,
    /// TLS cannot be agreed.
    #[error(
        "the S3M service at {url} cannot be trusted ({reason}): give its authorities with --ca FILE (route.s3m.ca)"
    )]
    Untrusted {
        /// Its base.
        url: String,
        /// What is wrong with its certificate.
        reason: String,
    },
    /// No authority to trust.
    #[error(
        "the file of the S3M service's authorities holds no certificate: give it PEM (-----BEGIN CERTIFICATE-----)"
    )]
    Authorities,
    /// What answers has no such call.
    #[error("{url} is not the API of the S3M service ({reason}): check the address and the prefix")]
    NoApi {
        /// Base and prefix.
        url: String,
        /// What it said.
        reason: String,
    },
    /// The reply is not what the API says.
    #[error("the reply of the S3M service is not valid ({0}): check the address and the prefix")]
    Answer(String),
    /// Not healthy before the deadline.
    #[error(
        "the cluster `{name}` was not healthy after {limit_s} s: give it longer, or look at `streamharness s3m get {name}`"
    )]
    Late {
        /// The cluster.
        name: String,
        /// How long was waited, in seconds.
        limit_s: u64,
    },
    /// The system has no room for the service.
    #[error("the S3M service cannot start: {0}")]
    Short(String),
    /// The service cannot serve.
    #[error("the S3M service cannot {action}: {reason}; check its options")]
    Serve {
        /// What was tried, as a verb.
        action: &'static str,
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// Whether a cluster that was asked for may be there in spite of this error.
    pub fn may_exist(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Answer(_) | Self::Failed { .. })
    }
}
