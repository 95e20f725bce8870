//! A complete tunnel: an inbound request, an outbound request that leads to it, and the release of both.

use crate::{Client, Error, Kind, Reached, Result, Role, Uid};
use std::time::Duration;

/// One control server as its clients see it.
#[derive(Debug, Clone)]
pub struct Side {
    /// `HOST:PORT`.
    pub address: String,
    /// Its certificate (PEM).
    pub certificate: String,
    /// The token that it requires.
    pub token: Option<String>,
    /// The addresses at which its listeners are reachable.
    pub reached: Reached,
}

/// A tunnel to be built.
#[derive(Debug, Clone)]
pub struct TunnelRequest {
    /// Where applications connect.
    pub outbound: Side,
    /// Where the service is.
    pub inbound: Side,
    /// The service's addresses, `HOST:PORT` each.
    pub service: Vec<String>,
    /// Ports on each side.
    pub connections: u32,
    /// How long each call may take.
    pub limit: Duration,
    /// Whether both servers are ours, which do not need SciStream's pause between two calls.
    pub quick: bool,
}

/// An open tunnel.
#[derive(Debug, Clone)]
pub struct Tunnel {
    request: TunnelRequest,
    uid: Uid,
    /// Addresses for applications.
    pub entries: Vec<String>,
    /// Addresses that the outbound data server connects to.
    pub exits: Vec<String>,
    /// Whether both servers are ours: then their data servers listen before they reply.
    pub ours: bool,
}

impl TunnelRequest {
    /// Makes both requests. If one half fails, the other is released.
    ///
    /// # Errors
    ///
    /// [`Error`] if a server is unreachable or refuses, or if the types of both proxies do not match.
    pub async fn open(self) -> Result<Tunnel> {
        let uid = Uid::random()?;
        self.open_as(uid).await
    }

    /// [`TunnelRequest::open`] under a uid that the caller keeps.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn open_as(self, uid: Uid) -> Result<Tunnel> {
        let inbound = self.client(&self.inbound).await?;
        let outbound = self.client(&self.outbound).await?;
        let (exits, inner) = inbound.start(&uid, Role::Inbound, self.connections, &self.service, None).await?;
        let opened = async {
            let exits = reached(&self.inbound, &exits)?;
            let (entries, outer) =
                outbound.start(&uid, Role::Outbound, self.connections, &self.service, Some(&exits)).await?;
            let alike = self.alike(inner, outer);
            match alike.and_then(|ours| Ok((reached(&self.outbound, &entries)?, ours))) {
                Ok((entries, ours)) => Ok((entries, exits, ours)),
                Err(error) => {
                    let _ = outbound.release(&uid).await;
                    Err(error)
                }
            }
        };
        match opened.await {
            Ok((entries, exits, ours)) => Ok(Tunnel { request: self, uid, entries, exits, ours }),
            Err(error) => {
                let _ = inbound.release(&uid).await;
                Err(error)
            }
        }
    }

    /// Whether both servers reported their types, which must match.
    fn alike(&self, inner: Option<Kind>, outer: Option<Kind>) -> Result<bool> {
        match (inner, outer) {
            (Some(inner), Some(outer)) if inner != outer => Err(Error::Unlike {
                outbound: self.outbound.address.clone(),
                outer,
                inbound: self.inbound.address.clone(),
                inner,
            }),
            (inner, outer) => Ok(inner.is_some() && outer.is_some()),
        }
    }

    /// [`TunnelRequest::open`] for callers without a runtime. Starts no thread if the addresses are numeric.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_blocking(self) -> Result<Tunnel> {
        runtime()?.block_on(self.open())
    }

    async fn client(&self, side: &Side) -> Result<Client> {
        let client = Client::connect(&side.address, &side.certificate, side.token.as_deref(), self.limit).await?;
        Ok(if self.quick { client.without_delay() } else { client })
    }
}

impl Tunnel {
    /// Ends both halves, each even if the other fails: the outbound one, then the inbound one. Returns for each the
    /// problem that kept connections from passing, if its server reports one.
    ///
    /// # Errors
    ///
    /// [`Error`] for a half that could not be released.
    pub async fn release(self) -> [Result<Option<String>>; 2] {
        [self.release_one(&self.request.outbound).await, self.release_one(&self.request.inbound).await]
    }

    /// Has the data server of one half started again, at its ports: the request is still known to its control server.
    ///
    /// # Errors
    ///
    /// [`Error`] if the server is unreachable or refuses.
    pub fn renew_blocking(&self, role: Role) -> Result<()> {
        let (side, targets) = self.half(role);
        runtime()?.block_on(async { self.request.client(side).await?.renew(&self.uid, role, targets).await })
    }

    /// Makes the request of one half anew, to a control server that has lost it. It must give the same ports.
    ///
    /// # Errors
    ///
    /// [`Error`] if the server is unreachable or refuses, or gives other ports.
    pub fn reopen_blocking(&self, role: Role) -> Result<()> {
        let (side, targets) = self.half(role);
        let before = if role == Role::Outbound { &self.entries } else { &self.exits };
        runtime()?.block_on(async {
            let client = self.request.client(side).await?;
            let (connections, service) = (self.request.connections, &self.request.service);
            let given = client.open(&self.uid, role, connections, service, Some(targets)).await?;
            let now = reached(side, &given)?;
            if now == *before {
                return Ok(());
            }
            let (before, now) = (before.join(", "), now.join(", "));
            Err(Error::OtherPorts { address: side.address.clone(), before, now })
        })
    }

    /// A half's control server, and where its data server leads to.
    fn half(&self, role: Role) -> (&Side, &[String]) {
        match role {
            Role::Outbound => (&self.request.outbound, &self.exits),
            Role::Inbound => (&self.request.inbound, &self.request.service),
        }
    }

    async fn release_one(&self, side: &Side) -> Result<Option<String>> {
        self.request.client(side).await?.release(&self.uid).await
    }
}

fn reached(side: &Side, listeners: &[String]) -> Result<Vec<String>> {
    listeners.iter().map(|listener| side.reached.at(listener)).collect()
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|reason| Error::Short { action: "request a tunnel", reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_of_different_types_are_rejected_at_once_and_unreported_types_are_tried() {
        let side = |address: &str| Side {
            address: address.to_owned(),
            certificate: String::new(),
            token: None,
            reached: Reached::default(),
        };
        let request = TunnelRequest {
            outbound: side("out:1"),
            inbound: side("in:2"),
            service: Vec::new(),
            connections: 1,
            limit: Duration::ZERO,
            quick: true,
        };
        let error = request.alike(Some(Kind::StunnelNull), Some(Kind::Stunnel)).unwrap_err().to_string();
        assert!(
            error.starts_with("the S2CS at out:1 starts stunnel and the one at in:2 starts stunnel-null"),
            "{error}"
        );
        assert!(error.ends_with("start both with the same --type"), "{error}");
        assert!(request.alike(Some(Kind::Haproxy), Some(Kind::Haproxy)).unwrap());
        for reported in [(None, None), (Some(Kind::Stunnel), None), (None, Some(Kind::Stunnel))] {
            assert!(!request.alike(reported.0, reported.1).unwrap(), "SciStream's own S2CS does not report its type");
        }
    }
}
