//! Connecting workers; there is nothing to declare.

use crate::{
    fault::{fault, refused},
    patience::patiently,
    publisher::{EjfatPublisher, Ways},
    session::Session,
    settings::{Route, Settings},
    subscriber::{EjfatSubscriber, Kind},
};
use ejfat::{Client, Pacing, Receiver, ReceiverOptions, SLOTS, Sender, SenderOptions, Syncing, Uri, check_mtu};
use engine::ports::{ConnectionFacts, Fault, Look, Role, Service, Transport, Undeleted, Until, Worker};
use measure::record::Connection;
use profile::{Exchange, QueuePlan, Source, Target};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc::channel;

const ONE_WAY: &str =
    "this transport was started without a way back from consumers to producers; use the pattern work-sharing";

/// EJFAT as the engine sees it.
#[derive(Debug, Clone)]
pub struct EjfatTransport(Arc<Settings>);

impl EjfatTransport {
    /// One with these settings. Load balancers are reserved before, and freed after.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }

    /// The way of messages, or that of replies.
    fn route(&self, of_replies: bool) -> Result<&Route, Fault> {
        if of_replies { self.0.back.as_ref().ok_or_else(|| refused(ONE_WAY)) } else { Ok(&self.0.route) }
    }

    async fn client(&self, route: &Route) -> Result<Option<Client>, Fault> {
        match route {
            Route::Direct(_) => Ok(None),
            Route::Balanced { uri, trust, .. } => {
                Client::connect(uri, trust, self.0.limit).await.map(Some).map_err(fault)
            }
        }
    }

    /// What sends to `to` for a worker of this index.
    fn sender(&self, index: u32, to: SocketAddr) -> Result<Sender, Fault> {
        let Settings { mtu, version, sockets, buffer_bytes, .. } = &*self.0;
        let data_id =
            u16::try_from(index).map_err(|_| refused("EJFAT has at most 65536 sources; use fewer workers"))?;
        let options = SenderOptions {
            to,
            sockets: *sockets,
            mtu: *mtu,
            version: *version,
            data_id,
            buffer_bytes: *buffer_bytes,
            pacing: Pacing::None,
            offload: true,
        };
        Sender::open(&options).map_err(fault)
    }

    /// Where a worker's events go.
    fn ways(&self, worker: Worker, route: &Route) -> Result<Ways, Fault> {
        let replies = worker.role == Role::Consumer;
        match route {
            Route::Direct(receivers) if replies => {
                let senders = receivers.iter().map(|to| self.sender(worker.index, *to));
                Ok(Ways::to_each(senders.collect::<Result<_, _>>()?))
            }
            Route::Direct(receivers) => {
                let index = usize::try_from(worker.index).unwrap_or(usize::MAX);
                let to = receivers.get(index % receivers.len().max(1)).copied();
                let to = to.ok_or_else(|| refused("there is no consumer to send to; use --consumers 1 or more"))?;
                Ok(Ways::messages(self.sender(worker.index, to)?))
            }
            Route::Balanced { uri, host, .. } => {
                let data = uri.data.iter().find(|data| data.ip.is_ipv4() == host.is_ipv4());
                let data = data.ok_or_else(|| {
                    refused("the EJFAT address has no data= of this host's family of addresses; add one")
                })?;
                let sender = self.sender(worker.index, SocketAddr::new(data.ip, *data.ports.start()))?;
                Ok(if replies { Ways::by_slot(sender) } else { Ways::messages(sender) })
            }
        }
    }

    fn receiver_options(&self, worker: Worker, route: &Route) -> Result<ReceiverOptions, Fault> {
        let Settings { port_bits, buffer_bytes, limits, .. } = &*self.0;
        let index = usize::try_from(worker.index).unwrap_or(usize::MAX);
        let (address, lb_header) = match route {
            Route::Direct(receivers) => (receivers.get(index).copied(), true),
            Route::Balanced { host, .. } => (Some(SocketAddr::new(*host, 0)), false),
        };
        let address =
            address.ok_or_else(|| refused("there are more receivers than addresses for them; give one for each"))?;
        Ok(ReceiverOptions {
            ip: address.ip(),
            first_port: address.port(),
            port_bits: *port_bits,
            buffer_bytes: *buffer_bytes,
            limits: *limits,
            lb_header,
        })
    }

    /// A worker's session with the control plane of a load balancer. Each producer demands a slot, so that replies find it.
    fn session(&self, worker: Worker, client: Client, uri: &Uri) -> Result<Session, Fault> {
        let (name, slot) = match worker.role {
            Role::Consumer => (format!("consumer-{}", worker.index), None),
            Role::Producer => {
                let slot = u16::try_from(worker.index).ok().filter(|slot| *slot < SLOTS);
                let slot = slot.ok_or_else(|| refused("EJFAT has slots for replies to 512 producers; use fewer"))?;
                (format!("producer-{}", worker.index), Some(slot))
            }
        };
        Ok(Session::new(client, reservation(uri)?, name, slot, self.0.state_period))
    }
}

impl Transport for EjfatTransport {
    type Publisher = EjfatPublisher;
    type Subscriber = EjfatSubscriber;

    async fn connect_publisher(&self, worker: Worker, _: &Target) -> Result<EjfatPublisher, Fault> {
        let route = self.route(worker.role == Role::Consumer)?;
        let ways = self.ways(worker, route)?;
        let mut syncing = None;
        if let (Route::Balanced { uri, host, .. }, Some(client)) = (route, self.client(route).await?) {
            let reservation = reservation(uri)?;
            let allowed = patiently(|| client.add_senders(&reservation, vec![host.to_string()]));
            allowed.await.map_err(fault)?;
            let to = uri.sync.iter().find(|sync| sync.is_ipv4() == host.is_ipv4());
            let to = to
                .ok_or_else(|| refused("the EJFAT address has no sync= of this host's family of addresses; add one"))?;
            syncing = Some(Syncing::start(*to, worker.index, self.0.sync_period).map_err(fault)?);
        }
        let facts = facts(ways.send_bytes(), None);
        Ok(EjfatPublisher::new(ways, syncing, facts))
    }

    async fn connect_subscriber(&self, worker: Worker, _: &Source) -> Result<EjfatSubscriber, Fault> {
        let route = self.route(worker.role == Role::Producer)?;
        if let Route::Balanced { uri, .. } = route {
            // The load balancer's packets come the same way back, without its header.
            let carries =
                |data: &ejfat::DataAddress| check_mtu(SocketAddr::new(data.ip, *data.ports.start()), self.0.mtu);
            uri.data.iter().try_for_each(carries).map_err(fault)?;
        }
        let (arrived, events) = channel(self.0.queue.max(1));
        let deliver = move |arrival| arrived.try_send(arrival).is_ok();
        let receiver = Receiver::start(&self.receiver_options(worker, route)?, deliver).map_err(fault)?;
        let session = match (route, self.client(route).await?) {
            (Route::Balanced { uri, .. }, Some(client)) => Some(self.session(worker, client, uri)?),
            _ => None,
        };
        let kind = match (worker.role, &self.0.back) {
            (Role::Producer, _) => Kind::Replies,
            (Role::Consumer, Some(_)) => Kind::Asking,
            (Role::Consumer, None) => Kind::Messages,
        };
        let facts = facts(None, Some(receiver.receive_bytes()));
        Ok(EjfatSubscriber::new(kind, receiver, events, session, self.0.port_bits, facts))
    }

    async fn declare(&self, _: &[Exchange], _: &[QueuePlan]) -> Result<Service, Fault> {
        let Some(client) = self.client(&self.0.route).await? else {
            return Ok(Service { product: "EJFAT without a load balancer".to_owned(), ..Service::default() });
        };
        let version = client.version().await.map_err(fault)?;
        let version = format!("{} (compatible with {})", version.build, version.compat_tag);
        Ok(Service { product: "EJFAT".to_owned(), version, ..Service::default() })
    }

    async fn held(&self, _: &[QueuePlan]) -> Result<u64, Fault> {
        Ok(0)
    }

    /// Nothing: there are no queues.
    async fn look(&self, _: &[QueuePlan], _: Until, _: Duration) -> Result<Vec<Look>, Fault> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &[Exchange], _: &[QueuePlan]) -> Result<Vec<Undeleted>, Fault> {
        Ok(Vec::new())
    }
}

fn reservation(uri: &Uri) -> Result<String, Fault> {
    uri.lb_id.clone().ok_or_else(|| refused("the EJFAT address names no reservation; reserve one"))
}

fn facts(send_bytes: Option<usize>, receive_bytes: Option<usize>) -> ConnectionFacts {
    let connection = Connection {
        send_buffer_bytes: send_bytes.map(|bytes| bytes as u64),
        receive_buffer_bytes: receive_bytes.map(|bytes| bytes as u64),
        ..Connection::default()
    };
    ConnectionFacts { connection, ..ConnectionFacts::default() }
}
