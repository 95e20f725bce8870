//! Logins other than by password: a client's certificate, and a token that expires and is renewed while a run goes on.

use crate::support::{Broker, Launch, Outcome, Turn, mpirun, place, service, single, slow};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const USAGE: i32 = 1;
const ROUTE: i32 = 3;

/// A broker that takes certificates and tokens besides passwords, and what signs them.
struct Facility {
    broker: Broker,
    place: TempDir,
}

#[track_caller]
fn openssl(dir: &Path, words: &[&str]) {
    let output = Command::new("openssl").args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {words:?}: {output:?}");
}

impl Facility {
    fn start() -> Self {
        let place = place();
        let dir = place.path();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = ["req", "-x509", "-subj", "/CN=users", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"];
        openssl(dir, &[&authority[..], &key].concat());
        for user in ["bench", "stranger"] {
            let file = |ending: &str| format!("{user}.{ending}");
            let (key_file, request, pem, subject) = (file("key"), file("csr"), file("pem"), format!("/CN={user}"));
            openssl(
                dir,
                &[&["req", "-new", "-subj", &subject, "-keyout", &key_file, "-out", &request][..], &key].concat(),
            );
            // Without extensions: openssl 3.0 makes version 1 of these, which a client may well have.
            let sign = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
            openssl(dir, &[&sign[..], &["-out", &pem, "-days", "2"]].concat());
        }
        openssl(dir, &["genrsa", "-out", "sign.key", "2048"]);
        openssl(dir, &["rsa", "-in", "sign.key", "-pubout", "-out", "sign.pem"]);
        let shown = dir.display();
        let lines = format!(
            "ssl_options.cacertfile = {shown}/ca.pem\n\
             ssl_options.verify = verify_peer\n\
             ssl_cert_login_from = common_name\n\
             auth_mechanisms.1 = EXTERNAL\n\
             auth_mechanisms.2 = PLAIN\n\
             auth_backends.1 = internal\n\
             auth_backends.2 = rabbit_auth_backend_oauth2\n\
             auth_oauth2.resource_server_id = rabbitmq\n\
             auth_oauth2.default_key = local\n\
             auth_oauth2.signing_keys.local = {shown}/sign.pem\n\
             auth_oauth2.algorithms.1 = RS256\n"
        );
        let broker = Broker::with_extras(&["rabbitmq_auth_mechanism_ssl", "rabbitmq_auth_backend_oauth2"], &lines);
        // How soon an open channel notices that a token has expired; a minute, unless told otherwise.
        broker.control(&["eval", "application:set_env(rabbit, channel_tick_interval, 500)."]);
        Self { broker, place }
    }

    fn file(&self, name: &str) -> String {
        self.place.path().join(name).display().to_string()
    }

    /// `amqps://localhost:PORT`, without a user.
    fn url(&self) -> String {
        self.broker.url().replace("bench@", "")
    }

    /// A new token in a file of this name.
    fn token(&self, name: &str, lasts: Duration) -> Token {
        let token = Token { path: self.place.path().join(name), written: Vec::new() };
        token.renewed(self, lasts)
    }

    fn sign(&self, lasts: Duration, filler: &str) -> String {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + lasts;
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT","kid":"local"}"#);
        let claims = serde_json::json!({
            "sub": "carol", "aud": ["rabbitmq"], "exp": expires.as_secs(), "filler": filler,
            "scope": ["rabbitmq.read:*/*", "rabbitmq.write:*/*", "rabbitmq.configure:*/*", "rabbitmq.tag:monitoring"],
        });
        let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
        let dir = self.place.path();
        fs::write(dir.join("signed"), &signed).unwrap();
        openssl(dir, &["dgst", "-sha256", "-sign", "sign.key", "-out", "signature", "signed"]);
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(fs::read(dir.join("signature")).unwrap()))
    }
}

/// The file of a token, and all that was ever in it.
struct Token {
    path: PathBuf,
    written: Vec<String>,
}

impl Token {
    fn renewed(mut self, facility: &Facility, lasts: Duration) -> Self {
        let text = facility.sign(lasts, "");
        fs::write(&self.path, format!("{text}\n")).unwrap();
        self.written.push(text);
        self
    }

    fn file(&self) -> String {
        self.path.display().to_string()
    }

    /// No token is in anything that a launch printed or wrote.
    #[track_caller]
    fn is_nowhere_in(&self, outcome: &Outcome) {
        let printed = [outcome.stdout.as_bytes(), outcome.stderr.as_bytes()];
        let files = outcome.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        for (name, bytes) in printed.map(|bytes| ("output", bytes)).into_iter().chain(files) {
            let text = String::from_utf8_lossy(bytes);
            for token in &self.written {
                assert!(token.split('.').all(|part| !text.contains(part)), "a token is in {name} {outcome}");
            }
        }
    }
}

impl Facility {
    /// A launch that shows the certificate of this user.
    fn by_certificate(&self, start: fn(&[&str]) -> Launch, url: &str, user: &str, more: &[&str]) -> Launch {
        let [cert, key] = ["pem", "key"].map(|ending| self.file(&format!("{user}.{ending}")));
        let ca = self.broker.ca();
        start(&[&["--messages", "300", "--url", url, "--ca", &ca, "--cert", &cert, "--key", &key][..], more].concat())
    }

    /// A launch that logs in with this token.
    fn by_token(&self, start: fn(&[&str]) -> Launch, token: &Token, more: &[&str]) -> Launch {
        let (url, ca, file) = (self.url(), self.broker.ca(), token.file());
        start(&[&["--url", &url, "--ca", &ca, "--token-file", &file][..], more].concat())
    }
}

fn three_ranks(arguments: &[&str]) -> Launch {
    mpirun(3, arguments)
}

#[test]
fn certificates_and_tokens_log_in_and_rejected_ones_are_reported_with_the_reason() {
    if !slow() {
        return;
    }
    let facility = Facility::start();
    a_certificate_logs_in_instead_of_a_password(&facility);
    a_token_logs_in_as_well(&facility);
    a_token_opens_the_management_api_too(&facility);
    tokens_that_change_or_expire(&facility);
}

fn a_certificate_logs_in_instead_of_a_password(facility: &Facility) {
    let url = facility.url();
    let external = ["--auth", "external"];
    let all = [&external[..], &["--consumers", "2"]].concat();
    facility.by_certificate(three_ranks, &url, "bench", &all).run(LIMIT).passes();
    let by_url = format!("{url}/?auth_mechanism=external");
    facility.by_certificate(single, &by_url, "bench", &[]).run(LIMIT).passes();
    let refused = ["refuses the login of the certificate of --cert (SASL EXTERNAL)", "ssl_cert_login_from"];
    facility.by_certificate(single, &url, "stranger", &external).run(LIMIT).fails(ROUTE, &refused);
    let nothing_to_show = ["--url", &url, "--auth", "external"];
    single(&nothing_to_show).run(LIMIT).fails(USAGE, &["--cert FILE and --key FILE"]);
}

fn a_token_logs_in_as_well(facility: &Facility) {
    let token = facility.token("long", HOUR);
    let outcome = facility.by_token(three_ranks, &token, &["--messages", "300"]).run(LIMIT);
    outcome.passes();
    token.is_nowhere_in(&outcome);
    let arguments = ["--messages", "300", "--url", &facility.url(), "--ca", &facility.broker.ca()];
    single(&arguments).variable("STREAMHARNESS_TOKEN_FILE", token.file()).run(LIMIT).passes();

    let token = facility.token("past", Duration::ZERO);
    let outcome = facility.by_token(single, &token, &[]).run(LIMIT);
    outcome.fails(ROUTE, &["the token in `", "expired", "renew it in that file"]);
    fs::write(&token.path, facility.sign(HOUR, &"x".repeat(4096))).unwrap();
    let outcome = facility.by_token(single, &token, &[]).run(LIMIT);
    outcome.fails(ROUTE, &["longer than the frames of 4096 B that RabbitMQ takes before a login"]);
    fs::write(&token.path, "forged.forged.forged").unwrap();
    let outcome = facility.by_token(single, &token, &[]).run(LIMIT);
    outcome.fails(ROUTE, &["refuses the login of the token in `", "check its issuer, audience and scopes"]);
}

fn a_token_opens_the_management_api_too(facility: &Facility) {
    let token = facility.token("watching", HOUR);
    let management = facility.broker.route("dts").management_url;
    let load = ["--duration", "4s", "--rate", "200/s", "--set", &format!("route.management={management}")];
    let outcome = facility.by_token(three_ranks, &token, &load).run(LIMIT);
    let record = outcome.passes();
    let view = record.service.as_ref().unwrap_or_else(|| panic!("it was asked {outcome}"));
    assert!(view.samples > 0 && view.ready_max.is_some() && view.unacknowledged_max.is_some(), "{view:?} {outcome}");
    assert!(record.environment.service.is_some(), "it told its settings {outcome}");
    token.is_nowhere_in(&outcome);
}

/// Both runs wait for the end of a token, so they go on beside each other.
fn tokens_that_change_or_expire(facility: &Facility) {
    let turn = Turn::take();
    let (renewed, expiring) = (facility.token("renewed", HOUR), facility.token("expiring", HOUR));
    let load = |duration| ["--duration", duration, "--rate", "200/s"];
    let mut ending = facility.by_token(three_ranks, &expiring, &load("60s")).start_beside(&turn);
    ending.streams(LIMIT);
    let mut renewing = facility.by_token(three_ranks, &renewed, &load("12s")).start_beside(&turn);
    renewing.streams(LIMIT);
    let expiring = expiring.renewed(facility, Duration::from_secs(3));
    let renewed = renewed.renewed(facility, Duration::from_secs(7));
    thread::sleep(Duration::from_secs(2));
    let renewed = renewed.renewed(facility, HOUR);
    a_token_that_expires_ends_a_run_with_that_reason_and_a_record(&ending.wait(2 * LIMIT), &expiring);
    let outcome = renewing.wait(2 * LIMIT);
    outcome.passes();
    renewed.is_nowhere_in(&outcome);
}

fn a_token_that_expires_ends_a_run_with_that_reason_and_a_record(outcome: &Outcome, token: &Token) {
    let reason = ["the token in `", "expired", "renew it in that file"];
    outcome.fails(ROUTE, &[&["streamharness: rank ", "ACCESS_REFUSED"][..], &reason].concat());
    outcome.fails(ROUTE, &[&["streamharness: left on the service: queue "][..], &reason].concat());
    outcome.leaves_a_failed_record(ROUTE as u8, "expired");
    token.is_nowhere_in(outcome);
}

#[test]
fn a_service_that_takes_no_certificates_is_reported_as_such() {
    if !slow() {
        return;
    }
    let own = rcgen::generate_simple_self_signed(["bench".to_owned()]).unwrap();
    let (url, ca) = (service().url(), service().ca());
    let files = ["--ca", &ca, "--cert", "own.pem", "--key", "own.key"];
    let arguments = [&["--messages", "300", "--url", &url, "--auth", "external"][..], &files].concat();
    let launch = single(&arguments).file("own.pem", &own.cert.pem()).file("own.key", &own.signing_key.serialize_pem());
    let sentence = ["offers no login by EXTERNAL, only by ", "PLAIN", "log in with a password"];
    launch.run(LIMIT).fails(ROUTE, &sentence);
}
