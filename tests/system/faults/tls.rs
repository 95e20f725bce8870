//! TLS handshakes, certificates and addresses that do not fit.
