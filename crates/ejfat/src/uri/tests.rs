//! Addresses of both programs, and those that they would read differently.

use super::*;

#[test]
fn the_addresses_of_both_programs_are_read() {
    let e2sar = Uri::parse("ejfats://tok@en@cp.example:18008/36?sync=10.0.0.1:19531&data=10.0.0.2&data=[2001:db8::1]");
    let e2sar = e2sar.unwrap();
    assert_eq!((e2sar.tls, e2sar.token.as_deref()), (true, Some("tok@en")));
    assert_eq!((e2sar.control().as_str(), e2sar.lb_id.as_deref()), ("cp.example:18008", Some("36")));
    assert_eq!(e2sar.sync, ["10.0.0.1:19531".parse().unwrap()]);
    assert!(e2sar.data.len() == 2 && e2sar.data.iter().all(|data| data.ports == (19_522..=19_522)));
    let esnet = "ejfat://t@[2001:db8::2]:18008/lb/7?sync=10.0.0.1:19531&data=10.0.0.2:16384-32767&sessionid=9";
    let esnet = Uri::parse(esnet).unwrap();
    assert_eq!((esnet.lb_id.as_deref(), esnet.session_id.as_deref()), (Some("7"), Some("9")));
    assert_eq!(esnet.data[0].ports, 16_384..=32_767);
    assert_eq!(esnet.control(), "[2001:db8::2]:18008");
}

#[test]
fn what_is_printed_reads_the_same_except_for_the_token() {
    for text in [
        "ejfat://cp.example:18008/",
        "ejfats://secret@10.0.0.9:18008/lb/7?sync=10.0.0.1:19531&data=10.0.0.2:16384-32767",
        "ejfat://secret@[2001:db8::2]:18008/lb/7?sync=[2001:db8::1]:19531&data=[2001:db8::3]:19522&sessionid=4",
    ] {
        let uri = Uri::parse(text).unwrap();
        assert_eq!(uri.with_token(), text);
        assert_eq!(Uri::parse(&uri.to_string()).unwrap(), Uri { token: None, ..uri.clone() });
        assert!(!format!("{uri} {uri:?}").contains("secret"));
    }
}

#[test]
fn a_path_that_names_no_reservation_has_none() {
    for path in ["", "/", "/lb", "/lb/", "?", "/?"] {
        assert_eq!(Uri::parse(&format!("ejfat://t@h:1{path}")).unwrap().lb_id, None, "{path}");
    }
}

#[test]
fn what_programs_read_differently_is_rejected() {
    for (parameters, name) in [("sync=10.0.0.1:1&sync=10.0.0.2:1", "sync"), ("data=10.0.0.1&data=10.0.0.2:5", "data")] {
        let error = Uri::parse(&format!("ejfat://t@h:1/lb/1?{parameters}")).unwrap_err();
        assert_eq!(error, UriError::Twice(name));
    }
}

#[test]
fn a_wrong_address_is_explained_without_its_token() {
    for text in [
        "http://secret@h:1/",
        "ejfat://secret@h/lb/1",
        "ejfat://secret@h:0/",
        "ejfat://secret@:5/",
        "ejfat://secret@2001:db8::1:5/",
        "ejfat://secret@h:1/?sync=10.0.0.1",
        "ejfat://secret@h:1/?data=10.0.0.1:7-5",
        "ejfat://secret@h:1/?data=[10.0.0.1]",
        "ejfat://secret@h:1/?data=2001:db8::1",
        "ejfat://secret@h:1/?dta=10.0.0.1",
        "ejfat://secret@h:1/?sessionid=",
    ] {
        let error = Uri::parse(text).unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("; "), "{text}: {error}");
    }
}
