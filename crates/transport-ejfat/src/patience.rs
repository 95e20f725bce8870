//! Calls to a control plane that are made again when they are refused.

use ejfat::{Error, Result};
use std::time::Duration;

/// ESnet's control plane refuses one of two calls that add the same sender at the same time, as producers of one host do. A moment later
/// the sender is there, and to add it again is allowed.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a call that may be made twice, again and again while it is refused for no lack of permission.
pub async fn patiently<F: Future<Output = Result<()>>>(mut call: impl FnMut() -> F) -> Result<()> {
    for _ in 1..TRIES {
        match call().await {
            Err(Error::Refused { .. }) => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        Error::Refused { address: "here".to_owned(), action: "allow the senders", message: "UNIQUE".to_owned() }
    }

    /// How often a call is made that is refused so many times, and whether it succeeds.
    async fn calls(refusals: u32, error: fn() -> Error) -> (u32, bool) {
        let mut calls = 0;
        let done = patiently(|| {
            calls += 1;
            std::future::ready(if calls > refusals { Ok(()) } else { Err(error()) })
        });
        let done = done.await.is_ok();
        (calls, done)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_asked_again_a_few_times_and_what_is_not_permitted_never() {
        let denied =
            || Error::Denied { address: "here".to_owned(), action: "allow the senders", message: String::new() };
        assert_eq!(calls(0, refused).await, (1, true));
        assert_eq!(calls(2, refused).await, (3, true));
        assert_eq!(calls(99, refused).await, (TRIES, false));
        assert_eq!(calls(1, denied).await, (1, false));
    }
}
