//! What a setting is if a profile leaves it unset.

use crate::{
    arrivals::{Arrivals, LoadRate},
    contents::{Content, Dtype, Fill, Storage},
    knobs::{Client, Layout, LeaderLocator, Mapping, QueueType, Reply},
    spread::Spread,
    values::{Acks, Confirms, Overflow, Pattern, Verify},
};
use std::{num::NonZeroU32, time::Duration};

pub const ARCHITECTURE: &str = "dts";
pub const WORKLOAD: &str = "dstream";
/// The workload of files that are given without one, and its settings, which suit large messages.
pub const REPLAY: &str = "replay";
pub const REPLAY_SETTINGS: &str =
    "message.format = 'files'\nservice = { confirms = 'window:64', acks = 'multiple:8', prefetch = 16 }";
pub const PATTERN: Pattern = Pattern::WorkSharing;
pub const MESSAGES: u64 = 20_000;
pub const LAYOUT: Layout = Layout::Block;
pub const SPREAD: Spread = Spread::RoundRobin;
pub const SEED: u64 = 1;
pub const VERIFY: Verify = Verify::All;
/// Where a library can inspect bodies: that takes several times as long as all other checks.
pub const VERIFY_INSPECTED: Verify = Verify::Sampled;
/// Part of one core that the inspections of a rank may use if bodies are `sampled`: enough for hundreds a second, and too
/// little to slow the stream down.
pub const INSPECTION_SHARE: f64 = 0.05;
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// Limit on a warm-up that waits for messages or for a steady rate.
pub const WARMUP_LIMIT: Duration = Duration::from_secs(60);
/// Producers continue for a tenth of the window, at most this long: most replies take less.
pub const COOLDOWN_MAX: Duration = Duration::from_secs(1);

pub const RATE: LoadRate = LoadRate::Max;
pub const ARRIVALS: Arrivals = Arrivals::Constant;

pub const FILL: Fill = Fill::Ring;
pub const COMPRESSIBLE: f64 = 0.0;
pub const MEMORY_BYTES: u64 = 64 << 20;
/// Many runs of a detector fit, and so do the ranks of a node beside each other.
pub const FILES_MEMORY_BYTES: u64 = 512 << 20;
/// Fits into a core's cache, as what an instrument has just made does; there are always more bodies than can be in flight.
pub const RING_BYTES: u64 = 1 << 20;
pub const DTYPE: Dtype = Dtype::U16;
pub const STORAGE: Storage = Storage::Chunked;
pub const CONTENT: Content = Content::Crystal;
pub const DATA_PATH: &str = "/data/data";
pub const TIMESTAMP_PATH: &str = "/data/timestamp";
pub const WAVELENGTH_PATH: &str = "/data/wavelength";
pub const PEAKS_PATH: &str = "/data/peaks";

pub const CONFIRMS: Confirms = Confirms::Batch(NonZeroU32::new(64).expect("it is not zero"));
pub const ACKS: Acks = Acks::Multiple(NonZeroU32::new(64).expect("it is not zero"));
/// Long compared with a batch at high rates, short for a waiting user.
pub const ACK_AFTER: Duration = Duration::from_millis(100);
pub const PREFETCH: u16 = 64;
pub const PREFETCH_CHANNEL: u16 = 0;
pub const QUEUES: u32 = 2;
pub const QUEUE_MAPPING: Mapping = Mapping::Block;
pub const QUEUE_TYPE: QueueType = QueueType::Classic;
pub const PERSISTENT: bool = false;
pub const OVERFLOW: Overflow = Overflow::RejectPublish;
pub const LEADER: LeaderLocator = LeaderLocator::Server;
pub const REPLY: Reply = Reply::Echo;
pub const REPUBLISH_LIMIT: u32 = 1000;
/// Fewer for large bodies (D5).
pub const IN_FLIGHT: u32 = 64;
pub const CLIENT: Client = Client::Native;
pub const CONNECTIONS: u32 = 1;
pub const WORKERS_PER_CONNECTION: u32 = 1;
pub const HEARTBEAT_S: u16 = 30;
/// Where workers reconnect: both ends take a connection for dead after twice this time without a sign.
pub const HEARTBEAT_RECONNECT_S: u16 = 3;
/// Halves the CPU time of a delivery at high rates, and is short compared with the latency of a loaded broker (D4).
pub const COALESCE: Duration = Duration::from_micros(200);
