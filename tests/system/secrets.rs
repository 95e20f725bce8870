//! The password is for files and for the wire only.

use crate::support::{mpirun, processes, service, single};
use std::time::Duration;

#[test]
fn the_password_is_in_no_file_no_output_and_no_argument() {
    let password = service().password();
    let running = mpirun(2, &["--duration", "5s"]).through(service()).streaming(Duration::from_secs(60));
    let arguments: Vec<String> = processes::all().iter().map(|process| process.arguments.join(" ")).collect();
    assert!(arguments.iter().any(|line| line.contains("--duration 5s")), "the run's own arguments are seen");
    assert!(!arguments.iter().any(|line| line.contains(&password)), "the password is in a command line");
    let outcome = running.wait(Duration::from_secs(60));
    outcome.passes();
    let holds = |bytes: &[u8]| bytes.windows(password.len()).any(|window| window == password.as_bytes());
    assert!(holds(format!("x{password}y").as_bytes()));
    assert!(!holds(outcome.stdout.as_bytes()) && !holds(outcome.stderr.as_bytes()), "the password is printed");
    let telling: Vec<&String> = outcome.files.iter().filter(|(_, bytes)| holds(bytes)).map(|(name, _)| name).collect();
    assert!(telling.is_empty(), "the password is in {telling:?}");
}

#[test]
fn a_password_in_the_url_is_not_repeated_by_what_refuses_it() {
    let secret = "hunter2-in-the-url";
    for url in [format!("amqps://bench:{secret}@localhost:1"), format!("amqp://bench:{secret}@localhost:1")] {
        let outcome = single(&["--messages", "10", "--url", &url]).run(Duration::from_secs(20));
        assert!(!outcome.status.success());
        let said = outcome.stdout.clone() + &outcome.stderr;
        assert!(!said.contains(secret), "{outcome}");
        assert!(outcome.files.values().all(|bytes| !String::from_utf8_lossy(bytes).contains(secret)), "{outcome}");
    }
}
