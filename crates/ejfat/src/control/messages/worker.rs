//! Messages about receivers, which the protocol calls workers.

use super::Timestamp;

/// A range of slots.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SlotRange {
    /// The first one; -1 for the first that is free.
    #[prost(int32, tag = "1")]
    pub index: i32,
    /// How many.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// Registers a receiver.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Register {
    /// The reservation.
    #[prost(string, tag = "2")]
    pub lb_id: String,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Its first share, relative to the others.
    #[prost(float, tag = "4")]
    pub weight: f32,
    /// Where data goes.
    #[prost(string, tag = "5")]
    pub ip_address: String,
    /// Its first port.
    #[prost(uint32, tag = "6")]
    pub udp_port: u32,
    /// It has two to the power of this many ports.
    #[prost(int32, tag = "7")]
    pub port_range: i32,
    /// Its least share, as a part of an even one.
    #[prost(float, tag = "8")]
    pub min_factor: f32,
    /// Its largest share; 0 for no limit.
    #[prost(float, tag = "9")]
    pub max_factor: f32,
    /// Whether it gets the load balancer's header too.
    #[prost(bool, tag = "10")]
    pub keep_lb_header: bool,
    /// The slots it demands.
    #[prost(message, repeated, tag = "12")]
    pub slot_demands: Vec<SlotRange>,
}

/// The reply to `Register`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Registered {
    /// The session's token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// The session.
    #[prost(string, tag = "2")]
    pub session_id: String,
}

/// Ends a session.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Deregister {
    /// The reservation.
    #[prost(string, tag = "2")]
    pub lb_id: String,
    /// The session.
    #[prost(string, tag = "3")]
    pub session_id: String,
}

/// How a receiver is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct State {
    /// The session.
    #[prost(string, tag = "2")]
    pub session_id: String,
    /// The reservation.
    #[prost(string, tag = "3")]
    pub lb_id: String,
    /// When it was so. Required: an absent one is 1970.
    #[prost(message, optional, tag = "4")]
    pub timestamp: Option<Timestamp>,
    /// How full its queue is, 0 to 1.
    #[prost(float, tag = "5")]
    pub fill_percent: f32,
    /// What its weight changes by each second, in thousandths of a mean share.
    #[prost(float, tag = "6")]
    pub control_signal: f32,
    /// Whether it takes events.
    #[prost(bool, tag = "7")]
    pub is_ready: bool,
    /// Events of which something arrived.
    #[prost(int64, tag = "8")]
    pub total_events_recv: i64,
    /// Events that became whole.
    #[prost(int64, tag = "9")]
    pub total_events_reassembled: i64,
    /// Events that did not.
    #[prost(int64, tag = "10")]
    pub total_events_reassembly_err: i64,
    /// Events taken from the queue.
    #[prost(int64, tag = "11")]
    pub total_events_dequeued: i64,
    /// Events for which the queue had no room.
    #[prost(int64, tag = "12")]
    pub total_event_enqueue_err: i64,
    /// Bytes that arrived.
    #[prost(int64, tag = "13")]
    pub total_bytes_recv: i64,
    /// Packets that arrived.
    #[prost(int64, tag = "14")]
    pub total_packets_recv: i64,
}

/// A receiver as the control plane sees it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerStatus {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How full its queue is.
    #[prost(float, tag = "2")]
    pub fill_percent: f32,
    /// What its weight changes by.
    #[prost(float, tag = "3")]
    pub control_signal: f32,
    /// Slots of the newest calendar.
    #[prost(uint32, tag = "4")]
    pub slots_assigned: u32,
    /// The time of its last state.
    #[prost(message, optional, tag = "5")]
    pub last_updated: Option<Timestamp>,
    /// Where data goes.
    #[prost(string, tag = "6")]
    pub ip_address: String,
    /// Its first port.
    #[prost(uint32, tag = "7")]
    pub udp_port: u32,
    /// Two to the power of this many ports.
    #[prost(int32, tag = "8")]
    pub port_range: i32,
    /// Its least share.
    #[prost(float, tag = "9")]
    pub min_factor: f32,
    /// Its largest share.
    #[prost(float, tag = "10")]
    pub max_factor: f32,
    /// Whether it gets the load balancer's header too.
    #[prost(bool, tag = "11")]
    pub keep_lb_header: bool,
    /// Events of which something arrived.
    #[prost(int64, tag = "12")]
    pub total_events_recv: i64,
    /// Events that became whole.
    #[prost(int64, tag = "13")]
    pub total_events_reassembled: i64,
    /// Events that did not.
    #[prost(int64, tag = "14")]
    pub total_events_reassembly_err: i64,
    /// Events taken from the queue.
    #[prost(int64, tag = "15")]
    pub total_events_dequeued: i64,
    /// Events for which the queue had no room.
    #[prost(int64, tag = "16")]
    pub total_event_enqueue_err: i64,
    /// Bytes that arrived.
    #[prost(int64, tag = "17")]
    pub total_bytes_recv: i64,
    /// Packets that arrived.
    #[prost(int64, tag = "18")]
    pub total_packets_recv: i64,
    /// Slots of the newest calendar, as ranges.
    #[prost(message, repeated, tag = "19")]
    pub slots: Vec<SlotRange>,
    /// Its session.
    #[prost(int64, tag = "22")]
    pub session_id: i64,
}
