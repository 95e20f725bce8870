//! The state of each request of a control server, and the calls that change it.

use crate::{
    Error, Kind, Role, Uid, config,
    data_server::{DataServer, Setup},
    ports::Ports,
    trouble::Trouble,
    wire::{AppResponse, Call, Hello, Release, Request, Response, UpdateTargets},
};
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, timeout},
};
use tonic::Status;

/// How long a `hello` or an `update` that arrives before its `req` waits for it.
const REQUEST_WAIT: Duration = Duration::from_secs(2);
/// How often the log of a data server is read.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Most problems that are reported for one tunnel: more would come from a port scan.
const TROUBLES_MAX: usize = 8;

/// Settings that all requests share.
#[derive(Debug)]
pub struct Settings {
    pub kind: Kind,
    /// Address of data servers.
    pub bind: IpAddr,
    /// Host that is reported to clients instead of `bind`.
    pub advertise: String,
    pub dir: PathBuf,
    /// Tokens of permitted callers; empty: everyone is permitted.
    pub tokens: Vec<String>,
    pub hello_limit: Duration,
    /// Gets lines for the operator. No line contains a uid or a token.
    pub log: fn(&str),
}

/// Every request of one control server, with the current caller.
#[derive(Clone)]
pub struct Sessions {
    settings: Arc<Settings>,
    state: Arc<Mutex<State>>,
    /// Changes with every new request.
    news: Arc<watch::Sender<u64>>,
    /// The caller, in words for the log.
    caller: Arc<str>,
}

struct State {
    ports: Ports,
    sessions: HashMap<Uid, Session>,
    number: u64,
}

#[derive(Clone)]
struct Session {
    number: u64,
    role: Role,
    ports: Vec<u16>,
    /// The application's addresses, once `hello` has set them.
    application: Arc<watch::Sender<Option<Vec<String>>>>,
    server: Arc<AsyncMutex<Option<DataServer>>>,
    since: Instant,
    /// Problems that kept connections from passing, each once.
    troubles: Arc<Mutex<Vec<Trouble>>>,
}

impl Sessions {
    pub fn new(settings: Settings, ports: Ports) -> Self {
        let state = State { ports, sessions: HashMap::new(), number: 0 };
        Self {
            settings: Arc::new(settings),
            state: Arc::new(Mutex::new(state)),
            news: Arc::new(watch::Sender::new(0)),
            caller: "somebody".into(),
        }
    }

    /// The same for a caller; if there are tokens, a caller without one is rejected.
    pub fn admit(&self, address: Option<IpAddr>, token: Option<&str>) -> Result<Self, Status> {
        let address = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
        let tokens = &self.settings.tokens;
        let known = tokens.iter().position(|known| token.is_some_and(|token| same(known, token)));
        let caller = match known {
            // Tokens are secrets; their places in the file are not.
            Some(place) => format!("{address} (token {})", place + 1),
            None if tokens.is_empty() => address,
            None => {
                self.log(format_args!("refused {address}: it has none of the tokens"));
                let sentence = "it does not know the token: give one that is in the server's --token-file";
                return Err(Status::unauthenticated(sentence));
            }
        };
        Ok(Self { caller: caller.into(), ..self.clone() })
    }

    /// The type of the data server that it starts.
    pub fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// Logs the call if it is refused.
    pub async fn note<T>(self, call: Call, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let done = work.await;
        if let Err(status) = &done {
            self.log(format_args!("refused the {} of {}: {}", call.name(), self.caller, status.message()));
        }
        done
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        (self.settings.log)(&line.to_string());
    }

    /// Reserves ports and waits for `hello`.
    pub async fn req(self, request: Request) -> Result<Response, Status> {
        let uid = uid(&request.uid)?;
        let role = Role::parse(&request.role).map_err(invalid)?;
        let session = self.reserve(uid, role, request.num_conn)?;
        let mut application = session.application.subscribe();
        // Also if the caller disconnects: then this future is dropped.
        let mut forget = Forget { sessions: &self, uid, number: session.number, armed: true };
        let limit = self.settings.hello_limit;
        let application = match timeout(limit, application.wait_for(Option::is_some)).await {
            Ok(Ok(addresses)) => addresses.clone().unwrap_or_default(),
            Ok(Err(_)) => return Err(Status::aborted("the request was released while it waited for its hello")),
            Err(_) => {
                let sentence = format!("no hello came within {} s: send one after each req", limit.as_secs());
                return Err(Status::deadline_exceeded(sentence));
            }
        };
        forget.armed = false;
        Ok(Response { listeners: self.listeners(&session), prod_listeners: application })
    }

    /// Stores the application's addresses.
    pub async fn hello(self, hello: Hello) -> Result<AppResponse, Status> {
        let session = self.find(&hello.uid).await?;
        session.application.send_replace(Some(hello.prod_listeners));
        let listeners = if hello.role == Role::Inbound.word() { Vec::new() } else { self.listeners(&session) };
        Ok(AppResponse { message: "hello taken".to_owned(), listeners })
    }

    /// Starts the data server, or restarts it with other targets.
    pub async fn update(self, update: UpdateTargets) -> Result<Response, Status> {
        let session = self.find(&update.uid).await?;
        if session.application.borrow().is_none() {
            return Err(Status::failed_precondition("no hello has come for this uid: send it before the update"));
        }
        let targets = update
            .remote_listeners
            .iter()
            .take(session.ports.len())
            .map(|text| config::target(text).ok_or_else(|| invalid(Error::Address(text.clone()))))
            .collect::<Result<Vec<String>, Status>>()?;
        if targets.is_empty() {
            return Err(Status::invalid_argument("an update needs at least one target: give HOST:PORT"));
        }
        let setup = Setup {
            kind: self.settings.kind,
            role: session.role,
            uid: uid(&update.uid)?,
            listeners: session.ports.iter().map(|port| SocketAddr::new(self.settings.bind, *port)).collect(),
            targets,
            dir: self.settings.dir.clone(),
            number: session.number,
        };
        // In a task of its own: a caller that disconnects must not leave an incomplete start behind.
        let sessions = self.clone();
        let started = tokio::spawn(async move {
            let mut server = session.server.lock().await;
            if let Some(old) = server.take() {
                old.stop().await;
            }
            if !sessions.has(&setup.uid, session.number) {
                return Err(Status::not_found("the request was released meanwhile: make a new one"));
            }
            let started = DataServer::start(&setup).await;
            *server = Some(started.map_err(|error| Status::unavailable(error.to_string()))?);
            drop(server);
            let listeners = sessions.listeners(&session);
            let (number, program) = (session.number, setup.kind.program());
            let (from, to) = (listeners.join(", "), setup.targets.join(", "));
            sessions.log(format_args!("tunnel {number}: {program} listens on {from} and passes on to {to}"));
            sessions.watch(session);
            Ok(Response { listeners, prod_listeners: setup.targets })
        });
        started.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
    }

    /// Watches a data server until it is released or replaced.
    fn watch(&self, session: Session) {
        let sessions = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WATCH_EVERY).await;
                let mut server = session.server.lock().await;
                let Some(running) = server.as_mut() else { return };
                if sessions.look(&session, running) {
                    return;
                }
            }
        });
    }

    /// Logs new problems; returns whether the data server is gone.
    fn look(&self, session: &Session, server: &mut DataServer) -> bool {
        let mut gone = false;
        for trouble in server.troubles() {
            gone |= matches!(trouble, Trouble::Ended(_));
            let mut known = session.troubles.lock().unwrap_or_else(PoisonError::into_inner);
            if !known.contains(&trouble) && known.len() < TROUBLES_MAX {
                self.log(format_args!("tunnel {}: {}", session.number, trouble.sentence(self.settings.kind)));
                known.push(trouble);
            }
        }
        gone
    }

    /// Ends the data server; afterwards its ports are free. Returns the problem that kept connections from passing, if
    /// there was one.
    pub async fn release(self, release: Release) -> Result<(Response, Option<String>), Status> {
        let uid = uid(&release.uid)?;
        let taken = self.lock().sessions.remove(&uid);
        let Some(session) = taken else { return Err(unknown()) };
        let done = tokio::spawn(async move {
            let (number, since) = (session.number, session.since);
            let trouble = self.end(session).await;
            let held_s = since.elapsed().as_secs();
            self.log(format_args!("tunnel {number}: released by {} after {held_s} s", self.caller));
            trouble
        });
        let trouble = done.await.map_err(|error| Status::internal(error.to_string()))?;
        Ok((Response::default(), trouble))
    }

    /// Ends every request.
    pub async fn release_all(&self) {
        let all: Vec<Session> = self.lock().sessions.drain().map(|(_, session)| session).collect();
        for session in all {
            let number = session.number;
            self.end(session).await;
            self.log(format_args!("tunnel {number}: ended with this server"));
        }
    }

    async fn end(&self, session: Session) -> Option<String> {
        if let Some(mut server) = session.server.lock().await.take() {
            self.look(&session, &mut server);
            server.stop().await;
        }
        self.lock().ports.give_back(&session.ports);
        let troubles = session.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let sentences: Vec<String> = troubles.iter().map(|trouble| trouble.sentence(self.settings.kind)).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }

    fn reserve(&self, uid: Uid, role: Role, connections: i32) -> Result<Session, Status> {
        let mut state = self.lock();
        let most = state.ports.len();
        let count = usize::try_from(connections).ok().filter(|count| (1..=most).contains(count));
        let Some(count) = count else {
            return Err(Status::invalid_argument(format!("{connections} connections: this server has 1 to {most}")));
        };
        if state.sessions.contains_key(&uid) {
            return Err(Status::already_exists("a request of this uid is open: release it, or take a new uid"));
        }
        let Some(ports) = state.ports.take(count) else {
            return Err(Status::resource_exhausted(format!(
                "fewer than {count} of its {most} ports are free: release a request, or start it with more --ports"
            )));
        };
        state.number += 1;
        let session = Session {
            number: state.number,
            role,
            ports,
            application: Arc::new(watch::Sender::new(None)),
            server: Arc::new(AsyncMutex::new(None)),
            since: Instant::now(),
            troubles: Arc::default(),
        };
        state.sessions.insert(uid, session.clone());
        // Waiting tasks read the state, so its lock must not be held when they are notified.
        drop(state);
        let (number, ports) = (session.number, self.listeners(&session).join(", "));
        self.log(format_args!("tunnel {number}: {role} half, {ports} reserved for {}", self.caller));
        self.news.send_replace(session.number);
        Ok(session)
    }

    /// The request of that uid, which may still be under way.
    async fn find(&self, text: &str) -> Result<Session, Status> {
        let uid = uid(text)?;
        let mut news = self.news.subscribe();
        let found = timeout(REQUEST_WAIT, news.wait_for(|_| self.lock().sessions.contains_key(&uid))).await;
        drop(found);
        self.lock().sessions.get(&uid).cloned().ok_or_else(unknown)
    }

    fn has(&self, uid: &Uid, number: u64) -> bool {
        self.lock().sessions.get(uid).is_some_and(|session| session.number == number)
    }

    fn listeners(&self, session: &Session) -> Vec<String> {
        session.ports.iter().map(|port| format!("{}:{port}", self.settings.advertise)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a request whose `req` ends without a reply.
struct Forget<'a> {
    sessions: &'a Sessions,
    uid: Uid,
    number: u64,
    armed: bool,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if self.armed && self.sessions.has(&self.uid, self.number) {
            let mut state = self.sessions.lock();
            if let Some(session) = state.sessions.remove(&self.uid) {
                // There cannot have been an update, which needs the hello first.
                state.ports.give_back(&session.ports);
                drop(state);
                let (number, caller) = (self.number, &self.sessions.caller);
                self.sessions.log(format_args!("tunnel {number}: given up, {caller} went away or sent no hello"));
            }
        }
    }
}

/// Compares in constant time.
fn same(known: &str, given: &str) -> bool {
    known.len() == given.len() && known.bytes().zip(given.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn uid(text: &str) -> Result<Uid, Status> {
    Uid::parse(text).map_err(invalid)
}

fn invalid(error: Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn unknown() -> Status {
    Status::not_found("no request of this uid is open: it was released, or never made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{IpAddr, Ipv4Addr},
        sync::atomic::{AtomicU16, Ordering},
    };
    use tonic::Code;

    const UID: &str = "0123abcd-4567-89ab-cdef-0123456789ab";

    fn sessions(ports: u16) -> Sessions {
        let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let settings = Settings {
            kind: Kind::Haproxy,
            bind,
            advertise: "service.test".into(),
            dir: "/nowhere".into(),
            tokens: vec!["right".into()],
            hello_limit: Duration::from_secs(180),
            log: |_| (),
        };
        // Each test has ports of its own: to try whether one is free takes it for a moment.
        static NEXT: AtomicU16 = AtomicU16::new(9910);
        let free = |first: &u16| (*first..first + ports).all(|port| std::net::TcpListener::bind((bind, port)).is_ok());
        let first = std::iter::repeat_with(|| NEXT.fetch_add(ports, Ordering::Relaxed)).find(free).unwrap();
        Sessions::new(settings, Ports::new(bind, first..=first + ports - 1))
    }

    fn request(uid: &str, num_conn: i32) -> Request {
        Request { uid: uid.into(), role: "PROD".into(), num_conn, rate: 0 }
    }

    fn hello(uid: &str) -> Hello {
        Hello { uid: uid.into(), prod_listeners: vec!["10.0.0.1:5672".into()], role: "PROD".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_hello_ends_after_its_limit_and_gives_its_ports_back() {
        let sessions = sessions(2);
        let before = Instant::now();
        let refused = sessions.clone().req(request(UID, 2)).await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded);
        assert_eq!(before.elapsed().as_secs(), 180);
        let (reply, _) = tokio::join!(sessions.clone().req(request(UID, 2)), sessions.clone().hello(hello(UID)));
        assert_eq!(reply.unwrap().listeners.len(), 2, "the ports are free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_gives_its_ports_back() {
        let sessions = sessions(1);
        assert!(timeout(Duration::from_secs(1), sessions.clone().req(request(UID, 1))).await.is_err());
        let (reply, _) = tokio::join!(sessions.clone().req(request(UID, 1)), sessions.clone().hello(hello(UID)));
        reply.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_hello_that_overtakes_its_request_waits_for_it_and_one_without_a_request_is_refused() {
        let sessions = sessions(1);
        let late = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sessions.clone().req(request(UID, 1)).await
        };
        let (first, second) = tokio::join!(sessions.clone().hello(hello(UID)), late);
        first.unwrap();
        let reply = second.unwrap();
        assert_eq!(reply.prod_listeners, ["10.0.0.1:5672"]);
        assert!(reply.listeners[0].starts_with("service.test:"), "{:?}", reply.listeners);
        let stranger = hello("ffffffff-ffff-ffff-ffff-ffffffffffff");
        assert_eq!(sessions.hello(stranger).await.unwrap_err().code(), Code::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn each_wrong_call_has_its_own_code() {
        let sessions = sessions(2);
        let waiting = tokio::spawn(sessions.clone().req(request(UID, 1)));
        tokio::task::yield_now().await;
        let update = |uid: &str, target: &str| UpdateTargets {
            uid: uid.into(),
            remote_listeners: vec![target.into()],
            role: "PROD".into(),
        };
        let other = "ffffffff-ffff-ffff-ffff-ffffffffffff";
        fn code<T: fmt::Debug>(reply: Result<T, Status>) -> Code {
            reply.unwrap_err().code()
        }
        assert_eq!(code(sessions.clone().req(request(UID, 1)).await), Code::AlreadyExists);
        assert_eq!(code(sessions.clone().req(request(other, 2)).await), Code::ResourceExhausted);
        for wrong in [request(other, 0), request(other, -1), request(other, 3), request("../../x", 1)] {
            assert_eq!(code(sessions.clone().req(wrong).await), Code::InvalidArgument);
        }
        assert_eq!(code(sessions.clone().update(update(UID, "h:1")).await), Code::FailedPrecondition);
        assert_eq!(code(sessions.clone().update(update(other, "h:1")).await), Code::NotFound);
        assert_eq!(code(sessions.clone().release(Release { uid: other.into() }).await), Code::NotFound);
        sessions.clone().hello(hello(UID)).await.unwrap();
        waiting.await.unwrap().unwrap();
        assert_eq!(code(sessions.clone().update(update(UID, "h:1\nexec = x")).await), Code::InvalidArgument);
        sessions.clone().release(Release { uid: UID.into() }).await.unwrap();
        assert_eq!(code(sessions.release(Release { uid: UID.into() }).await), Code::NotFound);
    }

    #[test]
    fn only_who_knows_a_token_is_let_in() {
        let sessions = sessions(1);
        let admit = |token| sessions.admit(None, token).map(|admitted| admitted.caller);
        assert_eq!(&*admit(Some("right")).unwrap(), "an unknown address (token 1)");
        for wrong in [None, Some("wrong"), Some("righ"), Some("INVALID_TOKEN"), Some("")] {
            assert_eq!(admit(wrong).unwrap_err().code(), Code::Unauthenticated, "{wrong:?}");
        }
    }
}
