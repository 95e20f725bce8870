//! SciStream control servers and their proxies.
