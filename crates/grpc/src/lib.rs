//! gRPC without generated code: calls by their path, a function as a service, and a certificate that signs itself.

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod caller;
mod certificate;
mod reason;
mod unary;

pub use caller::{Caller, Failure};
pub use certificate::SelfSigned;
pub use reason::{innermost, tls_reason};
pub use unary::unary;
