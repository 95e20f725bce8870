//! A quota of CPU time as the kernel keeps it: so much in each period, and then a stop until the period is over.

/// Length of a period: the kernel's default, and that of Kubernetes (`cpu.cfs_period_us`).
const PERIOD_NS: u64 = 100_000_000;

/// What is left of a quota.
#[derive(Debug)]
pub struct Quota {
    /// CPU time in each period.
    budget_ns: u64,
    /// When the current period began. It may be yet to come, if work that has begun lasts until then.
    period_ns: u64,
    /// CPU time that is left in it.
    left_ns: u64,
}

impl Quota {
    /// A quota of `cores` cores.
    pub fn new(cores: f64) -> Self {
        let budget_ns = ((PERIOD_NS as f64 * cores) as u64).max(1);
        Self { budget_ns, period_ns: 0, left_ns: budget_ns }
    }

    /// Takes `work_ns` of CPU time from `now_ns` on. Returns how long that takes, with all stops.
    pub fn take(&mut self, now_ns: u64, mut work_ns: u64) -> u64 {
        let current_ns = now_ns - now_ns % PERIOD_NS;
        if current_ns > self.period_ns {
            (self.period_ns, self.left_ns) = (current_ns, self.budget_ns);
        }
        let mut at_ns = now_ns.max(self.period_ns);
        while work_ns > self.left_ns {
            work_ns -= self.left_ns;
            self.period_ns += PERIOD_NS;
            (at_ns, self.left_ns) = (self.period_ns, self.budget_ns);
        }
        self.left_ns -= work_ns;
        at_ns + work_ns - now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn work_stops_when_the_quota_is_used_up_and_goes_on_in_the_next_period() {
        let mut quota = Quota::new(0.06);
        assert_eq!(quota.take(10 * MS, 4 * MS), 4 * MS);
        // 2 ms are left; the rest waits until 100 ms.
        assert_eq!(quota.take(20 * MS, 3 * MS), 81 * MS);
        // 5 ms of the second period are left.
        assert_eq!(quota.take(101 * MS, 5 * MS), 5 * MS);
        assert_eq!(quota.take(150 * MS, 1), 50 * MS + 1);
        // Nothing is saved up over periods.
        assert_eq!(quota.take(950 * MS, 7 * MS), 51 * MS);
    }

    #[test]
    fn over_a_long_time_it_gives_its_share() {
        let mut quota = Quota::new(0.3);
        let mut now_ns = 0;
        for _ in 0..10_000 {
            now_ns += quota.take(now_ns, 190_000);
        }
        let share = 10_000.0 * 190_000.0 / now_ns as f64;
        assert!((share - 0.3).abs() < 0.002, "{share}");
    }
}
