//! Resolves the settings as written (a [`Profile`]) into the settings of a run (a [`Plan`]).
//!
//! Pure: no I/O, no clock, no C. Every rank resolves the same profile for the same world size and gets the same plan;
//! [`Plan::digest`] checks this.
//!
//! ```
//! use profile::{Layer, Origin, Plan, combine};
//!
//! let text = "workload = 'dstream'\nmessages = 1000\n[service]\nconfirms = 'window:100'";
//! let layer = Layer::parse(Origin::CommandLine, text)?;
//! let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into()))?;
//! let plan = Plan::resolve(&profile, 4, 7)?; // for 4 ranks, run 7
//! assert_eq!((plan.placement.producers, plan.placement.consumers), (2, 2));
//! assert_eq!(plan.digest(), Plan::resolve(&profile, 4, 7)?.digest());
//! # Ok::<(), profile::ProfileError>(())
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod arrivals;
mod contents;
mod defaults;
mod ejfat;
mod endpoints;
mod ends;
mod error;
mod experiment;
mod facility;
mod fault;
mod files;
mod flow;
mod knobs;
mod layers;
mod load;
mod look;
mod message;
mod names;
mod neighbours;
mod network;
mod origin;
mod placement;
mod plan;
mod profile;
mod reconnect;
mod replay;
mod requests;
#[cfg(test)]
mod sample;
mod search;
mod service;
mod shipped;
mod sink;
pub mod sizes;
mod spread;
mod stamp;
mod values;
mod warmup;

pub use arrivals::{Arrivals, Level, LoadRate, Phase, Phases};
pub use contents::{Content, Dtype, EventClock, Events, Fill, Format, Rate, Storage};
pub use ejfat::{BUFFER_BYTES as EJFAT_BUFFER_BYTES, Ejfat};
pub use ends::External;
pub use error::ProfileError;
pub use experiment::{Experiment, Point};
pub use fault::{Action, Fault, Part, Resource, Side};
pub use files::{Cut, FilesProfile, Found, FoundFile, Order, Prefix, Reading, Record};
pub use flow::{Binding, Exchange, ExchangeKind, Flow, Mark, QueuePlan, Source, Target};
pub use knobs::{Client, Delay, Layout, LeaderLocator, Mapping, QueueType, Reply, Role};
pub use layers::{Layer, combine};
pub use load::{COUNT_BITS, Load, Segment, Trace};
pub use look::{Colour, Marker};
pub use message::{Frames, Message};
pub use names::nearest;
pub use neighbours::Neighbours;
pub use network::Network;
pub use origin::Origin;
pub use placement::{Placement, RankRole, share};
pub use plan::{Limits, MeasuredWindow, Plan, RunLength};
pub use profile::{
    Auth, FramesProfile, LoadProfile, MessageProfile, NeighboursProfile, Profile, RouteProfile, ServiceProfile,
};
pub use reconnect::{Backoff, Reconnect, ReconnectProfile};
pub use replay::Replay;
pub use requests::{ControlServerProfile, EjfatProfile, HopProfile, S3mProfile, SciStreamProfile};
pub use search::Search;
pub use service::Service;
pub use shipped::{Kind, Shipped, find, list};
pub use sink::{Sink, SinkForm, SinkProfile};
pub use spread::Spread;
pub use stamp::Stamp;
pub use values::{Acks, Confirms, Overflow, Pattern, Size, Span, Verify};
pub use warmup::Warmup;
