//! The loop that carries packets: reads what comes, and hands on what is due.

use crate::{
    Conditions, Counters,
    fate::{Fate, Fates},
    queue::{FRAME_MAX, Queue},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{prctl::set_timerslack, time::TimeSpec},
    unistd::{read, write},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

/// The kernel wakes us late, on virtual machines by up to this, so we ask for so much earlier and look at the clock for the rest.
const EARLY: Duration = Duration::from_micros(150);
/// The longest sleep: requests are heeded in between.
const NAP: Duration = Duration::from_millis(20);
/// Packets read at most before the clock decides again what is due.
const BATCH: usize = 32;

/// One direction.
struct Direction<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    queue: Queue,
    fates: Fates,
    counters: Counters,
    /// Where packets are read to that the queue has no room for.
    spare: Vec<u8>,
}

/// Carries packets between two descriptors that do not block and keep packets apart, in both directions, as long as
/// `heed`, which is called now and then with the counters of what comes from the first and from the second, returns true.
///
/// # Errors
///
/// Those of the system if a descriptor cannot be read any more.
pub fn carry(
    [one, other]: [BorrowedFd<'_>; 2],
    conditions: Conditions,
    seed: u64,
    queue_bytes: usize,
    mut heed: impl FnMut([&Counters; 2]) -> bool,
) -> io::Result<()> {
    // By default the kernel wakes a process up to 50 us late, to wake several at once.
    set_timerslack(1)?;
    let direction = |from, to, seed| Direction {
        from,
        to,
        queue: Queue::new(queue_bytes),
        fates: Fates::new(conditions, seed),
        counters: Counters::default(),
        spare: vec![0; FRAME_MAX],
    };
    let mut directions = [direction(one, other, seed), direction(other, one, seed ^ 1)];
    let start = Instant::now();
    let now_ns = || start.elapsed().as_nanos() as u64;
    while heed([&directions[0].counters, &directions[1].counters]) {
        let mut more = false;
        for index in 0..2 {
            directions[index].hand_on(now_ns);
            let due_ns = directions.iter().filter_map(|direction| direction.queue.next_due_ns()).min();
            more |= directions[index].take_in(now_ns, due_ns.unwrap_or(u64::MAX))?;
        }
        let due_ns = directions.iter().filter_map(|direction| direction.queue.next_due_ns()).min();
        let left = due_ns.map_or(NAP, |due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns()))).min(NAP);
        if let Some(left) = left.checked_sub(EARLY).filter(|_| !more) {
            await_packets([one, other], left)?;
        }
    }
    Ok(())
}

/// Sleeps until a packet comes, at most for `limit`.
fn await_packets(from: [BorrowedFd<'_>; 2], limit: Duration) -> io::Result<()> {
    let mut from = from.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match ppoll(&mut from, Some(TimeSpec::from_duration(limit)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

impl Direction<'_> {
    /// Hands on whatever is due.
    fn hand_on(&mut self, now_ns: impl Fn() -> u64) {
        let (to, counters) = (self.to, &mut self.counters);
        loop {
            let now_ns = now_ns();
            let handed_on = self.queue.hand_on(now_ns, |due| {
                if write(to.as_fd(), due.frame) != Ok(due.frame.len()) {
                    counters.refused += 1;
                    return;
                }
                counters.packets += 1;
                counters.bytes += due.frame.len() as u64;
                counters.held_back += u64::from(due.held_back);
                counters.late.record(now_ns - due.due_ns);
            });
            if !handed_on {
                return;
            }
        }
    }

    /// Reads what has come, until something is due. True if there may be more.
    fn take_in(&mut self, now_ns: impl Fn() -> u64, due_ns: u64) -> io::Result<bool> {
        for _ in 0..BATCH {
            let room = self.queue.room();
            let is_full = room.is_none();
            let length = match read(self.from, room.unwrap_or(&mut self.spare)) {
                Ok(length) => length,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            };
            let now_ns = now_ns();
            match self.fates.draw(now_ns) {
                Fate::Lost => self.counters.lost += 1,
                _ if is_full => self.counters.overflowed += 1,
                Fate::InOrder { due_ns } => self.queue.keep(length, due_ns),
                Fate::HeldBack { due_ns } => self.queue.hold_back(length, due_ns),
            }
            if now_ns >= due_ns {
                break;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::net::UnixDatagram, thread};

    /// Two ends of a way with a forwarder in its middle, which ends after the work.
    fn over(
        conditions: Conditions,
        queue_bytes: usize,
        work: impl FnOnce(&UnixDatagram, &UnixDatagram),
    ) -> [Counters; 2] {
        let (near, near_end) = UnixDatagram::pair().unwrap();
        let (far, far_end) = UnixDatagram::pair().unwrap();
        near_end.set_nonblocking(true).unwrap();
        far_end.set_nonblocking(true).unwrap();
        let ended = std::sync::atomic::AtomicBool::new(false);
        let mut counted = [Counters::default(), Counters::default()];
        let heed = |counters: [&Counters; 2]| {
            counted = counters.map(Clone::clone);
            !ended.load(std::sync::atomic::Ordering::Relaxed)
        };
        thread::scope(|scope| {
            let forwarder =
                scope.spawn(|| carry([near_end.as_fd(), far_end.as_fd()], conditions, 3, queue_bytes, heed));
            for socket in [&near, &far] {
                socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            }
            work(&near, &far);
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            forwarder.join().unwrap().unwrap();
        });
        counted
    }

    #[test]
    fn packets_arrive_unchanged_in_order_and_not_before_their_delay() {
        let delay = Duration::from_millis(20);
        let counted = over(Conditions { delay, ..Conditions::default() }, 0, |near, far| {
            for number in 0..50_u8 {
                let sent = Instant::now();
                near.send(&vec![number; 100 + usize::from(number)]).unwrap();
                let mut back = [0; 500];
                let length = far.recv(&mut back).unwrap();
                assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
                assert_eq!(back[..length], vec![number; 100 + usize::from(number)]);
            }
            far.send(b"reply").unwrap();
            assert_eq!(near.recv(&mut [0; 9]).unwrap(), 5);
        });
        assert_eq!((counted[0].packets, counted[1].packets, counted[1].bytes), (50, 1, 5));
        assert!(counted[0].late.quantile_s(0.5).is_some());
    }

    #[test]
    fn what_a_full_queue_does_not_take_is_counted_and_the_rest_arrives() {
        let delay = Duration::from_millis(300);
        let counted = over(Conditions { delay, ..Conditions::default() }, 0, |near, far| {
            // Several times what the queue takes.
            (0..20).for_each(|_| assert_eq!(near.send(&[1; 60_000]).unwrap(), 60_000));
            far.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            while far.recv(&mut [0; 65_000]).is_ok() {}
        });
        assert!(counted[0].overflowed > 10, "{counted:?}");
        assert_eq!(counted[0].packets + counted[0].overflowed, 20, "{counted:?}");
    }

    #[test]
    fn requested_losses_are_counted_apart() {
        let counted = over(Conditions { loss: 0.5, ..Conditions::default() }, 0, |near, far| {
            let mut arrived = 0;
            far.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            for _ in 0..40 {
                near.send(&[7; 100]).unwrap();
            }
            while far.recv(&mut [0; 200]).is_ok() {
                arrived += 1;
            }
            assert!((5..36).contains(&arrived), "{arrived}");
        });
        assert_eq!((counted[0].packets + counted[0].lost, counted[0].overflowed), (40, 0), "{counted:?}");
    }
}
