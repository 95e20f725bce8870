//! A receiver's session with the control plane: registered, reported to be ready, left in order.

use ejfat::{
    Client, Result,
    messages::{Deregister, Register, SlotRange, State, Status, Timestamp},
};
use std::{
    net::SocketAddr,
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// From "not ready" until no live calendar gives it new events.
const LEAVE: Duration = Duration::from_secs(3);

/// How long a control plane may take to give slots to a consumer that is ready: it does so once a second.
const SLOTS_LIMIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// From a calendar's first appearance until it is in force: epochs begin 0.8 s ahead, at the control plane's next tick.
const IN_FORCE: Duration = Duration::from_secs(2);

/// A session; before [`Self::register`] only the intention.
pub struct Session {
    client: Client,
    lb_id: String,
    name: String,
    /// The slot that it demands, if it does.
    slot: Option<u16>,
    period: Duration,
    reporting: Option<(watch::Sender<bool>, JoinHandle<()>, Deregister, Client)>,
}

impl Session {
    pub fn new(client: Client, lb_id: String, name: String, slot: Option<u16>, period: Duration) -> Self {
        Self { client, lb_id, name, slot, period, reporting: None }
    }

    /// Registers, reports the state from a task of its own, and returns once events come.
    pub async fn register(&mut self, address: SocketAddr, port_bits: u8) -> Result<()> {
        let request = Register {
            lb_id: self.lb_id.clone(),
            name: self.name.clone(),
            weight: 1.0,
            ip_address: address.ip().to_string(),
            udp_port: u32::from(address.port()),
            port_range: i32::from(port_bits),
            slot_demands: self.slot.map(|slot| SlotRange { index: i32::from(slot), length: 1 }).into_iter().collect(),
            ..Register::default()
        };
        let registered = self.client.register(request).await?;
        let client = self.client.with_token(&registered.token)?;
        let of = Deregister { lb_id: self.lb_id.clone(), session_id: registered.session_id };
        // The first one here, so that a control plane that takes none is reported.
        client.send_state(state(&of, true)).await?;
        let (ready, seen) = watch::channel(true);
        let task = tokio::spawn(report(client.clone(), of.clone(), seen, self.period));
        self.reporting = Some((ready, task, of, client));
        self.awaits_events().await
    }

    /// Waits until it has slots in a calendar, and until that calendar and the producers' permission to send are in force.
    async fn awaits_events(&self) -> Result<()> {
        let end = Instant::now() + SLOTS_LIMIT;
        let has_slots =
            |status: &Status| status.workers.iter().any(|worker| worker.name == self.name && worker.slots_assigned > 0);
        // A control plane that reports no slots may still give some.
        while !has_slots(&self.status().await?) && Instant::now() < end {
            sleep(LOOK).await;
        }
        sleep(IN_FORCE).await;
        Ok(())
    }

    /// The status, from a control plane whose clock takes the states of this host's for new ones.
    async fn status(&self) -> Result<Status> {
        let status = self.client.status(&self.lb_id).await?;
        self.client.check_clock(&status, now_us())?;
        Ok(status)
    }

    /// Takes no new events, waits for those under way, and deregisters. The session would end by silence too.
    pub async fn leave(self) {
        let Some((ready, task, of, client)) = self.reporting else { return };
        let _ = ready.send(false);
        sleep(LEAVE).await;
        drop(ready);
        let _ = timeout(self.period, task).await;
        let _ = client.deregister(of).await;
    }
}

/// Reports until nobody holds the other end of `ready`. What fails is made up by the next one.
async fn report(client: Client, of: Deregister, mut ready: watch::Receiver<bool>, period: Duration) {
    loop {
        let is_ready = *ready.borrow_and_update();
        let _ = client.send_state(state(&of, is_ready)).await;
        if let Ok(Err(_)) = timeout(period, ready.changed()).await {
            return;
        }
    }
}

fn now_us() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

fn state(of: &Deregister, is_ready: bool) -> State {
    State {
        session_id: of.session_id.clone(),
        lb_id: of.lb_id.clone(),
        timestamp: Some(Timestamp::of_us(now_us())),
        is_ready,
        ..State::default()
    }
}
