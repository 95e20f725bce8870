//! Wrong certificates, URLs and passwords, each reported with its cause.

use crate::support::{Launch, place, service, single, slow};
use std::{
    ffi::OsStr,
    fs,
    net::{TcpListener, TcpStream},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(60);
const USAGE: i32 = 1;
const ROUTE: i32 = 3;

#[track_caller]
fn openssl(dir: &Path, words: &[&str]) {
    let output = Command::new("openssl").args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {words:?}: {output:?}");
}

/// A process that ends with the value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn to_service(more: &[&str]) -> Launch {
    let url = service().url();
    single(&[&["--messages", "100", "--url", &url], more].concat())
        .variable("STREAMHARNESS_PASSWORD_FILE", service().password_file())
}

#[test]
fn certificate_files_are_read_as_openssl_reads_them_or_rejected_with_the_conversion() {
    if !slow() {
        return;
    }
    let place = place();
    let dir = place.path();
    let path = |name: &str| dir.join(name).display().to_string();
    let own = rcgen::generate_simple_self_signed(["bench".to_owned()]).unwrap();
    fs::write(dir.join("own.pem"), own.cert.pem()).unwrap();
    fs::write(dir.join("own.key"), own.signing_key.serialize_pem()).unwrap();
    fs::write(dir.join("own.der"), own.cert.der()).unwrap();
    fs::write(dir.join("own.key.der"), own.signing_key.serialize_der()).unwrap();
    let around = |text: &[u8]| [b"\xef\xbb\xbf# Beh\xf6rde\r\n", text, b"# Schl\xfcssel\n"].concat();
    fs::write(dir.join("noted.pem"), around(&fs::read(service().ca()).unwrap())).unwrap();
    fs::write(dir.join("noted.own.pem"), around(own.cert.pem().as_bytes())).unwrap();
    fs::write(dir.join("noted.own.key"), around(own.signing_key.serialize_pem().as_bytes())).unwrap();

    let noted = ["--ca", &path("noted.pem"), "--cert", &path("noted.own.pem"), "--key", &path("noted.own.key")];
    to_service(&noted).run(LIMIT).passes();
    for (flags, flag, remedy) in [
        (["--ca", &path("own.der"), "--seed", "1", "--seed", "1"], "--ca", "openssl x509 -inform DER"),
        (["--ca", &service().ca(), "--cert", &path("own.der"), "--key", &path("own.key")], "--cert", "openssl x509"),
        (["--ca", &service().ca(), "--cert", &path("own.pem"), "--key", &path("own.key.der")], "--key", "openssl pkey"),
    ] {
        let flags = if flag == "--ca" { &flags[..2] } else { &flags };
        to_service(flags).run(LIMIT).fails(ROUTE, &[&format!("of {flag} is DER"), remedy]);
    }
}

#[test]
fn a_service_that_requires_a_certificate_is_reported_as_such_when_tls_1_3_refuses_late() {
    if !slow() {
        return;
    }
    let place = place();
    let dir = place.path();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["req", "-x509", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"];
    openssl(dir, &[&authority[..], &key].concat());
    openssl(
        dir,
        &[&["req", "-new", "-subj", "/CN=localhost", "-keyout", "own.key", "-out", "own.csr"][..], &key].concat(),
    );
    fs::write(dir.join("own.ext"), "subjectAltName=DNS:localhost\n").unwrap();
    let sign = ["x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
    openssl(dir, &[&sign[..], &["-extfile", "own.ext", "-out", "own.pem"]].concat());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-quiet", "-tls1_3", "-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"]);
    server.args(["-cert", "own.pem", "-key", "own.key", "-accept", &format!("127.0.0.1:{port}")]);
    let server = server.current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Ends(server.spawn().unwrap());
    let listens = (0..1500).any(|_| {
        thread::sleep(Duration::from_millis(20));
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(listens, "openssl s_server does not listen");

    let (url, ca) = (format!("amqps://bench:x@localhost:{port}"), dir.join("ca.pem").display().to_string());
    let outcome = single(&["--messages", "100", "--url", &url, "--ca", &ca]).run(LIMIT);
    let sentence = "requires a certificate of this client: give one with --cert FILE and --key FILE";
    outcome.fails(ROUTE, &["streamharness: ", sentence]);
    outcome.leaves_a_failed_record(ROUTE as u8, sentence);
}

#[test]
fn wrong_urls_and_passwords_are_rejected_with_the_right_form_and_never_shown() {
    if !slow() {
        return;
    }
    let encode = "write %2f, %3f or %23 for them in a password";
    for (url, part) in [
        ("amqps://bench:12/hunter2@localhost", encode),
        ("amqps://bench:hunter2?x@localhost:5671/v", encode),
        ("amqps://bench:hunter2#x@localhost", encode),
        ("amqps://bench:hunter2@h1:5671,h2:5671", "give one --url for each"),
        ("amqps://bench:hunter2@::1", "write it as amqps://user@[::1]:5671"),
    ] {
        let outcome = single(&["--messages", "100", "--url", url]).run(LIMIT);
        outcome.fails(USAGE, &["streamharness: ", part]);
        assert!(!(outcome.stdout + &outcome.stderr).contains("hunter2"), "{url}");
    }

    let place = place();
    let file = place.path().join("password");
    fs::write(&file, format!("\u{feff}{}\r\n", service().password())).unwrap();
    let (url, ca) = (service().url(), service().ca());
    let launch = || single(&["--messages", "100", "--url", &url, "--ca", &ca]);
    let with_file = || launch().variable("STREAMHARNESS_PASSWORD_FILE", &file);
    with_file().variable("STREAMHARNESS_PASSWORD", "").run(LIMIT).passes();
    let odd = OsStr::from_bytes(b"hunter2\xff");
    let outcome = with_file().variable("STREAMHARNESS_PASSWORD", odd).run(LIMIT);
    outcome.fails(ROUTE, &["the password in STREAMHARNESS_PASSWORD is not UTF-8", "STREAMHARNESS_PASSWORD_FILE"]);
    fs::write(&file, "hunter2\u{fc}".chars().map(|letter| letter as u8).collect::<Vec<_>>()).unwrap();
    with_file().run(LIMIT).fails(ROUTE, &["the password file `", "is not UTF-8", "iconv"]);
    fs::write(&file, "\n").unwrap();
    with_file().run(LIMIT).fails(ROUTE, &["the password file `", "is empty"]);
}
