//! Headless Chromium with one page, spoken to through pipes in its debugging protocol (messages of JSON, each ended by a zero byte).

use super::place;
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// It asks nobody but the page's server, and needs no display.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --remote-debugging-pipe about:blank";

/// A browser, which ends with this value.
pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Vec<u8>>,
    session: Option<String>,
    calls: u64,
    /// What scripts of the page have thrown.
    pub thrown: Vec<Value>,
    place: TempDir,
}

impl Browser {
    /// Opens a page.
    pub fn open(url: &str) -> Self {
        let place = place();
        let [to, from] = ["to", "from"].map(|name| place.path().join(name));
        [&to, &from].into_iter().for_each(|pipe| mkfifo(pipe, Mode::S_IRWXU).unwrap());
        let script = format!("exec chromium {FLAGS} --user-data-dir=\"$PWD/profile\" 3<to 4>from 2>errors");
        let child = Command::new("sh").args(["-c", &script]).current_dir(place.path()).stdin(Stdio::null()).spawn();
        let child = child.unwrap();
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut pipe = BufReader::new(File::open(from).unwrap());
            let mut message = Vec::new();
            while pipe.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                if sender.send(std::mem::take(&mut message)).is_err() {
                    return;
                }
            }
        });
        // Opened for both, so that no browser that does not start holds us up.
        let to = File::options().read(true).write(true).open(to).unwrap();
        let mut browser = Self { child, to, from: messages, session: None, calls: 0, thrown: Vec::new(), place };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"].clone();
        let session = browser.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        browser.call("Runtime.enable", &json!({}));
        browser.call("Page.navigate", &json!({ "url": url }));
        browser
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        self.call("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }))["result"]["value"]
            .clone()
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let end = Instant::now() + ANSWER_LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self.from.recv_timeout(left).unwrap_or_else(|_| {
                panic!(
                    "no answer to {method}: {}",
                    fs::read_to_string(self.place.path().join("errors")).unwrap_or_default()
                )
            });
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["method"] == "Runtime.exceptionThrown" {
                self.thrown.push(answer["params"].clone());
            }
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
