//! Buffers at addresses that MPI does not misinterpret, and lengths that fit its counts.

use engine::ports::{BYTES_MAX, CommError};

/// The target of an empty buffer. An empty `Vec` points to address 1, which Open MPI interprets as `MPI_IN_PLACE`.
static NOTHING: [u8; 1] = [0];

/// The same bytes, at an address without a special meaning for MPI.
pub(crate) fn sendable(bytes: &[u8]) -> &[u8] {
    if bytes.is_empty() { &NOTHING[..0] } else { bytes }
}

/// The displacement and the length of each part, as MPI's 32-bit numbers.
pub(crate) fn parts(step: &'static str, lengths: &[u64]) -> Result<(Vec<i32>, Vec<i32>), CommError> {
    let total = lengths.iter().fold(0u64, |sum, length| sum.saturating_add(*length));
    CommError::refuse_over(step, total, BYTES_MAX)?;
    let mut end = 0;
    let starts = lengths.iter().map(|length| {
        end += *length as i32;
        end - *length as i32
    });
    Ok((starts.collect(), lengths.iter().map(|length| *length as i32).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_has_an_address_of_its_own() {
        for empty in [&[][..], &Vec::new()] {
            assert!(sendable(empty).is_empty());
            assert_eq!(sendable(empty).as_ptr(), NOTHING.as_ptr(), "not a special address of any MPI library");
        }
        assert_eq!(sendable(b"abc"), b"abc");
    }

    #[test]
    fn lengths_that_mpi_cannot_count_are_refused_and_do_not_wrap() {
        assert_eq!(parts("gather", &[3, 0, 5]), Ok((vec![0, 3, 3], vec![3, 0, 5])));
        let refused = |lengths: &[u64]| parts("gather", lengths).unwrap_err().to_string();
        for lengths in [&[1 << 31][..], &[1 << 30, 1 << 30], &[u64::MAX, 1]] {
            assert!(refused(lengths).contains("`gather`"), "{lengths:?}: {}", refused(lengths));
        }
        assert!(parts("gather", &[(1 << 31) - 2, 1]).is_ok(), "the most that it can count");
    }
}
