//! A registered receiver: what it reported last, and whether it gets events.

use crate::{
    balance::Member,
    control::messages::{Register, SlotRange, State, Timestamp, WorkerStatus},
    plane::slots::Share,
};
use std::net::IpAddr;

/// From this age of its last state on a receiver gets no slots.
const SILENT_US: u64 = 2_000_000;
/// From this age on it is removed.
const GONE_US: u64 = 60_000_000;
/// For how long after its registration it is not removed.
const YOUNG_US: u64 = 5_000_000;
/// The mean of all weights.
pub const WEIGHT_MEAN: f64 = 1000.0;

/// A registered receiver.
pub struct Session {
    pub id: u64,
    /// Its id in calendars.
    pub member: u16,
    pub token: String,
    ip: IpAddr,
    port: u16,
    port_bits: u8,
    registered: Register,
    registered_us: u64,
    weight: f64,
    /// The time that its last state states, by its own clock.
    state_us: u64,
    last: State,
}

/// What a registration states, once it is checked.
pub struct Place {
    pub ip: IpAddr,
    pub port: u16,
    pub port_bits: u8,
}

impl Session {
    pub fn new(id: u64, member: u16, token: String, place: Place, registered: Register, now_us: u64) -> Self {
        let weight = WEIGHT_MEAN * f64::from(registered.weight);
        let Place { ip, port, port_bits } = place;
        let last = State::default();
        Self {
            id,
            member,
            token,
            ip,
            port,
            port_bits,
            registered,
            registered_us: now_us,
            weight,
            state_us: now_us,
            last,
        }
    }

    /// Takes a state. One without a time is from 1970, as ESnet's control plane reads it.
    pub fn report(&mut self, state: State) {
        self.state_us = state.timestamp.map_or(0, Timestamp::us);
        self.last = state;
    }

    /// Whether it gets slots.
    pub fn is_ready(&self, now_us: u64) -> bool {
        self.last.is_ready && now_us.saturating_sub(self.state_us) <= SILENT_US
    }

    /// Whether it has been silent for so long that it is removed.
    pub fn is_gone(&self, now_us: u64) -> bool {
        let young = now_us.saturating_sub(self.registered_us) <= YOUNG_US;
        !young && now_us.saturating_sub(self.state_us) > GONE_US
    }

    /// Moves its weight by its last signal, and returns it.
    pub fn moved_weight(&mut self) -> f64 {
        self.weight = (self.weight + f64::from(self.last.control_signal)).max(0.0);
        self.weight
    }

    /// Brings all weights to a mean of 1000.
    pub fn scale_weight(&mut self, factor: f64) {
        self.weight = (self.weight * factor).round();
    }

    pub fn share(&self) -> Share<'_> {
        Share {
            member: self.member,
            name: &self.registered.name,
            weight: self.weight,
            min_factor: f64::from(self.registered.min_factor),
            max_factor: f64::from(self.registered.max_factor),
            demands: &self.registered.slot_demands,
        }
    }

    pub fn member(&self) -> Member {
        Member {
            ip: self.ip,
            port: self.port,
            port_bits: self.port_bits,
            keep_lb_header: self.registered.keep_lb_header,
            left: false,
        }
    }

    /// How it is, with the slots of the newest calendar.
    pub fn status(&self, calendar: &[u16]) -> WorkerStatus {
        let slots = ranges(self.member, calendar);
        WorkerStatus {
            name: self.registered.name.clone(),
            fill_percent: self.last.fill_percent,
            control_signal: self.last.control_signal,
            slots_assigned: slots.iter().map(|range| range.length).sum(),
            last_updated: Some(Timestamp::of_us(self.state_us)),
            ip_address: self.registered.ip_address.clone(),
            udp_port: self.registered.udp_port,
            port_range: self.registered.port_range,
            min_factor: self.registered.min_factor,
            max_factor: self.registered.max_factor,
            keep_lb_header: self.registered.keep_lb_header,
            total_events_recv: self.last.total_events_recv,
            total_events_reassembled: self.last.total_events_reassembled,
            total_events_reassembly_err: self.last.total_events_reassembly_err,
            total_events_dequeued: self.last.total_events_dequeued,
            total_event_enqueue_err: self.last.total_event_enqueue_err,
            total_bytes_recv: self.last.total_bytes_recv,
            total_packets_recv: self.last.total_packets_recv,
            slots,
            session_id: i64::try_from(self.id).unwrap_or(i64::MAX),
        }
    }
}

/// The slots of a member, joined where they are neighbours.
fn ranges(member: u16, calendar: &[u16]) -> Vec<SlotRange> {
    let mut ranges: Vec<SlotRange> = Vec::new();
    for (slot, _) in (0..).zip(calendar).filter(|(_, taken)| **taken == member) {
        match ranges.last_mut() {
            Some(range) if i64::from(range.index) + i64::from(range.length) == i64::from(slot) => range.length += 1,
            _ => ranges.push(SlotRange { index: slot, length: 1 }),
        }
    }
    ranges
}
