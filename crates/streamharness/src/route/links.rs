//! Counters of a testbed's links during the stream: the difference of the counters after and before it.

use measure::record::{Distance, Forwarded, Link, LinkCount};
use testbed::Testbed;

/// The counters before the stream, if this process is in a testbed's network.
#[derive(Default)]
pub struct Links {
    before: Option<(Testbed, Vec<testbed::Link>)>,
}

impl Links {
    /// Reads the counters before the start is announced.
    pub fn begin(&mut self) -> Result<(), testbed::Error> {
        if let Some(testbed) = testbed::find(&testbed::default_dir())? {
            let links = testbed.links()?;
            self.before = (!links.is_empty()).then_some((testbed, links));
        }
        Ok(())
    }

    /// The counters since then.
    pub fn end(&mut self) -> Result<Vec<Link>, testbed::Error> {
        let Some((testbed, before)) = self.before.take() else { return Ok(Vec::new()) };
        Ok(testbed.links()?.iter().zip(&before).map(|(now, then)| recorded(now.since(then))).collect())
    }
}

fn recorded(link: testbed::Link) -> Link {
    let count = |count: testbed::Count| LinkCount { bytes: count.bytes, packets: count.packets, drops: count.drops };
    Link {
        host: link.name,
        rate_bits_per_second: link.rate_bits_per_second,
        delay_s: link.delay_s,
        to_host: count(link.to_host),
        from_host: count(link.from_host),
        distance: link.distance.map(|distance| {
            let [from_host, to_host] =
                link.forwarded.map(|both| both.map(forwarded)).map_or([None; 2], |both| both.map(Some));
            let testbed::Distance { by, jitter_s, loss, reorder, socket_bytes } = distance;
            Distance { by, jitter_s, loss, reorder, socket_bytes, to_host, from_host }
        }),
    }
}

fn forwarded(counters: testbed::Forwarded) -> Forwarded {
    let late_s = |share| counters.late.quantile_s(share);
    Forwarded {
        packets: counters.packets,
        bytes: counters.bytes,
        lost: counters.lost,
        reordered: counters.held_back,
        overflowed: counters.overflowed,
        refused: counters.refused,
        late_p50_s: late_s(0.5),
        late_p99_s: late_s(0.99),
        late_max_s: late_s(1.0),
    }
}
