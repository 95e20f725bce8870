//! Connecting workers; there is nothing to declare.

use crate::{
    fault::{fault, refused},
    publisher::EjfatPublisher,
    session::Session,
    settings::{Route, Settings},
    subscriber::EjfatSubscriber,
};
use ejfat::{Client, Pacing, Receiver, ReceiverOptions, Sender, SenderOptions, Syncing, check_mtu};
use engine::ports::{ConnectionFacts, Fault, Look, Role, Service, Transport, Undeleted, Until, Worker};
use measure::record::Connection;
use profile::{Exchange, QueuePlan, Source, Target};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc::channel;

const ONE_WAY: &str = "EJFAT has no way back from consumers to producers; use the pattern work-sharing";

/// EJFAT as the engine sees it.
#[derive(Debug, Clone)]
pub struct EjfatTransport(Arc<Settings>);

impl EjfatTransport {
    /// One with these settings. The load balancer is reserved before, and freed after.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }

    async fn client(&self) -> Result<Option<Client>, Fault> {
        match &self.0.route {
            Route::Direct(_) => Ok(None),
            Route::Balanced { uri, trust, .. } => {
                Client::connect(uri, trust, self.0.limit).await.map(Some).map_err(fault)
            }
        }
    }

    fn sender(&self, worker: Worker) -> Result<Sender, Fault> {
        let Settings { route, mtu, version, sockets, buffer_bytes, .. } = &*self.0;
        let index = usize::try_from(worker.index).unwrap_or(usize::MAX);
        let to = match route {
            Route::Direct(consumers) => consumers.get(index % consumers.len().max(1)).copied(),
            Route::Balanced { uri, host, .. } => {
                let family = uri.data.iter().find(|data| data.ip.is_ipv4() == host.is_ipv4());
                family.map(|data| SocketAddr::new(data.ip, *data.ports.start()))
            }
        };
        let to =
            to.ok_or_else(|| refused("the EJFAT address has no data= of this host's family of addresses; add one"))?;
        let data_id =
            u16::try_from(worker.index).map_err(|_| refused("EJFAT has at most 65536 producers; use fewer"))?;
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

    fn receiver_options(&self, worker: Worker) -> Result<ReceiverOptions, Fault> {
        let Settings { route, port_bits, buffer_bytes, limits, .. } = &*self.0;
        let index = usize::try_from(worker.index).unwrap_or(usize::MAX);
        let (address, lb_header) = match route {
            Route::Direct(consumers) => (consumers.get(index).copied(), true),
            Route::Balanced { host, .. } => (Some(SocketAddr::new(*host, 0)), false),
        };
        let address =
            address.ok_or_else(|| refused("there are more consumers than addresses for them; give one for each"))?;
        Ok(ReceiverOptions {
            ip: address.ip(),
            first_port: address.port(),
            port_bits: *port_bits,
            buffer_bytes: *buffer_bytes,
            limits: *limits,
            lb_header,
        })
    }
}

impl Transport for EjfatTransport {
    type Publisher = EjfatPublisher;
    type Subscriber = EjfatSubscriber;

    async fn connect_publisher(&self, worker: Worker, _: &Target) -> Result<EjfatPublisher, Fault> {
        if worker.role == Role::Consumer {
            return Err(refused(ONE_WAY));
        }
        let sender = self.sender(worker)?;
        let mut syncing = None;
        if let (Route::Balanced { uri, host, .. }, Some(client)) = (&self.0.route, self.client().await?) {
            let lb_id =
                uri.lb_id.as_deref().ok_or_else(|| refused("the EJFAT address names no reservation; reserve one"))?;
            client.add_senders(lb_id, vec![host.to_string()]).await.map_err(fault)?;
            let to = uri.sync.iter().find(|sync| sync.is_ipv4() == host.is_ipv4());
            let to = to
                .ok_or_else(|| refused("the EJFAT address has no sync= of this host's family of addresses; add one"))?;
            syncing = Some(Syncing::start(*to, worker.index, self.0.sync_period).map_err(fault)?);
        }
        let facts = facts(Some(sender.send_bytes()), None);
        Ok(EjfatPublisher::new(sender, syncing, facts))
    }

    async fn connect_subscriber(&self, worker: Worker, _: &Source) -> Result<EjfatSubscriber, Fault> {
        if worker.role == Role::Producer {
            return Err(refused(ONE_WAY));
        }
        if let Route::Balanced { uri, .. } = &self.0.route {
            // The load balancer's packets come the same way back, without its header.
            let carries =
                |data: &ejfat::DataAddress| check_mtu(SocketAddr::new(data.ip, *data.ports.start()), self.0.mtu);
            uri.data.iter().try_for_each(carries).map_err(fault)?;
        }
        let (arrived, events) = channel(self.0.queue.max(1));
        let deliver = move |arrival| arrived.try_send(arrival).is_ok();
        let receiver = Receiver::start(&self.receiver_options(worker)?, deliver).map_err(fault)?;
        let session = match (&self.0.route, self.client().await?) {
            (Route::Balanced { uri, .. }, Some(client)) => {
                let lb_id =
                    uri.lb_id.clone().ok_or_else(|| refused("the EJFAT address names no reservation; reserve one"))?;
                Some(Session::new(client, lb_id, format!("consumer-{}", worker.index), self.0.state_period))
            }
            _ => None,
        };
        let facts = facts(None, Some(receiver.receive_bytes()));
        Ok(EjfatSubscriber::new(receiver, events, session, self.0.port_bits, facts))
    }

    async fn declare(&self, _: &[Exchange], _: &[QueuePlan]) -> Result<Service, Fault> {
        let Some(client) = self.client().await? else {
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

fn facts(send_bytes: Option<usize>, receive_bytes: Option<usize>) -> ConnectionFacts {
    let connection = Connection {
        send_buffer_bytes: send_bytes.map(|bytes| bytes as u64),
        receive_buffer_bytes: receive_bytes.map(|bytes| bytes as u64),
        ..Connection::default()
    };
    ConnectionFacts { connection, ..ConnectionFacts::default() }
}
