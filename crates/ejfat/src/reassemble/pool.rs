//! The memory of events in assembly: never more than a limit, and used again.

/// Buffers that are kept for later events.
const KEPT_MAX: usize = 256;

/// Hands out buffers whose lengths together stay below a limit.
#[derive(Debug)]
pub struct Pool {
    limit: usize,
    out: usize,
    kept: Vec<Vec<u8>>,
    kept_bytes: usize,
}

impl Pool {
    pub fn new(limit: usize) -> Self {
        Self { limit, out: 0, kept: Vec::new(), kept_bytes: 0 }
    }

    /// A buffer of `length` bytes, which may hold those of an earlier event; `None` if the limit does not allow it.
    pub fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        if length > self.limit.saturating_sub(self.out) {
            return None;
        }
        self.out += length;
        let mut bytes = match self.kept.iter().rposition(|kept| kept.capacity() >= length) {
            Some(at) => {
                let bytes = self.kept.swap_remove(at);
                self.kept_bytes -= bytes.capacity();
                bytes
            }
            // Zeroed by the system, page by page, when it is written to.
            None => return Some(vec![0; length]),
        };
        bytes.resize(length, 0);
        Some(bytes)
    }

    /// A buffer of this length is no longer in assembly.
    pub fn release(&mut self, length: usize) {
        self.out -= length;
    }

    /// Keeps a buffer for a later event, if there is room.
    pub fn keep(&mut self, bytes: Vec<u8>) {
        let room = self.limit.saturating_sub(self.kept_bytes);
        if self.kept.len() < KEPT_MAX && bytes.capacity() <= room {
            self.kept_bytes += bytes.capacity();
            self.kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_out_at_once() {
        let mut pool = Pool::new(100);
        assert_eq!(pool.take(60).unwrap().len(), 60);
        assert!(pool.take(41).is_none());
        assert_eq!(pool.take(40).unwrap().len(), 40);
        pool.release(60);
        assert!(pool.take(60).is_some());
    }

    #[test]
    fn a_buffer_that_comes_back_is_used_again() {
        let mut pool = Pool::new(1000);
        let bytes = pool.take(400).unwrap();
        let place = bytes.as_ptr();
        pool.release(400);
        pool.keep(bytes);
        let again = pool.take(300).unwrap();
        assert_eq!((again.as_ptr(), again.len()), (place, 300));
        assert_eq!((pool.kept.len(), pool.kept_bytes), (0, 0));
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let mut pool = Pool::new(100);
        pool.keep(vec![0; 60]);
        pool.keep(vec![0; 60]);
        assert_eq!(pool.kept.len(), 1);
        for _ in 0..2 * KEPT_MAX {
            pool.keep(Vec::new());
        }
        assert_eq!(pool.kept.len(), KEPT_MAX);
    }
}
