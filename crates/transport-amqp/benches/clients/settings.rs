//! The settings that are measured, each with the clients that are compared.

use crate::Client;
use std::fmt::{self, Display};

/// Deliveries that are acknowledged at once.
pub const ACKS: u64 = 64;

/// How a producer waits for confirms.
#[derive(Debug, Clone, Copy)]
pub enum Confirms {
    None,
    Each,
    Batch(u64),
    Window(u64),
}

impl Confirms {
    /// With how many unconfirmed messages a producer stops, and with how many it goes on; 0 is without confirms.
    pub fn limits(self) -> (u64, u64) {
        match self {
            Self::None => (0, 0),
            Self::Each => (1, 0),
            Self::Batch(messages) => (messages, 0),
            Self::Window(messages) => (messages, messages - 1),
        }
    }
}

/// As the harness's command line has it.
impl Display for Confirms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Each => f.write_str("each"),
            Self::Batch(messages) => write!(f, "batch:{messages}"),
            Self::Window(messages) => write!(f, "window:{messages}"),
        }
    }
}

/// One row of the table for each client.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub workload: &'static str,
    /// Size of a message of this workload.
    pub bytes: u64,
    /// Enough for about two seconds.
    pub messages: u64,
    pub confirms: Confirms,
    pub prefetch: u16,
    pub tls: bool,
    /// Producers, and as many consumers; each has a process of its own, each pair a queue.
    pub pairs: u64,
}

const DSTREAM: Setting = Setting {
    workload: "dstream",
    bytes: 16_000,
    messages: 40_000,
    confirms: Confirms::Window(64),
    prefetch: 64,
    tls: false,
    pairs: 1,
};
const LSTREAM: Setting = Setting { workload: "lstream", bytes: 1_064_336, messages: 800, ..DSTREAM };

/// All of them.
pub fn all() -> Vec<Setting> {
    let one_pair = [
        Setting { confirms: Confirms::None, prefetch: 256, ..DSTREAM },
        DSTREAM,
        Setting { confirms: Confirms::Each, messages: 8_000, ..DSTREAM },
        Setting { confirms: Confirms::None, ..LSTREAM },
        Setting { confirms: Confirms::Batch(64), ..LSTREAM },
    ];
    let encrypted = one_pair.map(|setting| Setting { tls: true, ..setting });
    let many = [2, 4, 8].map(|pairs| Setting { pairs, ..DSTREAM });
    one_pair.into_iter().chain(encrypted).chain(many).collect()
}

impl Setting {
    pub fn name(&self) -> String {
        let Self { workload, confirms, prefetch, pairs, .. } = self;
        let tls = if self.tls { ", TLS" } else { "" };
        format!("{workload}, confirms {confirms}, prefetch {prefetch}{tls}, {pairs}+{pairs}")
    }

    /// The clients to compare.
    pub fn clients(&self, with_c: bool) -> Vec<Client> {
        let ours = |client, checks| Client::Ours { client, checks };
        let ours: &[Client] = if self.pairs > 1 {
            &[ours("native", false)]
        } else {
            &[ours("native", false), ours("lapin", false), ours("native", true), ours("lapin", true)]
        };
        with_c.then_some(Client::C).into_iter().chain(ours.iter().copied()).collect()
    }
}
