//! Repeats an experiment during which the machine was held up, so that a test measures the program and not other load.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

const LOOK: Duration = Duration::from_millis(1);
/// How often it is tried; the last try counts, disturbed or not.
const TRIES: u32 = 4;

/// Runs `experiment` until a watching thread has not overslept by `limit`, at most `TRIES` times. Returns the last
/// result, and whether that run was undisturbed.
pub fn undisturbed<T>(limit: Duration, experiment: impl Fn() -> T) -> (T, bool) {
    first_calm(limit, || watched(&experiment))
}

#[expect(clippy::print_stderr, reason = "it is of tests only")]
fn first_calm<T>(limit: Duration, mut measure: impl FnMut() -> (T, Duration)) -> (T, bool) {
    for _ in 1..TRIES {
        let (measured, held_up) = measure();
        if held_up < limit {
            return (measured, true);
        }
        eprintln!("the machine was held up for {held_up:?}: once more");
    }
    let (measured, held_up) = measure();
    (measured, held_up < limit)
}

/// The result, and the longest time that a watching thread overslept.
fn watched<T>(experiment: impl Fn() -> T) -> (T, Duration) {
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut longest = Duration::ZERO;
            let mut since = Instant::now();
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                longest = longest.max(since.elapsed().saturating_sub(LOOK));
                since = Instant::now();
            }
            longest
        });
        let measured = experiment();
        drop(done);
        (measured, watch.join().expect("it only sleeps"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    #[test]
    fn what_was_held_up_is_tried_again_and_not_for_ever() {
        let tries_of = |held_up: &[Duration]| {
            let mut tries = 0;
            first_calm(LIMIT, || {
                tries += 1;
                (tries, held_up[tries - 1])
            })
        };
        assert_eq!(tries_of(&[LIMIT / 2]), (1, true));
        assert_eq!(tries_of(&[LIMIT, LIMIT / 2]), (2, true));
        assert_eq!(tries_of(&[LIMIT; TRIES as usize]), (TRIES as usize, false));
    }

    #[test]
    fn a_watch_ends_with_what_it_watches() {
        let (given, held_up) = watched(|| 7);
        assert_eq!(given, 7);
        assert!(held_up < Duration::from_secs(60), "{held_up:?}");
    }
}
