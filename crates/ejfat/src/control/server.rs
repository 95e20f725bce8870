//! The control plane as a process: its port for calls, its ports for synchronization, and its clock.

use crate::{
    control::service::ControlService,
    error::{Error, Result},
    plane::{Plane, Settings},
    wire::Sync,
};
use grpc::SelfSigned;
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tonic::transport::{ServerTlsConfig, server::TcpIncoming};

/// From one epoch to the next.
const TICK: Duration = Duration::from_secs(1);
/// Limit on a client's TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A control plane that listens.
pub struct Server {
    listener: TcpListener,
    syncs: Vec<UdpSocket>,
    tonic: tonic::transport::Server,
    service: ControlService,
}

impl Server {
    /// Binds its ports: `listen` for calls, and those of the settings for synchronization. If the settings or their
    /// balancers have port 0, they get the one that was bound. With an identity, calls are encrypted.
    ///
    /// # Errors
    ///
    /// [`Error`] if a port cannot be bound or the certificate cannot be used.
    pub async fn bind(listen: SocketAddr, mut settings: Settings, identity: Option<&SelfSigned>) -> Result<Self> {
        let failed =
            |at: SocketAddr| move |source| Error::Socket { action: "listen on", address: at.to_string(), source };
        let listener = TcpListener::bind(listen).await.map_err(failed(listen))?;
        if settings.port == 0 {
            settings.port = listener.local_addr().map_err(failed(listen))?.port();
        }
        settings.tls = identity.is_some();
        let mut syncs = Vec::new();
        for instance in &mut settings.instances {
            let socket = UdpSocket::bind(instance.sync).await.map_err(failed(instance.sync))?;
            instance.sync = socket.local_addr().map_err(failed(instance.sync))?;
            syncs.push(socket);
        }
        let mut tonic = tonic::transport::Server::builder();
        if let Some(identity) = identity {
            let pair = tonic::transport::Identity::from_pem(&identity.certificate, &identity.key);
            let tls = ServerTlsConfig::new().identity(pair).timeout(HANDSHAKE_LIMIT);
            tonic = tonic.tls_config(tls).map_err(unusable)?;
        }
        Ok(Self { listener, syncs, tonic, service: ControlService::new(Plane::new(settings)) })
    }

    /// Where it listens for calls.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The control plane itself.
    pub fn service(&self) -> ControlService {
        self.service.clone()
    }

    /// Serves until `stop` resolves.
    ///
    /// # Errors
    ///
    /// [`Error`] if it cannot accept connections.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<()> {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serving = self.tonic.serve_with_incoming(self.service.clone(), incoming);
        // They end with it.
        let mut syncing = JoinSet::new();
        for (balancer, socket) in self.syncs.into_iter().enumerate() {
            syncing.spawn(sync(self.service.clone(), balancer, socket));
        }
        tokio::select! {
            served = serving => served.map_err(unusable),
            () = tick(&self.service) => Ok(()),
            () = stop => Ok(()),
        }
    }
}

async fn sync(service: ControlService, balancer: usize, socket: UdpSocket) {
    let mut packet = [0; 64];
    loop {
        // An error of a datagram socket is about one packet.
        let Ok(length) = socket.recv(&mut packet).await else { continue };
        if let Ok(sync) = Sync::decode(&packet[..length]) {
            service.with(|plane, now_us| plane.sync(balancer, &sync, now_us));
        }
    }
}

async fn tick(service: &ControlService) {
    let mut due = interval(TICK);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        service.with(Plane::tick);
    }
}

fn unusable(error: tonic::transport::Error) -> Error {
    Error::Certificate(grpc::innermost(&error).to_string())
}
