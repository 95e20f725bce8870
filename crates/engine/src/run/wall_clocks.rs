//! Whether the wall clocks of producers agree, where the route goes by the time that each of them stamps on its packets.

use crate::{
    ports::{Comm, CommError, Fault, FaultKind, Payloads, Transport},
    run::{error::RunError, rank::Rank},
    time::clock::Clock,
};
use std::time::{Duration, UNIX_EPOCH};

/// EJFAT's load balancer takes the newest clock for that of all producers, and events that seem to lie ahead may be split.
const APART_MAX: Duration = Duration::from_millis(100);
const READINGS: usize = 20;

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Refuses a run whose producers are on hosts that disagree about the time; `common` is the time that all ranks share.
    pub fn check_wall_clocks(&self, common: Clock) -> Result<(), RunError> {
        if self.plan.ejfat.as_ref().is_none_or(|ejfat| ejfat.direct) {
            return Ok(());
        }
        let judged = self.readings(common)?.and_then(|readings| too_far_apart(&readings));
        self.together("comparing the hosts' clocks", judged.map_or(Ok(()), |sentence| Err(refused(sentence))))
    }

    /// The hosts of producers, each with what its wall clock shows at common time 0; on rank 0.
    fn readings(&self, common: Clock) -> Result<Option<Vec<(String, i64)>>, CommError> {
        let at_zero = at_zero(common);
        let host = self.place.machine.host.as_bytes();
        let said = if self.role.producers.is_empty() { Vec::new() } else { [&at_zero.to_le_bytes(), host].concat() };
        let gathered = self.comm.gather(&said, self.plan.limits.collective)?;
        let read = |bytes: &Vec<u8>| {
            let (offset, host) = bytes.split_first_chunk()?;
            Some((String::from_utf8_lossy(host).into_owned(), i64::from_le_bytes(*offset)))
        };
        Ok((self.comm.rank() == 0).then(|| gathered.iter().filter_map(read).collect()))
    }
}

/// What this host's wall clock shows at common time 0. A thread that waits between two readings spoils them: the closest ones count.
fn at_zero(common: Clock) -> i64 {
    let read = || {
        let before_ns = common.now_ns();
        let wall_ns = i64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos()).unwrap_or(i64::MAX);
        (common.now_ns().saturating_sub(before_ns), wall_ns.saturating_sub_unsigned(before_ns))
    };
    (0..READINGS).map(|_| read()).min().expect("there are some").1
}

/// A sentence on the two hosts that are the furthest apart, if that is too far.
fn too_far_apart(readings: &[(String, i64)]) -> Option<String> {
    let (behind, first_ns) = readings.iter().min_by_key(|(_, ns)| *ns)?;
    let (ahead, last_ns) = readings.iter().max_by_key(|(_, ns)| *ns)?;
    let apart = Duration::from_nanos(last_ns.abs_diff(*first_ns));
    (apart > APART_MAX).then(|| {
        format!(
            "the clock of host {ahead} is {:.3} s ahead of that of {behind}, and EJFAT needs those of producers within {} ms to keep \
             events whole: synchronise them (chrony), or use --arch ejfat-direct",
            apart.as_secs_f64(),
            APART_MAX.as_millis()
        )
    })
}

fn refused(sentence: String) -> Fault {
    Fault::new(FaultKind::Refused, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_whose_clocks_are_too_far_apart_are_named() {
        let hosts = |ms: &[i64]| -> Vec<(String, i64)> {
            ms.iter()
                .enumerate()
                .map(|(host, ms)| (format!("host{host}"), 1_790_000_000_000_000_000 + ms * 1_000_000))
                .collect()
        };
        assert_eq!(too_far_apart(&[]), None);
        assert_eq!(too_far_apart(&hosts(&[7])), None);
        assert_eq!(too_far_apart(&hosts(&[0, 100, 50])), None);
        let said = too_far_apart(&hosts(&[40, 0, 350])).unwrap();
        assert!(said.contains("host2 is 0.350 s ahead of that of host1") && said.contains("ejfat-direct"), "{said}");
    }
}
