//! `streamharness ejfat serve` and `balance` by hand, as for a testbed without a run.

use crate::support::{place, processes, program, s2cs::free_ports, within};
use nix::sys::signal::Signal;
use std::{
    fs::{self, File},
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A part that is killed with this value.
struct Part(Child);

impl Part {
    fn start(place: &Path, name: &str, arguments: &[&str]) -> Self {
        let log = place.join(name);
        let mut command = Command::new(program());
        command.arg("ejfat").args(arguments).current_dir(place).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let part = Self(command.spawn().unwrap());
        let ready = || fs::read_to_string(&log).unwrap().contains("EJFAT ").then_some(());
        within(LIMIT, ready).unwrap_or_else(|| panic!("{name}: {}", fs::read_to_string(&log).unwrap()));
        part
    }

    /// Its exit code and what it printed.
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        processes::send(self.0.id() as i32, signal);
        let status = within(LIMIT, || self.0.try_wait().unwrap()).expect("it ends");
        (status.code(), std::io::read_to_string(self.0.stdout.take().unwrap()).unwrap())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn balance(place: &Path, control_plane: &str, token_file: &str) -> Output {
    let arguments = ["ejfat", "balance", "--listen", "127.0.0.1:0", "--control-plane", control_plane];
    let mut command = Command::new(program());
    command.args(arguments).args(["--token-file", token_file]).current_dir(place).stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.lines().count() == 1 && said.contains(part) && !said.contains("secret"), "{said}");
}

#[test]
fn a_control_plane_and_a_load_balancer_run_until_they_are_stopped_and_every_packet_is_counted() {
    let place = place();
    let place = place.path();
    fs::write(place.join("token"), "secret\n").unwrap();
    fs::write(place.join("other"), "secret-of-another\n").unwrap();
    let port = free_ports(3);
    let [calls, sync, data] = [0, 1, 2].map(|more| format!("127.0.0.1:{}", port + more));
    let both = format!("{sync},{data}");
    let serve = ["serve", "--listen", &calls, "--token-file", "token", "--balancer", &both];
    let control_plane = Part::start(place, "serve", &serve);
    let url = format!("ejfat://{calls}");
    refused(&balance(place, &url, "other"), 3, "check the token");
    refused(&balance(place, &url.replace("://", "://secret@"), "token"), 1, "--token-file");
    refused(&balance(place, &url.replace("ejfat", "ejfats"), "token"), 3, "EJFAT control plane");
    let arguments = ["balance", "--listen", &data, "--control-plane", &url, "--token-file", "token", "--threads", "2"];
    let balancer = Part::start(place, "balance", &arguments);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..5 {
        sender.send_to(b"of nobody", &data).unwrap();
    }
    let (code, printed) = balancer.end(Signal::SIGTERM);
    let counts: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, counts["received"].as_u64()), (Some(0), Some(5)), "{printed}");
    assert_eq!((counts["source_not_allowed"].as_u64(), counts["passed"].as_u64()), (Some(5), Some(0)), "{printed}");
    assert_eq!(control_plane.end(Signal::SIGINT).0, Some(0));
    refused(&balance(place, &url, "token"), 3, "cannot be reached");
}
