//! The profile as written: every field is optional, unknown keys are rejected.

use crate::{
    arrivals::{Arrivals, LoadRate, Phases},
    contents::{Content, Dtype, EventClock, Events, Fill, Format, Rate, Storage},
    fault::Fault,
    files::FilesProfile,
    knobs::{Client, Delay, Layout, LeaderLocator, Mapping, QueueType, Reply, Role},
    look::{Colour, Marker},
    reconnect::ReconnectProfile,
    requests::{EjfatProfile, HopProfile, S3mProfile, SciStreamProfile},
    sink::SinkProfile,
    spread::Spread,
    stamp::Stamp,
    values::{Acks, Confirms, Overflow, Pattern, Size, Span, Verify},
    warmup::Warmup,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

/// One run as written. A profile file, a workload file, an architecture file and the command line are all partial
/// profiles; [`crate::combine`] lays them over each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Architecture: a shipped name or a file.
    pub arch: Option<String>,
    /// Workload: a shipped name or a file.
    pub workload: Option<String>,
    /// Messaging pattern.
    pub pattern: Option<Pattern>,
    /// Number of producers over all ranks. 0: producers are programs of others.
    pub producers: Option<u32>,
    /// Number of consumers over all ranks. 0: consumers are programs of others.
    pub consumers: Option<u32>,
    /// How long a run of one end waits for programs of others at the other one, before it streams.
    pub wait_for_peers: Option<Span>,
    /// Messages of all producers together. Excludes `duration`.
    pub messages: Option<NonZeroU64>,
    /// Length of the measured window. Excludes `messages`.
    pub duration: Option<Span>,
    /// The warm-up before the measured window, in which messages flow but are not measured.
    pub warmup: Option<Warmup>,
    /// When the window begins in any case, if the warm-up is not just a time.
    pub warmup_limit: Option<Span>,
    /// How long producers continue after the measured window, so that its last messages meet the same load.
    pub cooldown: Option<Span>,
    /// Seed of every random choice.
    pub seed: Option<u64>,
    /// Which bodies consumers check.
    pub verify: Option<Verify>,
    /// Limit on streaming, from the start to the last delivery.
    pub timeout: Option<Span>,
    /// The placement of workers on ranks.
    pub layout: Option<Layout>,
    /// The role of each rank, in place of `layout`; parts of a heterogeneous launch give theirs with `--role`.
    pub roles: Option<Vec<Role>>,
    /// How long a consumer works on each message before it acknowledges it.
    pub service_time: Option<Delay>,
    /// How long a producer pauses after each message.
    pub think_time: Option<Delay>,
    /// How fast messages are offered.
    pub load: LoadProfile,
    /// The messages.
    pub message: MessageProfile,
    /// Settings of the streaming service and of its clients.
    pub service: ServiceProfile,
    /// The addresses of producers and consumers.
    pub route: RouteProfile,
    /// Other tenants of the service while the run streams.
    pub neighbours: NeighboursProfile,
    /// Where arrived messages are written, to be looked at.
    pub sink: SinkProfile,
    /// Faults to cause while it streams: tables with `at` and `do`, or texts such as `at 10s: restart node 2`, or one text.
    pub fault: Option<Vec<Fault>>,
    /// Commands that carry out faults on a service of one's own, by verb and object: `kill node`, or `kill node 2`.
    pub fault_commands: BTreeMap<String, String>,
}

/// How fast messages are offered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadProfile {
    /// `max`, `nominal`, `20000/s` or `8Gbit/s`, of all producers together.
    pub rate: Option<LoadRate>,
    /// Whether a rate is that of each producer. `nominal` is always the whole instrument's.
    pub per_producer: Option<bool>,
    /// The distribution of the times between messages.
    pub arrivals: Option<Arrivals>,
    /// How the rate changes over the run, from the start of streaming.
    pub phases: Option<Phases>,
    /// Times of the messages of all producers in seconds, for `arrivals = "trace"`; read from the file of `trace:FILE`.
    pub trace: Option<Vec<f64>>,
    /// Overdue messages that a sender sends before it pauses for the gap between two messages [default: unlimited].
    pub catchup_limit: Option<NonZeroU32>,
    /// Whether senders spin for the last moments before a message is due.
    pub spin: Option<bool>,
}

/// The messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageProfile {
    /// The name of the workload in figures, if it differs from the profile's.
    pub title: Option<String>,
    /// One line of description.
    pub about: Option<String>,
    /// Layout of the body.
    pub format: Option<Format>,
    /// Size of one event. With `frames`, the size follows from them.
    pub event_bytes: Option<Size>,
    /// Events in one message: a number, `uniform:4-12` or `poisson:8`.
    pub events: Option<Events>,
    /// The instrument's nominal rate, of all producers together: `32Gbit/s`, `60/s`.
    pub rate: Option<Rate>,
    /// Whether bodies are built before the clock starts (`ring`) or for each message (`fresh`).
    pub fill: Option<Fill>,
    /// Memory for bodies built before the clock starts, for each producer.
    pub ring: Option<Size>,
    /// Bodies built before the clock starts, for each producer [default: as many as fit into `ring`].
    pub ring_bodies: Option<NonZeroU32>,
    /// Memory for bodies of all producers of a rank together.
    pub memory: Option<Size>,
    /// Fraction of a body without noise, which compresses: 0 is like the instrument, 1 is the most.
    pub compressible: Option<f64>,
    /// The events of an HDF5 file.
    pub frames: FramesProfile,
    /// The files to replay.
    pub files: FilesProfile,
}

/// Detector frames in an HDF5 file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FramesProfile {
    /// Extents of one frame, slowest first: `[512, 1024]`.
    pub shape: Option<Vec<u32>>,
    /// Type of a pixel.
    pub dtype: Option<Dtype>,
    /// Storage of the datasets.
    pub storage: Option<Storage>,
    /// Contents of the frames.
    pub content: Option<Content>,
    /// Path of the frames, `[events, ...shape]`.
    pub data: Option<String>,
    /// Path of the times of events, f64 `[events]`.
    pub timestamp: Option<String>,
    /// What those times are.
    pub clock: Option<EventClock>,
    /// Path of the wavelengths in Angstrom, f64 `[events]`. Empty: left out.
    pub wavelength: Option<String>,
    /// Path of the true peaks, u16 `[events, 16, 3]`. Empty: left out.
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
    /// Unacknowledged deliveries a consumer may hold. 0 means unlimited.
    pub prefetch: Option<u16>,
    /// Unacknowledged deliveries that all consumers of a channel may hold together. 0 means unlimited.
    pub prefetch_channel: Option<u16>,
    /// Shared work queues.
    pub queues: Option<NonZeroU32>,
    /// The queue that messages go through: it exists, and is neither declared nor deleted.
    pub queue: Option<String>,
    /// The exchange that messages go to: it exists, and is neither declared nor deleted.
    pub exchange: Option<String>,
    /// Routing key of messages to that exchange, and of the bindings of the run's queues to it [default: empty].
    pub routing_key: Option<String>,
    /// What names of queues and exchanges begin with, such as `lcls.frames` [default: `streamharness.` and the run's number].
    pub names: Option<String>,
    /// Where messages of external producers have the time at which they were sent: `property`, `property:ms`, `header:NAME:ns`.
    pub timestamp: Option<Stamp>,
    /// How workers map to shared queues.
    pub queue_mapping: Option<Mapping>,
    /// The type of the queues.
    pub queue_type: Option<QueueType>,
    /// Whether queues outlive a restart of the service.
    pub durable: Option<bool>,
    /// Whether messages are written to disk.
    pub persistent: Option<bool>,
    /// Limit on the messages of a queue.
    pub max_length: Option<NonZeroU64>,
    /// Limit on the body bytes of a queue.
    pub max_bytes: Option<Size>,
    /// Behaviour of a full queue.
    pub overflow: Option<Overflow>,
    /// How long a message may wait in a queue before it is dropped.
    pub ttl: Option<Span>,
    /// The node of a cluster that gets the leader of a queue.
    pub leader: Option<LeaderLocator>,
    /// The body of a reply, in patterns with replies.
    pub reply: Option<Reply>,
    /// The client that carries messages.
    pub client: Option<Client>,
    /// Connections over which each worker spreads its messages.
    pub connections: Option<NonZeroU32>,
    /// Workers of a rank that share a connection, each with a channel of its own.
    pub workers_per_connection: Option<NonZeroU32>,
    /// Largest AMQP frame to request [default: one body, 16 KiB to 128 KiB].
    pub frame_max: Option<Size>,
    /// The socket's send buffer [default: the system's].
    pub send_buffer: Option<Size>,
    /// The socket's receive buffer [default: the system's].
    pub receive_buffer: Option<Size>,
    /// Limit on publishes handed to the client library and not yet written to the socket.
    pub in_flight: Option<NonZeroU32>,
    /// How often a rejected message is published again before it is abandoned.
    pub republish_limit: Option<u32>,
    /// Seconds between AMQP heartbeats. 0 turns them off.
    pub heartbeat_s: Option<u16>,
    /// How workers come back after a lost connection [default: it ends the run].
    pub reconnect: Option<ReconnectProfile>,
    /// A rank that only consumes checks its sockets at most once in this time; `0s`: at once (D4).
    pub coalesce: Option<Span>,
}

/// The addresses of producers and consumers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteProfile {
    /// The name of the architecture in figures, if it differs from the profile's.
    pub title: Option<String>,
    /// Its colour in figures, as `#rrggbb`.
    pub colour: Option<Colour>,
    /// Its marker in figures: `disc`, `square`, `diamond`, `up`, `down`, `ring` or `cross`.
    pub marker: Option<Marker>,
    /// One line of description of the route.
    pub about: Option<String>,
    /// The route of a local testbed for this architecture.
    pub testbed: Option<String>,
    /// Whether clients speak TLS (AMQPS).
    pub tls: Option<bool>,
    /// Whether consumers use the route's proxies too, if it has any.
    pub consumers_via_proxy: Option<bool>,
    /// `amqp[s]://user@host:port/vhost` of each address, for producers and consumers.
    pub urls: Option<Vec<String>>,
    /// Addresses for producers only.
    pub producer_urls: Option<Vec<String>>,
    /// Addresses for consumers only.
    pub consumer_urls: Option<Vec<String>>,
    /// A tunnel to request from SciStream control servers, instead of addresses for producers.
    pub scistream: Option<SciStreamProfile>,
    /// A managed service to request from an S3M interface, instead of addresses.
    pub s3m: Option<S3mProfile>,
    /// EJFAT in place of a message broker.
    pub ejfat: Option<EjfatProfile>,
    /// Hops of a route whose addresses are given, for the record.
    pub hops: Option<Vec<HopProfile>>,
    /// `http[s]://[USER@]HOST:PORT` of the service's management API, to watch its queues while they stream.
    pub management: Option<String>,
    /// How workers spread over several addresses of their side: `round-robin`, `block`, `random`, `single` or a number.
    pub spread: Option<Spread>,
    /// Number of the service's nodes that clients connect to directly, counted from the first [default: all].
    pub nodes: Option<NonZeroU32>,
    /// `HOST:PORT:ADDR:PORT`: connect to the second pair, but send and verify the first name.
    pub connect_to: Option<Vec<String>>,
    /// Network interface of rank 0's host, or its address, at which the other hosts reach a testbed of the launch's own.
    pub interface: Option<String>,
    /// Hosts that have a broker of a testbed of the launch's own, where ranks are on several hosts.
    pub service_hosts: Option<NonZeroU32>,
    /// `FROM-TO`: ports that a testbed of the launch's own may use.
    pub ports: Option<String>,
    /// File with the certificates of the authorities to trust (PEM), instead of the system's.
    pub ca: Option<String>,
    /// File with the client's certificate (PEM).
    pub cert: Option<String>,
    /// File with the client's key (PEM).
    pub key: Option<String>,
    /// The login: `password`, or `external` for the client's certificate (SASL EXTERNAL).
    pub auth: Option<Auth>,
    /// File of an OAuth 2 token for the login, instead of a password; it is read again when it changes.
    pub token_file: Option<String>,
}

/// Other tenants of the service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeighboursProfile {
    /// How many.
    pub tenants: Option<u32>,
    /// What each of them streams [default: dstream].
    pub workload: Option<String>,
    /// How fast each of them streams: `2000/s`, `nominal`.
    pub rate: Option<LoadRate>,
}

/// The kind of login at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// User and password, or a token instead of a password.
    Password,
    /// The client's certificate.
    External,
}
