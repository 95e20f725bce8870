//! The OAuth 2 token for the login: read from its file, and read again while connections last.

use crate::secret::Secret;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use lapin::{Connection, types::LongString};
use serde::Deserialize;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{runtime::Handle, time::timeout};

/// How often the file is read. A text that two reads agree on is complete.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// More bytes than any token has.
const BYTES_MAX: u64 = 128 << 10;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A token, and when it expires, if it is a JSON Web Token with an expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    text: Secret,
    expires: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

impl Token {
    /// Reads the token in a file.
    ///
    /// # Errors
    ///
    /// A sentence with the reason, without the token.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot read the token file `{shown}`: {}", shortage::explain(&error)))?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(format!("the token file `{shown}` is longer than {BYTES_MAX} bytes, which no token is"));
        }
        let text = String::from_utf8(bytes).unwrap_or_default();
        match text.trim_start_matches(BYTE_ORDER_MARK).trim() {
            token if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self::new(token)),
            _ => Err(format!("the token file `{shown}` does not hold a token: write it there, and nothing else")),
        }
    }

    fn new(text: &str) -> Self {
        let claims = text.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let claims = claims.and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
        let seconds = claims.and_then(|claims| claims.exp);
        let expires = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?));
        Self { text: Secret::new(text), expires }
    }

    /// The token, for code that sends it to the service.
    pub fn secret(&self) -> Secret {
        self.text.clone()
    }

    /// How long ago it expired, if it has.
    pub fn expired_for(&self) -> Option<Duration> {
        SystemTime::now().duration_since(self.expires?).ok()
    }
}

/// A connection that logged in with a token.
pub(crate) trait LoggedIn: Send + Sync {
    /// Its connection.
    fn connection(&self) -> &Connection;
}

/// The token of this rank's connections, renewed on all of them when its file changes.
pub(crate) struct Renewal {
    path: PathBuf,
    limit: Duration,
    state: Mutex<State>,
}

struct State {
    token: Token,
    /// Why the last read of the file gave no token.
    trouble: Option<String>,
    connections: Vec<Weak<dyn LoggedIn>>,
    watched: bool,
}

impl Renewal {
    /// From a file, or with rank 0's token if this rank cannot read the file; `limit` is that of one request.
    pub(crate) fn new(path: &Path, initial: &Secret, limit: Duration) -> Arc<Self> {
        let read = Token::read(path);
        let trouble = read.as_ref().err().cloned();
        let token = read.unwrap_or_else(|_| Token::new(initial.expose()));
        let state = State { token, trouble, connections: Vec::new(), watched: false };
        Arc::new(Self { path: path.to_owned(), limit, state: Mutex::new(state) })
    }

    /// The newest token.
    pub(crate) fn secret(&self) -> Secret {
        self.state().token.secret()
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A known problem of the token, to follow the service's own message; empty without a problem.
    pub(crate) fn flaw(&self) -> String {
        let State { token, trouble, .. } = &*self.state();
        let path = self.path.display();
        match (token.expired_for(), trouble) {
            (Some(past), Some(trouble)) => {
                format!(
                    "; the token expired {} s ago, and no newer one can be read on this rank: {trouble}",
                    past.as_secs()
                )
            }
            (Some(past), None) => format!(
                "; the token in `{path}` expired {} s ago: renew it in that file before it expires, also while a run goes on",
                past.as_secs()
            ),
            (None, _) => String::new(),
        }
    }

    /// Renews the token of this connection, too. Must be called in the runtime that drives it.
    pub(crate) fn keep(self: &Arc<Self>, connection: Arc<dyn LoggedIn>) {
        let mut state = self.state();
        state.connections.retain(|known| known.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
        if !state.watched {
            let (this, runtime) = (Arc::downgrade(self), Handle::current());
            // A thread of its own, since reading a file on an unreachable server may block for ever.
            match shortage::thread("token", move || watch(&this, &runtime)) {
                Ok(()) => state.watched = true,
                // The next connection tries again.
                Err(error) => state.trouble = Some(format!("no thread can watch it: {error}")),
            }
        }
    }

    /// Reads the file; `last` is the result of the previous read.
    fn look(&self, last: &mut Option<Token>, runtime: &Handle) {
        let read = Token::read(&self.path);
        let mut state = self.state();
        state.trouble = read.as_ref().err().cloned();
        let seen = read.ok();
        let complete = seen.is_some() && seen == *last;
        last.clone_from(&seen);
        if let Some(token) = seen.filter(|token| complete && *token != state.token) {
            for connection in state.connections.iter().filter_map(Weak::upgrade) {
                runtime.spawn(update(connection, token.secret(), self.limit));
            }
            state.token = token;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the file regularly, until its connections are gone.
fn watch(renewal: &Weak<Renewal>, runtime: &Handle) {
    let mut last = None;
    while let Some(this) = renewal.upgrade() {
        this.look(&mut last, runtime);
        drop(this);
        thread::sleep(LOOK_EVERY);
    }
}

/// A refusal ends the connection, which its worker reports.
async fn update(connection: Arc<dyn LoggedIn>, token: Secret, limit: Duration) {
    let token = LongString::from(token.expose());
    let update = connection.connection().update_secret(token, "the token was renewed".into());
    let _ = timeout(limit, update).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiring(seconds: &str) -> String {
        format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{seconds}}}")))
    }

    #[test]
    fn the_expiry_of_a_token_is_read_from_it() {
        assert!(Token::new(&expiring("1000000000")).expired_for().is_some());
        assert!(Token::new(&expiring("9999999999.5")).expired_for().is_none());
        for text in ["opaque", "a.b.c", &expiring("\"soon\""), &expiring("-1e300")] {
            assert_eq!(Token::new(text).expires, None, "{text}");
        }
    }

    #[test]
    fn a_file_without_a_token_is_reported_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for text in ["", "\n", "hunter2 hunter2", "h\u{fc}nter2"] {
            std::fs::write(&path, text).unwrap();
            let sentence = Token::read(&path).unwrap_err();
            assert!(sentence.contains("does not hold a token") && !sentence.contains("unter2"), "{sentence}");
        }
        std::fs::write(&path, "\u{feff}hunter2\r\n").unwrap();
        assert_eq!(Token::read(&path).unwrap().secret().expose(), "hunter2");
        assert!(Token::read(Path::new("/dev/zero")).unwrap_err().contains("longer than"));
    }

    #[test]
    fn a_token_counts_once_it_was_seen_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "first").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let renewal = Renewal::new(&path, &Secret::new("older"), Duration::ZERO);
        let mut last = None;
        let mut seen = |text: &str| {
            std::fs::write(&path, text).unwrap();
            renewal.look(&mut last, runtime.handle());
            renewal.secret().expose().to_owned()
        };
        assert_eq!(
            ["sec", "second", "", "second", "second"].map(&mut seen),
            ["first", "first", "first", "first", "second"]
        );
    }

    #[test]
    fn a_rank_that_cannot_read_the_file_uses_the_token_of_rank_0_and_reports_it_after_expiry() {
        let renewal = Renewal::new(Path::new("/none"), &Secret::new(expiring("1000000000")), Duration::ZERO);
        let flaw = renewal.flaw();
        assert!(flaw.contains("cannot read the token file `/none`") && flaw.contains("expired"), "{flaw}");
        let renewal = Renewal::new(Path::new("/none"), &Secret::new(expiring("9999999999")), Duration::ZERO);
        assert_eq!(renewal.flaw(), "");
    }
}
