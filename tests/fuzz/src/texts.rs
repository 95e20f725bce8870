//! Any text where a short one is typed or comes over the wire: addresses, assertions, values.

use measure::Assertion;
use scistream::{Reached, Uid};
use transport_amqp::{ConnectTo, Endpoint};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(endpoint) = Endpoint::parse(text) {
        let shown = endpoint.to_string();
        let again = Endpoint::parse(&shown).unwrap_or_else(|error| panic!("`{shown}` was shown: {error}"));
        assert_eq!(Endpoint { password: None, ..again }, Endpoint { password: None, ..endpoint });
    }
    let _ = ConnectTo::parse(text);
    let _ = Assertion::parse(text);
    let _ = Reached::new(None, Some(text));
    let _ = Reached::default().at(text);
    if let Ok(uid) = Uid::parse(text) {
        assert!(Uid::parse(&uid.hyphenated()).is_ok_and(|again| again == uid));
    }
    let _ = text.parse::<scistream::Kind>();
}
