//! The control plane without its sockets: who may do what, and who gets which slots. Pure: the caller owns the clock.

mod calls;
mod checked;
mod prediction;
mod reservation;
mod session;
mod slots;
mod tokens;

pub use slots::Strategy;

use crate::{balance::Tables, control::messages::Count, uri::DataAddress, wire::Sync};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use reservation::Held;
use std::{net::SocketAddr, sync::Arc};
use tokens::Tokens;
use tonic::Status;

/// One load balancer that can be reserved.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Where senders send synchronization packets.
    pub sync: SocketAddr,
    /// Where senders send data: at most one address of each family.
    pub data: Vec<DataAddress>,
}

/// What a control plane is started with.
#[derive(Clone)]
pub struct Settings {
    /// The token that may do everything.
    pub token: String,
    /// Whether clients reach it by TLS.
    pub tls: bool,
    /// Host that is reported to clients.
    pub host: String,
    /// Port that is reported to clients.
    pub port: u16,
    /// The load balancers.
    pub instances: Vec<Instance>,
    /// Seed of the order of slots.
    pub seed: u64,
}

/// A load balancer, its reservation if there is one, and what it balances by.
struct Balancer {
    instance: Instance,
    held: Option<Held>,
    tables: Arc<Tables>,
    /// What it counted, as it has reported.
    packets: Vec<Count>,
}

/// A control plane.
pub struct Plane {
    settings: Settings,
    tokens: Tokens,
    balancers: Vec<Balancer>,
    /// The last number given to a reservation or a session.
    last_id: u64,
    random: ChaCha8Rng,
}

impl Plane {
    /// One in which nothing is reserved.
    pub fn new(settings: Settings) -> Self {
        let balancers = settings
            .instances
            .iter()
            .map(|instance| Balancer {
                instance: instance.clone(),
                held: None,
                tables: Arc::default(),
                packets: Vec::new(),
            })
            .collect();
        Self {
            tokens: Tokens::new(settings.token.clone()),
            random: ChaCha8Rng::seed_from_u64(settings.seed),
            settings,
            balancers,
            last_id: 0,
        }
    }

    /// Where each load balancer gets its synchronization packets.
    pub fn sync_addresses(&self) -> Vec<SocketAddr> {
        self.balancers.iter().map(|balancer| balancer.instance.sync).collect()
    }

    /// Takes a synchronization packet for a load balancer. Nobody checks who sent it.
    pub fn sync(&mut self, balancer: usize, sync: &Sync, now_us: u64) {
        if let Some(held) = self.balancers.get_mut(balancer).and_then(|balancer| balancer.held.as_mut()) {
            held.sync(sync, now_us);
        }
    }

    /// What is due once a second: ends what has expired, and makes an epoch for each load balancer.
    pub fn tick(&mut self, now_us: u64) {
        for balancer in &mut self.balancers {
            let Some(held) = &mut balancer.held else { continue };
            if held.until_us <= now_us {
                self.tokens.revoke(&held.token);
                balancer.held = None;
                balancer.tables = emptied(&balancer.tables);
                continue;
            }
            for token in held.tick(now_us, &mut self.random) {
                self.tokens.revoke(&token);
            }
            if let Some(tables) = held.tables(&balancer.tables) {
                balancer.tables = Arc::new(tables);
            }
        }
    }

    /// What a load balancer balances by.
    pub fn tables(&self, balancer: usize) -> Option<Arc<Tables>> {
        self.balancers.get(balancer).map(|balancer| Arc::clone(&balancer.tables))
    }

    /// The same for the load balancer itself, which has the first token and reports what it counted.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub fn tables_for(&mut self, token: &str, balancer: u32, packets: Vec<Count>) -> Result<Arc<Tables>, Status> {
        self.tokens.check(token, tokens::Permission::Update, &[tokens::Resource::All])?;
        let count = self.balancers.len();
        let found = usize::try_from(balancer).ok().and_then(|index| self.balancers.get_mut(index));
        let found = found.ok_or_else(|| {
            Status::invalid_argument(format!("there are {count} load balancers; choose one from 0 on"))
        })?;
        found.packets = packets;
        Ok(Arc::clone(&found.tables))
    }
}

/// Tables by which nothing passes, with another version.
fn emptied(tables: &Tables) -> Arc<Tables> {
    Arc::new(Tables { version: tables.version + 1, ..Tables::default() })
}

#[cfg(test)]
mod tests;
