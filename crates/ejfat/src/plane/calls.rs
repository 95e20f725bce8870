//! The eleven calls.

use crate::{
    control::messages::{
        Deregister, OverviewEntry, OverviewReply, Register, Registered, Reservation, Reserve, Senders, State, Status,
        Timestamp, VersionReply,
    },
    plane::{
        Balancer, Plane, checked, emptied,
        reservation::Held,
        session::Session,
        tokens::{Permission, Resource},
    },
    uri::Uri,
};
use std::net::{IpAddr, SocketAddr};

type Outcome<T> = Result<T, tonic::Status>;

/// How long a reservation lasts that states no end.
const YEAR_US: u64 = 365 * 24 * 3600 * 1_000_000;
const SENDERS_MAX: usize = 512;
const SESSIONS_MAX: usize = 512;

impl Plane {
    /// Reserves the first free load balancer.
    ///
    /// # Errors
    ///
    /// The status of the call, as for all others.
    pub fn reserve(&mut self, token: &str, request: &Reserve, now_us: u64) -> Outcome<Reservation> {
        self.tokens.check(token, Permission::Reserve, &[])?;
        checked::name(&request.name)?;
        let strategy = checked::strategy(&request.strategy)?;
        let until_us = request.until.map_or(now_us.saturating_add(YEAR_US), Timestamp::us);
        if until_us <= now_us {
            return Err(tonic::Status::invalid_argument(
                "the end of the reservation is not in the future; give a later one",
            ));
        }
        let senders = addresses(&request.sender_addresses)?;
        let Some(at) = self.balancers.iter().position(|balancer| balancer.held.is_none()) else {
            return Err(tonic::Status::resource_exhausted("all load balancers are reserved; free one, or try later"));
        };
        let id = self.next_id();
        let own = self.tokens.create(token, Resource::Reservation(id))?;
        let mut held = Held::new(id, request.name.clone(), own, until_us, strategy, now_us);
        add(&mut held, senders)?;
        self.balancers[at].held = Some(held);
        Ok(self.reservation(at, true))
    }

    /// A reservation without its token.
    pub fn get(&self, token: &str, lb_id: &str) -> Outcome<Reservation> {
        let at = self.find(token, Permission::Read, lb_id)?;
        Ok(self.reservation(at, false))
    }

    /// How its receivers are.
    pub fn status(&self, token: &str, lb_id: &str, now_us: u64) -> Outcome<Status> {
        let at = self.find(token, Permission::Read, lb_id)?;
        Ok(status(&self.balancers[at], now_us))
    }

    /// Ends a reservation, all its sessions and their tokens.
    pub fn free(&mut self, token: &str, lb_id: &str) -> Outcome<()> {
        let at = self.find(token, Permission::Update, lb_id)?;
        let balancer = &mut self.balancers[at];
        let held = balancer.held.take().expect("it was found");
        balancer.tables = emptied(&balancer.tables);
        held.sessions
            .iter()
            .map(|session| &session.token)
            .chain([&held.token])
            .for_each(|token| self.tokens.revoke(token));
        Ok(())
    }

    /// Lets addresses send, from the next tick on.
    pub fn add_senders(&mut self, token: &str, request: &Senders) -> Outcome<()> {
        let at = self.find(token, Permission::Update, &request.lb_id)?;
        add(held_mut(&mut self.balancers[at]), addresses(&request.addresses)?)
    }

    /// Lets addresses send no longer.
    pub fn remove_senders(&mut self, token: &str, request: &Senders) -> Outcome<()> {
        let at = self.find(token, Permission::Update, &request.lb_id)?;
        let removed = addresses(&request.addresses)?;
        held_mut(&mut self.balancers[at]).senders.retain(|sender| !removed.contains(sender));
        Ok(())
    }

    /// Registers a receiver. It gets slots after its first state.
    pub fn register(&mut self, token: &str, request: Register, now_us: u64) -> Outcome<Registered> {
        let at = self.find(token, Permission::Register, &request.lb_id)?;
        let place = checked::place(&request)?;
        let id = self.next_id();
        let held = held_mut(&mut self.balancers[at]);
        let member = held.free_member(id).filter(|_| held.sessions.len() < SESSIONS_MAX);
        let member = member.ok_or_else(|| tonic::Status::resource_exhausted("too many receivers; deregister one"))?;
        let own = self.tokens.create(token, Resource::Session(id))?;
        held.sessions.push(Session::new(id, member, own.clone(), place, request, now_us));
        Ok(Registered { token: own, session_id: id.to_string() })
    }

    /// Ends a session.
    pub fn deregister(&mut self, token: &str, request: &Deregister) -> Outcome<()> {
        let (at, id) = self.find_session(token, &request.lb_id, &request.session_id)?;
        let own = held_mut(&mut self.balancers[at]).remove(id).expect("it was found");
        self.tokens.revoke(&own);
        Ok(())
    }

    /// Takes the state of a receiver.
    pub fn send_state(&mut self, token: &str, request: State) -> Outcome<()> {
        let (at, id) = self.find_session(token, &request.lb_id, &request.session_id)?;
        if !request.control_signal.is_finite() || !(0.0..=1.0).contains(&request.fill_percent) {
            return Err(tonic::Status::invalid_argument(
                "the fill is not within 0 and 1, or the signal is no number; limit them",
            ));
        }
        let mut sessions = held_mut(&mut self.balancers[at]).sessions.iter_mut();
        sessions.find(|session| session.id == id).expect("it was found").report(request);
        Ok(())
    }

    /// All reservations.
    pub fn overview(&self, token: &str, now_us: u64) -> Outcome<OverviewReply> {
        self.tokens.check_known(token)?;
        let load_balancers = (0..self.balancers.len())
            .filter_map(|at| {
                let held = self.balancers[at].held.as_ref()?;
                Some(OverviewEntry {
                    name: held.name.clone(),
                    reservation: Some(self.reservation(at, false)),
                    status: Some(status(&self.balancers[at], now_us)),
                })
            })
            .collect();
        Ok(OverviewReply { load_balancers })
    }

    /// What this is.
    pub fn version(&self, token: &str) -> Outcome<VersionReply> {
        self.tokens.check_known(token)?;
        let build = format!("streamharness {}", env!("CARGO_PKG_VERSION"));
        Ok(VersionReply { commit: String::new(), build, compat_tag: "0.3.1".to_owned() })
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The load balancer of a reservation, if the token permits this.
    fn find(&self, token: &str, need: Permission, lb_id: &str) -> Outcome<usize> {
        let id = checked::id(lb_id, "reservation")?;
        self.tokens.check(token, need, &[Resource::Reservation(id)])?;
        self.position(id)
    }

    fn find_session(&self, token: &str, lb_id: &str, session_id: &str) -> Outcome<(usize, u64)> {
        let (lb, id) = (checked::id(lb_id, "reservation")?, checked::id(session_id, "session")?);
        self.tokens.check(token, Permission::Update, &[Resource::Reservation(lb), Resource::Session(id)])?;
        let at = self.position(lb)?;
        if held(&self.balancers[at]).sessions.iter().any(|session| session.id == id) {
            return Ok((at, id));
        }
        Err(tonic::Status::internal(format!("the reservation has no session {id}; register again")))
    }

    fn position(&self, id: u64) -> Outcome<usize> {
        let is = |balancer: &Balancer| balancer.held.as_ref().is_some_and(|held| held.id == id);
        let gone = || {
            tonic::Status::internal(format!(
                "there is no reservation {id}; it was freed or has expired, so reserve again"
            ))
        };
        self.balancers.iter().position(is).ok_or_else(gone)
    }

    fn reservation(&self, at: usize, with_token: bool) -> Reservation {
        let Balancer { instance, .. } = &self.balancers[at];
        let held = held(&self.balancers[at]);
        let sync = |four: bool| Some(instance.sync.ip()).filter(|ip| ip.is_ipv4() == four);
        let data = |four: bool| instance.data.iter().map(|data| data.ip).find(|ip| ip.is_ipv4() == four);
        let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
        let ports = instance.data.first().map_or(0..=0, |data| data.ports.clone());
        let mut reply = Reservation {
            lb_id: held.id.to_string(),
            sync_ipv4_address: text(sync(true)),
            sync_ipv6_address: text(sync(false)),
            sync_udp_port: u32::from(instance.sync.port()),
            data_ipv4_address: text(data(true)),
            data_ipv6_address: text(data(false)),
            fpga_lb_id: u32::try_from(at).unwrap_or(u32::MAX),
            data_min_port: u32::from(*ports.start()),
            data_max_port: u32::from(*ports.end()),
            strategy: held.strategy.name().to_owned(),
            ..Reservation::default()
        };
        if with_token {
            reply.token.clone_from(&held.token);
            reply.ejfat_uri = self.uri(&held.token, held.id, instance.sync, at).with_token();
        }
        reply
    }

    fn uri(&self, token: &str, id: u64, sync: SocketAddr, at: usize) -> Uri {
        Uri {
            tls: self.settings.tls,
            token: Some(token.to_owned()),
            host: self.settings.host.clone(),
            port: self.settings.port,
            lb_id: Some(id.to_string()),
            session_id: None,
            sync: vec![sync],
            data: self.balancers[at].instance.data.clone(),
        }
    }
}

fn status(balancer: &Balancer, now_us: u64) -> Status {
    Status { packets: balancer.packets.clone(), ..held(balancer).status(now_us) }
}

fn held(balancer: &Balancer) -> &Held {
    balancer.held.as_ref().expect("the caller has found it")
}

fn held_mut(balancer: &mut Balancer) -> &mut Held {
    balancer.held.as_mut().expect("the caller has found it")
}

fn addresses(texts: &[String]) -> Outcome<Vec<IpAddr>> {
    texts.iter().map(|text| checked::address(text)).collect()
}

fn add(held: &mut Held, senders: Vec<IpAddr>) -> Outcome<()> {
    let known = held.senders.len();
    let new = senders.iter().filter(|sender| !held.senders.contains(*sender)).count();
    if known + new > SENDERS_MAX {
        return Err(tonic::Status::resource_exhausted(format!("{SENDERS_MAX} senders are the most; remove some")));
    }
    held.senders.extend(senders);
    Ok(())
}
