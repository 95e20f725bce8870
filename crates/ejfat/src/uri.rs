//! The addresses of EJFAT: `ejfat[s]://[token@]host:port/lb/ID?sync=IP:PORT&data=IP:PORT`.
//!
//! Two programs read and print them, each in its own way. What both understand is understood here; what they would
//! understand differently is rejected.

mod data;
mod text;

pub use data::DataAddress;

use std::{fmt, net::SocketAddr};

/// Where a control plane and its load balancer are, and the token for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    /// Whether calls to the control plane are encrypted.
    pub tls: bool,
    /// What the caller may do. Never printed by `Debug` or `Display`.
    pub token: Option<String>,
    /// Host of the control plane, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The reservation.
    pub lb_id: Option<String>,
    /// The registered receiver.
    pub session_id: Option<String>,
    /// Where synchronization packets go: at most one address of each family.
    pub sync: Vec<SocketAddr>,
    /// Where data goes: at most one address of each family.
    pub data: Vec<DataAddress>,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme, or none.
    #[error("the address does not begin with ejfat:// or ejfats://; write ejfat://TOKEN@HOST:PORT")]
    Scheme,
    /// No host, or no port.
    #[error("`{0}` is not a valid control plane; write HOST:PORT, or [ADDRESS]:PORT for IPv6")]
    Host(String),
    /// A parameter that has another form.
    #[error("`{0}` is not a valid parameter; write {1}")]
    Parameter(String, &'static str),
    /// Two addresses of one family: E2SAR takes the last, ESnet's control plane the first.
    #[error("the address has `{0}=` twice for one family of addresses, which programs read differently; keep one")]
    Twice(&'static str),
}

impl Uri {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`UriError`], which never repeats the token.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        text::parse(text)
    }

    /// The address with its token, for a file or an environment variable that only its user can read.
    pub fn with_token(&self) -> String {
        text::print(self, self.token.as_deref())
    }

    /// The address of the control plane as `HOST:PORT`.
    pub fn control(&self) -> String {
        text::authority(self)
    }
}

/// Without the token.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::print(self, None))
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({self})")
    }
}

impl std::str::FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
