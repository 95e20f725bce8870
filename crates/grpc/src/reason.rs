//! The reason inside an error: tonic's outer ones say only "transport error".

use std::{error::Error, io};

/// The innermost reason.
pub fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// What TLS says, if it is TLS that failed; `innermost` is the innermost reason.
pub fn tls_reason<'a>(innermost: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let io = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    io.and_then(|inner| inner.downcast_ref()).or_else(|| innermost.downcast_ref())
}
