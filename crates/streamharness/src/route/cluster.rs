//! A managed service for one run: provisioned through S3M, waited for until AMQPS opens, and deleted when the run ends.

use crate::{
    commands::s3m::{failure, read, token},
    route::holder::{self, Holder, NEVER, Parent},
    terminal::{
        exit::{Exit, Failure},
        stderr,
    },
};
use measure::record::Provisioned;
use profile::{Plan, S3mProfile};
use s3m::{Client, Error, Lifetime, PREFIX, Provision, Provisioned as Access};
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use transport_amqp::{AmqpRoute, Endpoint, Secret, reachable};

/// The first pause between two looks at a cluster that is not ready; each is twice as long, up to the last.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_secs(2);
/// How long AMQPS may stay shut once the service calls a cluster healthy.
const OPENS_WITHIN: Duration = Duration::from_secs(60);
/// How long one attempt to open AMQPS may take.
const TRY_LIMIT: Duration = Duration::from_secs(8);
/// A cluster is extended when one part in this many of its remaining lifetime has passed, and at most once in this time.
const EXTENDS_AFTER: u32 = 4;
const EXTENDS_SELDOM: Duration = Duration::from_secs(1);
/// How much longer than the limit on readiness the holder may take to report failure, and to delete the cluster.
const GRACE: Duration = Duration::from_secs(60);

/// The request to the holder.
#[derive(Serialize, Deserialize)]
pub struct Order {
    url: String,
    prefix: String,
    token: String,
    ca_pem: Option<String>,
    request: Provision,
    /// Whether the name was drawn for this run: then a cluster of this name is ours.
    own_name: bool,
    reuse: bool,
    ready_within: Duration,
    /// How long the run may take.
    needed: Duration,
    /// Certificates and login for AMQPS; the address is not known yet.
    trust: AmqpRoute,
    /// Whether the cluster ends with its service, so that one that is gone has left nothing.
    ends_with_service: bool,
}

/// The holder's report of a cluster that is ready.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    endpoint: Endpoint,
    management: Option<String>,
    provisioned: Provisioned,
}

/// A cluster that is healthy and open.
struct Open {
    endpoint: Endpoint,
    management: Option<String>,
    nodes: Option<u32>,
    lifetime: Lifetime,
}

/// A cluster to stream through. Dropping it deletes it, if it was provisioned for this run; so does the end of this process.
#[derive(Debug)]
pub struct Cluster {
    /// Its public name, with user and password.
    pub endpoint: Endpoint,
    /// Its management API, if the service reports one.
    pub management: Option<String>,
    /// Its entry in the record.
    pub provisioned: Provisioned,
    _holder: Holder,
}

impl Cluster {
    /// Requests one, and waits until AMQPS opens. `trust` has no address yet.
    pub fn open(wanted: &S3mProfile, plan: &Plan, trust: AmqpRoute, ends_with_service: bool) -> Result<Self, Failure> {
        let order = Order {
            url: wanted.url.clone(),
            prefix: wanted.prefix.clone().unwrap_or_else(|| PREFIX.to_owned()),
            token: token(wanted.token_file.as_deref().map(Path::new))?,
            ca_pem: wanted.ca.as_deref().map(|path| read(Path::new(path))).transpose()?,
            request: Provision {
                kind: wanted.kind.clone().unwrap_or_else(|| "general".to_owned()),
                name: wanted.name.clone().unwrap_or_else(|| format!("run-{:08x}", plan.run)),
                resource_settings: wanted.resources.clone(),
                feature_flags: wanted.feature_flags.clone().unwrap_or_default(),
            },
            own_name: wanted.name.is_none(),
            reuse: wanted.reuse == Some(true),
            ready_within: wanted.ready_within(),
            needed: plan.limits.stream,
            trust,
            ends_with_service,
        };
        let limit = order.ready_within + GRACE;
        let (holder, ready) = Holder::start::<Ready>(holder::Held::Cluster, &order, limit)?;
        let Ready { endpoint, management, provisioned } = ready;
        Ok(Self { endpoint, management, provisioned, _holder: holder })
    }
}

fn from_now(lifetime: &Lifetime) -> (Duration, Instant) {
    (Duration::from_secs(lifetime.seconds_remaining), Instant::now())
}

/// A cluster in the holder's hands.
pub struct Held {
    client: Client,
    /// Whether it existed before this run, and stays.
    reused: bool,
    /// How long it lives from an instant on; unset if the service reports no lifetime.
    left: Option<(Duration, Instant)>,
}

impl Order {
    /// Provisions, or finds, the cluster and waits until AMQPS opens; gives up early if rank 0 is gone.
    pub fn open(&self, runtime: &Runtime, parent: &Parent) -> Result<(impl Serialize + use<>, Held), Failure> {
        let started = Instant::now();
        let client = Client::new(&self.url, &self.prefix, &self.token, self.ca_pem.as_deref()).map_err(failure)?;
        let name = &self.request.name;
        let reused = self.reuse
            && match client.get(name) {
                Ok(_) => true,
                Err(Error::Missing(_)) => false,
                Err(error) => return Err(failure(error)),
            };
        let access = if reused { Access::default() } else { self.provision(&client)? };
        let mut held = Held { client, reused, left: None };
        let opened = self.ready(&held.client, access, started + self.ready_within, runtime, parent);
        match opened {
            Ok(Open { endpoint, management, nodes, lifetime }) => {
                held.left = (lifetime.seconds_lifetime > 0).then(|| from_now(&lifetime));
                let provisioned = Provisioned {
                    service: self.url.clone(),
                    cluster: name.clone(),
                    fqdn: endpoint.host.clone(),
                    nodes,
                    ready_s: started.elapsed().as_secs_f64(),
                    lifetime_s: lifetime.seconds_lifetime,
                    reused,
                };
                Ok((Ready { endpoint, management, provisioned }, held))
            }
            Err(failure) => {
                if let Err(unreleased) = self.release(&held) {
                    unreleased.report();
                }
                Err(failure)
            }
        }
    }

    fn provision(&self, client: &Client) -> Result<Access, Failure> {
        let name = &self.request.name;
        match client.provision(&self.request, self.own_name) {
            Ok(access) => Ok(access),
            Err(Error::Taken(_)) => Err(Failure::new(
                Exit::Route,
                format!(
                    "the S3M service has a cluster `{name}` already: choose another route.s3m.name, or stream through that \
                     one with route.s3m.reuse = true"
                ),
            )),
            Err(error) if error.may_exist() && self.own_name => {
                // The reply may have been lost after the cluster was made.
                match client.delete(name) {
                    Ok(()) => Err(failure(error)),
                    Err(_) => Err(self.may_be_left(&error)),
                }
            }
            Err(error) if error.may_exist() => Err(self.may_be_left(&error)),
            Err(error) => Err(failure(error)),
        }
    }

    fn may_be_left(&self, error: &Error) -> Failure {
        let (name, by_hand) = (&self.request.name, self.by_hand());
        Failure::new(
            Exit::Route,
            format!("{error}; the cluster `{name}` may have been made all the same: {by_hand} deletes it"),
        )
    }

    /// Waits until the service reports the cluster healthy and AMQPS opens. `known` is its access, if that is known already.
    fn ready(
        &self,
        client: &Client,
        known: Access,
        end: Instant,
        runtime: &Runtime,
        parent: &Parent,
    ) -> Result<Open, Failure> {
        let name = &self.request.name;
        let mut pause = LOOK_FIRST;
        let mut waits = || {
            let this = pause;
            pause = (2 * pause).min(LOOK_LAST);
            parent.waits(this)
        };
        let limit = end.saturating_duration_since(Instant::now());
        let cluster = client.healthy(name, limit, &mut waits).map_err(|error| match error {
            Error::Late { .. } => {
                let within_s = self.ready_within.as_secs_f64();
                let sentence = format!(
                    "the cluster `{name}` was not healthy within {within_s} s: give it longer with route.s3m.ready_within"
                );
                Failure::new(Exit::Route, sentence)
            }
            error => failure(error),
        })?;
        let mut lifetime = cluster.lifetime.clone();
        // Without a reported lifetime the cluster is taken to last.
        let limited = lifetime.seconds_lifetime > 0;
        if limited && lifetime.seconds_remaining < self.needed.as_secs() {
            lifetime = client.extend(name).map_err(failure)?;
        }
        if limited && lifetime.seconds_remaining < self.needed.as_secs() {
            let sentence = format!(
                "the cluster `{name}` lives for {} s more, and the run may take {} s: shorten it with --timeout or --duration",
                lifetime.seconds_remaining,
                self.needed.as_secs()
            );
            return Err(Failure::new(Exit::Route, sentence));
        }
        let access = cluster.access.filter(|access| !access.amqps_url.is_empty()).unwrap_or(known);
        let mut endpoint = Endpoint::parse(&access.amqps_url).map_err(|error| {
            Failure::new(Exit::Route, format!("the S3M service reported no usable address: {error}"))
        })?;
        if endpoint.password.is_none() {
            endpoint.password = Some(Secret::new(access.password));
        }
        let route =
            AmqpRoute { producer: vec![endpoint.clone()], consumer: vec![endpoint.clone()], ..self.trust.clone() };
        let end = end.min(Instant::now() + OPENS_WITHIN);
        while let Err(fault) = runtime.block_on(reachable(&route, TRY_LIMIT)) {
            if Instant::now() > end || !waits() {
                return Err(Failure::new(
                    Exit::Route,
                    format!("the cluster `{name}` is healthy and does not open: {fault}"),
                ));
            }
        }
        let nodes = cluster.resource_settings.get("nodes").and_then(|nodes| u32::try_from(*nodes).ok());
        // A service without a management API may report a placeholder.
        let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let management = Some(access.mgmt_url).filter(is_url);
        Ok(Open { endpoint, management, nodes, lifetime })
    }

    /// Extends the cluster from time to time: a launch may go on for longer than one lifetime.
    pub fn tend(&self, held: &mut Held) -> Duration {
        let Some((left, since)) = held.left.filter(|(left, _)| !left.is_zero()) else { return NEVER };
        let pause = |left: Duration| (left / EXTENDS_AFTER).max(EXTENDS_SELDOM);
        if since.elapsed() < pause(left) {
            return pause(left);
        }
        let now = match held.client.extend(&self.request.name) {
            Ok(lifetime) => from_now(&lifetime),
            Err(error) => {
                let (name, left) = (&self.request.name, left.saturating_sub(since.elapsed()));
                stderr::say(format_args!(
                    "the cluster `{name}` ends in {} s and could not be extended: {error}",
                    left.as_secs()
                ));
                (left, Instant::now())
            }
        };
        held.left = Some(now);
        pause(now.0)
    }

    /// Deletes the cluster, unless it existed before this run.
    pub fn release(&self, held: &Held) -> Result<(), Failure> {
        if held.reused {
            return Ok(());
        }
        match held.client.delete(&self.request.name) {
            Ok(()) | Err(Error::Missing(_)) => Ok(()),
            Err(_) if self.ends_with_service && matches!(held.client.list(), Err(Error::Unreachable { .. })) => Ok(()),
            Err(error) => {
                let sentence = format!("the cluster was not deleted ({error}): run {}", self.by_hand());
                Err(Failure::new(Exit::Route, sentence))
            }
        }
    }

    /// The command that deletes it. The user supplies the token.
    fn by_hand(&self) -> String {
        let prefix = if self.prefix == PREFIX { String::new() } else { format!(" --prefix {}", self.prefix) };
        format!("`streamharness s3m delete --url {}{prefix} {}`", self.url, self.request.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_deletes_names_the_cluster_and_no_token() {
        let mut order = Order {
            url: "https://s3m.test".to_owned(),
            prefix: PREFIX.to_owned(),
            token: "hunter2".to_owned(),
            ca_pem: None,
            request: Provision { name: "run-1".to_owned(), ..Provision::default() },
            own_name: true,
            reuse: false,
            ready_within: Duration::ZERO,
            needed: Duration::ZERO,
            trust: AmqpRoute::default(),
            ends_with_service: false,
        };
        assert_eq!(order.by_hand(), "`streamharness s3m delete --url https://s3m.test run-1`");
        order.prefix = "/old".to_owned();
        assert_eq!(order.by_hand(), "`streamharness s3m delete --url https://s3m.test --prefix /old run-1`");
    }
}
