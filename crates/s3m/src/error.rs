//! Errors, each sentence ending in what to do. None contains a token or a password.

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call to the S3M interface failed.
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
        /// Its message.
        message: String,
    },
    /// There was no reply, or it was cut off.
    #[error("the S3M service at {url} cannot be reached: {reason}; check the address")]
    Unreachable {
        /// The base of its URL.
        url: String,
        /// The system's reason.
        reason: String,
    },
    /// A request that cannot be sent.
    #[error(
        "the S3M address, its prefix or the token contains characters that HTTP does not allow: check them for blanks and line ends"
    )]
    Malformed,
    /// The TLS handshake failed.
    #[error(
        "the S3M service at {url} cannot be trusted ({reason}): give its authorities with --ca FILE (route.s3m.ca)"
    )]
    Untrusted {
        /// The base of its URL.
        url: String,
        /// The problem of its certificate.
        reason: String,
    },
    /// No authority to trust.
    #[error(
        "the file of the S3M service's authorities holds no certificate: give it PEM (-----BEGIN CERTIFICATE-----)"
    )]
    Authorities,
    /// The peer has no such call.
    #[error("{url} is not the API of the S3M service ({reason}): check the address and the prefix")]
    NoApi {
        /// Base and prefix.
        url: String,
        /// Its message.
        reason: String,
    },
    /// The reply does not match the API.
    #[error("the reply of the S3M service is not valid ({0}): check the address and the prefix")]
    Reply(String),
    /// Not healthy before the deadline.
    #[error(
        "the cluster `{name}` was not healthy after {limit_s} s: give it longer, or look at `streamharness s3m get {name}`"
    )]
    Late {
        /// The cluster.
        name: String,
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// The system has no room for the service.
    #[error("the S3M service cannot start: {0}")]
    Short(String),
    /// The service cannot serve.
    #[error("the S3M service cannot {action}: {reason}; check its options")]
    Serve {
        /// The failed action, as a verb.
        action: &'static str,
        /// The reason.
        reason: String,
    },
}

impl Error {
    /// Whether a requested cluster may exist in spite of this error.
    pub fn may_exist(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Reply(_) | Self::Failed { .. })
    }
}
