//! Limits of CPU of a testbed's parts, and how often each was reached during the stream.

use measure::record::CpuLimit;
use testbed::{Limited, Testbed};

/// What the parts had used up before the stream.
#[derive(Default)]
pub struct Limits {
    before: Option<(Testbed, Vec<Limited>)>,
}

impl Limits {
    /// Reads it before the start is announced.
    pub fn begin(&mut self) -> Result<(), testbed::Error> {
        self.before = testbed::find(&testbed::default_dir())?.map(|testbed| {
            let limited = testbed.limited_parts();
            (testbed, limited)
        });
        Ok(())
    }

    /// What they have used up since then.
    pub fn end(&mut self) -> Vec<CpuLimit> {
        let Some((testbed, before)) = self.before.take() else { return Vec::new() };
        testbed.limited_parts().into_iter().zip(&before).map(|(now, then)| since(now, then)).collect()
    }
}

fn since(now: Limited, then: &Limited) -> CpuLimit {
    let count = |of: usize| Some(now.periods?[of].saturating_sub(then.periods?[of]));
    CpuLimit { periods: count(0), used_up: count(1), part: now.part, cores: now.cores }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_used_up_during_the_stream_counts() {
        let at = |periods| Limited { part: "ingress".to_owned(), cores: 0.5, periods };
        let limit = since(at(Some([90, 40])), &at(Some([50, 30])));
        assert_eq!((limit.periods, limit.used_up, limit.cores), (Some(40), Some(10), 0.5));
        assert_eq!(since(at(None), &at(Some([50, 30]))).periods, None);
    }
}
