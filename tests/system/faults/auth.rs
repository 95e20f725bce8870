//! Logins other than by password: client certificates and bearer tokens that expire.
