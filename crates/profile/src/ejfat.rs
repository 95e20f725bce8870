//! EJFAT in place of a message broker: its settings, and the settings of brokers that have no meaning over it.

use crate::{
    error::{ProfileError, impossible, wrong},
    origin::Origin,
    profile::{Profile, RouteProfile},
    values::{Pattern, Size},
};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};
use toml::{Table, Value};

/// Entries of a load balancer's calendar.
const SLOTS: u32 = 512;
const MTU: u16 = 1500;
/// What leaves room for data, and what load balancers and receivers take whole.
const MTUS: std::ops::RangeInclusive<u16> = 128..=9216;
const SOCKETS: u32 = 4;
const PORT_BITS: u8 = 1;
const PORT_BITS_MAX: u8 = 8;
/// Bytes of each socket's buffer that are requested unless a profile says otherwise.
pub const BUFFER_BYTES: u64 = 4 << 20;
const BUFFER: Size = Size(BUFFER_BYTES);
const GIVE_UP: Duration = Duration::from_millis(500);
const WAITING: u32 = 1000;

/// Keys of `service` that are about the harness itself.
const ITS_OWN: [&str; 4] = ["coalesce", "in_flight", "reply", "reply_in_flight"];

/// A stream of UDP packets, with EJFAT's load balancer or without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ejfat {
    /// Whether producers send to consumers themselves, without a load balancer.
    pub direct: bool,
    /// Bytes of the largest packet, with its headers.
    pub mtu: u16,
    /// Version of the load balancer's header.
    pub version: u8,
    /// Sockets of each producer.
    pub sockets: u32,
    /// Each consumer has two to the power of this many ports.
    pub port_bits: u8,
    /// Requested send and receive buffer of each socket, in bytes.
    pub buffer_bytes: u64,
    /// How long after its first packet an event is given up.
    pub give_up: Duration,
    /// Events that may wait at a consumer.
    pub waiting: u32,
}

impl Ejfat {
    /// That of a profile; `None` if it streams through a broker.
    pub(crate) fn resolve(profile: &Profile, pattern: Pattern, producers: u32) -> Result<Option<Self>, ProfileError> {
        let Some(written) = &profile.route.ejfat else { return Ok(None) };
        fits(&profile.route)?;
        if pattern.is_broadcast() {
            return impossible(format!(
                "{pattern} needs every message at every consumer, and EJFAT's load balancer sends each to one: use \
                 --pattern work-sharing, or an architecture with a broker"
            ));
        }
        if pattern.has_replies() && producers > SLOTS {
            return impossible(format!(
                "EJFAT has {SLOTS} slots for producers that wait for replies, one each: use --producers {SLOTS} or fewer, or \
                 --pattern work-sharing"
            ));
        }
        let version = written.version.unwrap_or(3);
        if ![2, 3].contains(&version) {
            return impossible(format!("route.ejfat.version = {version} is no version of EJFAT's header: use 2 or 3"));
        }
        let mtu = written.mtu.unwrap_or(MTU);
        if !MTUS.contains(&mtu) {
            return impossible(format!(
                "route.ejfat.mtu = {mtu} is not within {} and {}, which packets of EJFAT are: use 1500, or 9000 where links carry it",
                MTUS.start(),
                MTUS.end()
            ));
        }
        let port_bits = written.port_bits.unwrap_or(PORT_BITS);
        if port_bits > PORT_BITS_MAX {
            return impossible(format!(
                "route.ejfat.port_bits = {port_bits} would be {} ports, each with a thread: use 0 to {PORT_BITS_MAX}",
                1_u64 << port_bits.min(32)
            ));
        }
        let buffer = written.buffer.unwrap_or(BUFFER);
        if buffer.0 == 0 || buffer.0 > u64::from(i32::MAX as u32) {
            return impossible("route.ejfat.buffer must be 1B to 2GiB, such as 4MiB");
        }
        Ok(Some(Self {
            direct: written.direct == Some(true),
            mtu,
            version,
            sockets: written.sockets.map_or(SOCKETS, NonZeroU32::get),
            port_bits,
            buffer_bytes: buffer.0,
            give_up: written.give_up.map_or(GIVE_UP, |span| span.0),
            waiting: written.waiting.map_or(WAITING, NonZeroU32::get),
        }))
    }
}

/// What belongs to routes through a broker is not part of one over EJFAT.
fn fits(route: &RouteProfile) -> Result<(), ProfileError> {
    let given = [
        ("scistream", route.scistream.is_some()),
        ("s3m", route.s3m.is_some()),
        ("producer_urls", route.producer_urls.is_some()),
        ("consumer_urls", route.consumer_urls.is_some()),
        ("management", route.management.is_some()),
        ("nodes", route.nodes.is_some()),
        ("spread", route.spread.is_some()),
        ("connect_to", route.connect_to.is_some()),
        ("auth", route.auth.is_some()),
        ("cert", route.cert.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((key, _)) => impossible(format!(
            "route.{key} belongs to a route through a broker, and this one has EJFAT: leave it out; the address of the \
             control plane is --url ejfat://TOKEN@HOST:PORT or EJFAT_URI"
        )),
        None => Ok(()),
    }
}

/// Replaces the settings of brokers, which shipped workloads have, by what EJFAT does: nothing is confirmed, acknowledged or
/// held back. Those that somebody wrote for this run are refused.
pub(crate) fn without_broker<'a>(
    table: &mut Table,
    written: impl IntoIterator<Item = (&'a Origin, &'a Table)>,
) -> Result<(), ProfileError> {
    let over_ejfat = |table: &Table| table.get("route").is_some_and(|route| route.get("ejfat").is_some());
    if !over_ejfat(table) {
        return Ok(());
    }
    let mut service = Table::from_iter([
        ("confirms".to_owned(), Value::String("none".to_owned())),
        ("acks".to_owned(), Value::String("auto".to_owned())),
        ("prefetch".to_owned(), Value::Integer(0)),
    ]);
    for (origin, layer) in written {
        for (key, value) in layer.get("service").and_then(Value::as_table).into_iter().flatten() {
            if !ITS_OWN.contains(&key.as_str()) && service.get(key) != Some(value) {
                return Err(wrong(
                    origin,
                    format!(
                        "service.{key} has no meaning over EJFAT, which has no queues and acknowledges nothing: leave it \
                         out, or use an architecture with a broker"
                    ),
                ));
            }
            service.insert(key.clone(), value.clone());
        }
    }
    table.insert("service".to_owned(), Value::Table(service));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Plan, ProfileError, sample};

    fn resolve(text: &str) -> Result<Plan, ProfileError> {
        sample::plan(&format!("arch = 'ejfat'\n{text}"), 16)
    }

    #[test]
    fn settings_of_a_broker_in_a_workload_do_not_apply_and_those_of_the_command_line_are_refused() {
        let plan = resolve("workload = 'dstream'").unwrap();
        let service = &plan.service;
        assert_eq!(
            (service.confirms.to_string(), service.acks.to_string(), service.prefetch),
            ("none".into(), "auto".into(), 0)
        );
        assert_eq!(service.queues[0].max_length, None, "the workload's limit is that of a queue");
        assert_eq!(plan.ejfat.map(|ejfat| (ejfat.direct, ejfat.mtu)), Some((false, 1500)));
        assert!(resolve("service.confirms = 'none'\nservice.coalesce = '50us'").is_ok());
        for (text, expected) in [
            ("service.prefetch = 64", "service.prefetch has no meaning over EJFAT"),
            ("service.queue_type = 'quorum'", "service.queue_type has no meaning"),
            ("service.confirms = 'each'", "service.confirms has no meaning"),
            ("pattern = 'broadcast'", "--pattern work-sharing"),
            ("pattern = 'work-sharing-feedback'\nproducers = 513", "512 slots for producers"),
            ("route.management = 'http://h:1'", "EJFAT_URI"),
            ("route.ejfat.version = 4", "use 2 or 3"),
            ("route.ejfat.port_bits = 14", "0 to 8"),
            ("route.ejfat.mtu = 64", "not within 128 and 9216"),
            ("route.ejfat.mtu = 65535", "use 1500, or 9000"),
            ("route.ejfat.buffer = '0B'", "4MiB"),
        ] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
