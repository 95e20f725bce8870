//! What was written: every field optional, every unknown key refused.

use crate::{
    arrivals::{Arrivals, LoadRate, Phases},
    contents::{Content, Dtype, Events, Fill, Format, Rate, Storage},
    knobs::{Delay, Layout, LeaderLocator, Mapping, QueueType, Reply},
    requests::{HopProfile, S3mProfile, SciStreamProfile},
    spread::Spread,
    values::{Acks, Confirms, Overflow, Pattern, Size, Span, Verify},
    warmup::Warmup,
};
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroU64};

/// One run as a person describes it. A profile file, a workload file, an architecture file and the
/// command line are all partial profiles; [`crate::combine`] lays them over each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Architecture: a shipped name or a file.
    pub arch: Option<String>,
    /// Workload: a shipped name or a file.
    pub workload: Option<String>,
    /// Messaging pattern.
    pub pattern: Option<Pattern>,
    /// Number of producers over all ranks.
    pub producers: Option<NonZeroU32>,
    /// Number of consumers over all ranks.
    pub consumers: Option<NonZeroU32>,
    /// Messages of all producers together. Excludes `duration`.
    pub messages: Option<NonZeroU64>,
    /// Length of the measured window. Excludes `messages`.
    pub duration: Option<Span>,
    /// What passes before the measured window, in which messages flow but are not measured.
    pub warmup: Option<Warmup>,
    /// When the window begins all the same, where the warm-up is not just a time.
    pub warmup_limit: Option<Span>,
    /// How long producers go on after the measured window, so that its last messages meet the same load.
    pub cooldown: Option<Span>,
    /// Seed of every random choice.
    pub seed: Option<u64>,
    /// Which bodies consumers check.
    pub verify: Option<Verify>,
    /// Limit on streaming, from the start to the last delivery.
    pub timeout: Option<Span>,
    /// How workers are laid out over ranks.
    pub layout: Option<Layout>,
    /// How long a consumer works on each message before it acknowledges it.
    pub service_time: Option<Delay>,
    /// How long a producer pauses after each message.
    pub think_time: Option<Delay>,
    /// How fast messages are offered.
    pub load: LoadProfile,
    /// What a message is.
    pub message: MessageProfile,
    /// Settings of the streaming service and of its clients.
    pub service: ServiceProfile,
    /// Where producers and consumers connect to.
    pub route: RouteProfile,
}

/// How fast messages are offered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadProfile {
    /// `max`, `nominal`, `20000/s` or `8Gbit/s`, of all producers together.
    pub rate: Option<LoadRate>,
    /// Whether a rate is that of each producer. `nominal` is always the whole instrument's.
    pub per_producer: Option<bool>,
    /// How the times between messages are spread.
    pub arrivals: Option<Arrivals>,
    /// How the rate changes over the run, from the start of streaming.
    pub phases: Option<Phases>,
    /// Times of the messages of all producers in seconds, for `arrivals = "trace"`; read from the file of `trace:FILE`.
    pub trace: Option<Vec<f64>>,
    /// Overdue messages that a sender sends on end before it pauses for the gap between two [default: no limit].
    pub catchup_limit: Option<NonZeroU32>,
    /// Whether senders spin for the last moments before a message is due.
    pub spin: Option<bool>,
}

/// What a message is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageProfile {
    /// One line on what it stands for.
    pub about: Option<String>,
    /// Layout of the body.
    pub format: Option<Format>,
    /// Size of one event. Where `frames` say what an event is, its size follows from them.
    pub event_bytes: Option<Size>,
    /// Events in one message: a number, `uniform:4-12` or `poisson:8`.
    pub events: Option<Events>,
    /// Nominal rate of all producers together, as the instrument has it: `32Gbit/s`, `60/s`.
    pub rate: Option<Rate>,
    /// Whether bodies are built before the clock starts (`ring`) or each as it is sent (`fresh`).
    pub fill: Option<Fill>,
    /// Memory for bodies built before the clock starts, for each producer.
    pub ring: Option<Size>,
    /// Bodies built before the clock starts, for each producer, where not as many as fit into `ring`.
    pub ring_bodies: Option<NonZeroU32>,
    /// Memory for bodies of all producers of a rank together.
    pub memory: Option<Size>,
    /// Share of a body that carries no noise and so compresses: 0 is as the instrument, 1 is the most.
    pub compressible: Option<f64>,
    /// What an event of an HDF5 file is.
    pub frames: FramesProfile,
}

/// Detector frames in an HDF5 file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FramesProfile {
    /// Extents of one frame, slowest first: `[512, 1024]`.
    pub shape: Option<Vec<u32>>,
    /// Type of a pixel.
    pub dtype: Option<Dtype>,
    /// How datasets lie in the file.
    pub storage: Option<Storage>,
    /// What frames show.
    pub content: Option<Content>,
    /// Path of the frames, `[events, ...shape]`.
    pub data: Option<String>,
    /// Path of the times of events in seconds since 1970, f64 `[events]`.
    pub timestamp: Option<String>,
    /// Path of the wavelengths in Angstrom, f64 `[events]`. Empty for none.
    pub wavelength: Option<String>,
    /// Path of the peaks that are truly there, u16 `[events, 16, 3]`. Empty for none.
    pub peaks: Option<String>,
}

/// Settings of the streaming service and of its clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceProfile {
    /// Publisher confirms.
    pub confirms: Option<Confirms>,
    /// Consumer acknowledgements.
    pub acks: Option<Acks>,
    /// With `acks = "multiple:N"`, how long fewer than N deliveries wait to be acknowledged.
    pub ack_after: Option<Span>,
    /// Unacknowledged deliveries a consumer may hold. 0 is no limit.
    pub prefetch: Option<u16>,
    /// Unacknowledged deliveries that all consumers of a channel may hold together. 0 is no limit.
    pub prefetch_channel: Option<u16>,
    /// Shared work queues.
    pub queues: Option<NonZeroU32>,
    /// How workers map to shared queues.
    pub queue_mapping: Option<Mapping>,
    /// What the service keeps a queue in.
    pub queue_type: Option<QueueType>,
    /// Whether queues outlive a restart of the service.
    pub durable: Option<bool>,
    /// Whether messages are written to disk.
    pub persistent: Option<bool>,
    /// Messages a queue holds at most.
    pub max_length: Option<NonZeroU64>,
    /// Body bytes a queue holds at most.
    pub max_bytes: Option<Size>,
    /// What a full queue does.
    pub overflow: Option<Overflow>,
    /// How long a message may wait in a queue before it is dropped.
    pub ttl: Option<Span>,
    /// On which node of a cluster the leader of a queue is put.
    pub leader: Option<LeaderLocator>,
    /// What a consumer answers with, in the patterns that have answers.
    pub reply: Option<Reply>,
    /// Connections over which each worker spreads its messages.
    pub connections: Option<NonZeroU32>,
    /// Workers of a rank that share a connection, each with a channel of its own.
    pub workers_per_connection: Option<NonZeroU32>,
    /// Largest AMQP frame to ask for [default: one body, 16 KiB to 128 KiB].
    pub frame_max: Option<Size>,
    /// The socket's send buffer [default: the system's].
    pub send_buffer: Option<Size>,
    /// The socket's receive buffer [default: the system's].
    pub receive_buffer: Option<Size>,
    /// Publishes handed to the client library and not yet written to the socket.
    pub in_flight: Option<NonZeroU32>,
    /// How often a rejected message is published again before it is given up.
    pub republish_limit: Option<u32>,
    /// Seconds between AMQP heartbeats. 0 turns them off.
    pub heartbeat_s: Option<u16>,
    /// A rank that only consumes looks at its sockets at most once in this time; 0s for at once.
    pub coalesce: Option<Span>,
}

/// Where producers and consumers connect to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteProfile {
    /// One line on the path that bytes take.
    pub about: Option<String>,
    /// The route of a local testbed that stands for this architecture.
    pub testbed: Option<String>,
    /// Whether clients speak TLS (AMQPS).
    pub tls: Option<bool>,
    /// Whether consumers go through the route's proxies too, where it has any.
    pub consumers_via_proxy: Option<bool>,
    /// `amqp[s]://user@host:port/vhost` of each address, for producers and consumers.
    pub urls: Option<Vec<String>>,
    /// Addresses for producers only.
    pub producer_urls: Option<Vec<String>>,
    /// Addresses for consumers only.
    pub consumer_urls: Option<Vec<String>>,
    /// A tunnel to ask SciStream control servers for, in place of addresses for producers.
    pub scistream: Option<SciStreamProfile>,
    /// A managed service to ask an S3M interface for, in place of addresses.
    pub s3m: Option<S3mProfile>,
    /// Legs of a route whose addresses are given, for the record.
    pub hops: Option<Vec<HopProfile>>,
    /// `http[s]://[USER@]HOST:PORT` of the service's management API, to watch its queues while they stream.
    pub management: Option<String>,
    /// How workers spread over several addresses of their side: `round-robin`, `block`, `random`, `single` or a number.
    pub spread: Option<Spread>,
    /// How many of the service's nodes clients connect to directly, the first ones; all, unless this says fewer.
    pub nodes: Option<NonZeroU32>,
    /// `HOST:PORT:ADDR:PORT`: connect to the second pair, but send and verify the first name.
    pub connect_to: Option<Vec<String>>,
    /// File with the certificates of the authorities to trust (PEM), instead of the system's.
    pub ca: Option<String>,
    /// File with the client's certificate (PEM).
    pub cert: Option<String>,
    /// File with the client's key (PEM).
    pub key: Option<String>,
    /// What logs in: `password`, or `external`: the client's certificate (SASL EXTERNAL).
    pub auth: Option<Auth>,
    /// File of an OAuth 2 token that logs in, in place of a password; it is read again when it changes.
    pub token_file: Option<String>,
}

/// What logs in at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// User and password, or a token in its place.
    Password,
    /// The client's certificate.
    External,
}
