//! A SciStream tunnel for one run, released when the run ends.

use crate::{
    route::holder::{Held, Holder},
    terminal::exit::{Exit, Failure},
};
use profile::{ControlServerProfile, SciStreamProfile};
use scistream::{Reached, Side, TunnelRequest, Uid};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long each call to a control server may take: six of them fit into the plan's limit on opening a route.
const CALL_LIMIT: Duration = Duration::from_secs(15);
/// How long the broker may take to greet through a tunnel that is there.
const GREETING_LIMIT: Duration = Duration::from_secs(15);
/// The same where both control servers are ours: their proxies listen before they reply, so that a connection which is closed
/// without a reply is no matter of time.
const CLOSED_LIMIT: Duration = Duration::from_secs(2);
/// The pause between two attempts to read a greeting: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// How long the holder may take to report success or failure; below the plan's limit on opening a route.
const OPEN_LIMIT: Duration = Duration::from_secs(115);

/// The request to the holder.
#[derive(Serialize, Deserialize)]
pub struct Order {
    wanted: SciStreamProfile,
    uid_file: PathBuf,
    /// Whether an AMQP broker has to greet through it.
    greets: bool,
}

/// An open tunnel. Dropping it releases it; so does the end of this process, by any signal.
#[derive(Debug)]
pub struct Tunnel {
    /// Where producers connect to.
    pub entries: Vec<String>,
    /// Where the producers' proxy connects to.
    pub exits: Vec<String>,
    _holder: Holder,
}

impl Tunnel {
    /// Requests the tunnel from both control servers, and waits until it accepts connections. `greets`: the service behind it
    /// speaks AMQP without TLS. The file of the uid is named after `run`, unless the profile names it.
    pub fn open(wanted: &SciStreamProfile, run: u32, greets: bool) -> Result<Self, Failure> {
        let file = wanted.uid_file.clone().unwrap_or_else(|| format!("tunnel-{run:08x}.uid"));
        let uid_file = std::path::absolute(file)
            .map_err(|error| Failure::new(Exit::Usage, format!("route.scistream.uid_file: {error}")))?;
        let order = Order { wanted: wanted.clone(), uid_file, greets };
        let (holder, (entries, exits)) = Holder::start(Held::Tunnel, &order, OPEN_LIMIT)?;
        Ok(Self { entries, exits, _holder: holder })
    }
}

impl Order {
    /// Opens the tunnel; returns its entries and exits.
    pub async fn open(&self) -> Result<((Vec<String>, Vec<String>), scistream::Tunnel), Failure> {
        open(self).await.map(|tunnel| ((tunnel.entries.clone(), tunnel.exits.clone()), tunnel))
    }

    /// Releases it; an error contains the command that releases it by hand.
    pub async fn release(&self, tunnel: scistream::Tunnel) -> Result<(), Failure> {
        match unreleased(tunnel.release().await, &self.wanted, &self.uid_file) {
            None => {
                let _ = fs::remove_file(&self.uid_file);
                Ok(())
            }
            Some(sentence) => Err(Failure::new(Exit::Route, sentence)),
        }
    }
}

async fn open(order: &Order) -> Result<scistream::Tunnel, Failure> {
    let wanted = &order.wanted;
    let route = |error: scistream::Error| Failure::new(Exit::Route, error);
    let request = TunnelRequest {
        outbound: side("producer_side", &wanted.producer_side)?,
        inbound: side("consumer_side", &wanted.consumer_side)?,
        service: wanted.service.clone(),
        connections: wanted.connections.map_or(1, std::num::NonZeroU32::get),
        limit: CALL_LIMIT,
        quick: false,
    };
    let uid = Uid::random().map_err(route)?;
    keep(&order.uid_file, &uid)?;
    let opened = match request.open_as(uid).await {
        Ok(tunnel) if order.greets => match greets(&tunnel.entries, tunnel.ours).await {
            Ok(()) => Ok(tunnel),
            Err(silent) => return Err(given_up(silent, tunnel.release().await, order)),
        },
        Ok(tunnel) => Ok(tunnel),
        Err(error) => Err(route(error)),
    };
    if opened.is_err() {
        // Both halves are released, so this key opens nothing any more.
        let _ = fs::remove_file(&order.uid_file);
    }
    opened
}

/// An entry behind which no broker greeted, and the error instead.
struct Silent {
    entry: String,
    error: std::io::Error,
}

/// Waits until the broker greets through every entry: then each hop carries bytes, in both directions.
async fn greets(entries: &[String], ours: bool) -> Result<(), Silent> {
    let started = Instant::now();
    for entry in entries {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = testbed::greeting(entry) {
            let closed =
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            let limit = if ours && closed { CLOSED_LIMIT } else { GREETING_LIMIT };
            if started.elapsed() > limit {
                return Err(Silent { entry: entry.clone(), error });
            }
            tokio::time::sleep(pause).await;
            // A proxy that takes connections is not tried often: SciStream's stunnel stalls after a dozen of them.
            if error.kind() != ErrorKind::ConnectionRefused {
                pause = (2 * pause).min(PAUSE_MAX);
            }
        }
    }
    Ok(())
}

/// Why a tunnel that was opened and released again is of no use: the proxies' own reports, if there are any.
fn given_up(silent: Silent, released: [Result<Option<String>, scistream::Error>; 2], order: &Order) -> Failure {
    let Silent { entry, error } = silent;
    let sides = [&order.wanted.producer_side, &order.wanted.consumer_side];
    let reports: Vec<String> = released
        .iter()
        .zip(sides)
        .filter_map(|(one, side)| {
            Some(format!("the S2CS at {} reports that {}", side.s2cs, one.as_ref().ok()?.as_ref()?))
        })
        .collect();
    let why = if reports.is_empty() {
        format!(
            "is it reached from here, do both proxies reach each other, are both of one type (SciStream's \
             StunnelSubprocess goes with stunnel-null), and does the consumers' side reach {}?",
            order.wanted.service.join(", ")
        )
    } else {
        reports.join("; ")
    };
    let sentence = format!("the tunnel is there, and no broker greets through it at {entry} ({error}): {why}");
    let left = unreleased(released, &order.wanted, &order.uid_file);
    if left.is_none() {
        let _ = fs::remove_file(&order.uid_file);
    }
    Failure::new(Exit::Route, left.map_or(sentence.clone(), |left| format!("{sentence}; {left}")))
}

fn side(name: &str, written: &ControlServerProfile) -> Result<Side, Failure> {
    let read = |key: &str, path: &str| {
        fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Route, format!("cannot read route.scistream.{name}.{key} `{path}`: {error}"))
        })
    };
    let token = written.token_file.as_deref().map(|path| read("token_file", path)).transpose()?;
    Ok(Side {
        address: written.s2cs.clone(),
        certificate: read("certificate", &written.certificate)?,
        token: token.map(|token| token.trim().to_owned()),
        reached: Reached::new(written.host.clone(), written.node_ports.as_deref())
            .map_err(|error| Failure::new(Exit::Usage, format!("route.scistream.{name}.node_ports: {error}")))?,
    })
}

/// A new file that only its owner can read: one that is there already may be the key of another tunnel.
fn keep(path: &PathBuf, uid: &Uid) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{}", uid.hyphenated())).map_err(|error| {
        let sentence = format!(
            "cannot write the tunnel's uid to a new file `{}`: {error}; name another as route.scistream.uid_file",
            path.display()
        );
        Failure::new(Exit::Usage, sentence)
    })
}

/// A sentence on the halves that were not released, with the command that releases each.
fn unreleased(
    released: [Result<Option<String>, scistream::Error>; 2],
    wanted: &SciStreamProfile,
    uid_file: &std::path::Path,
) -> Option<String> {
    let sides = [&wanted.producer_side, &wanted.consumer_side];
    let failed: Vec<_> = released.into_iter().zip(sides).filter_map(|(one, side)| Some((one.err()?, side))).collect();
    let reasons: Vec<String> = failed.iter().map(|(error, _)| error.to_string()).collect();
    let commands: Vec<String> = failed.iter().map(|(_, side)| by_hand(side, uid_file)).collect();
    let halves = if failed.len() == 1 { "a half of the tunnel was" } else { "both halves of the tunnel were" };
    let sentence = || format!("{halves} not released ({}): run {}", reasons.join("; "), commands.join(" and "));
    (!failed.is_empty()).then(sentence)
}

/// The command that releases one side. Names the uid's file, not the uid.
fn by_hand(side: &ControlServerProfile, uid_file: &std::path::Path) -> String {
    let token = side.token_file.as_ref().map(|file| format!(" --token-file {file}")).unwrap_or_default();
    format!(
        "`streamharness s2uc release --s2cs {} --server-cert {}{token} --uid-file {}`",
        side.s2cs,
        side.certificate,
        uid_file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_releases_a_half_names_the_file_of_the_key() {
        let side = ControlServerProfile {
            s2cs: "node4:30500".to_owned(),
            certificate: "p.pem".to_owned(),
            token_file: Some("t".to_owned()),
            ..ControlServerProfile::default()
        };
        let expected =
            "`streamharness s2uc release --s2cs node4:30500 --server-cert p.pem --token-file t --uid-file /w/u`";
        assert_eq!(by_hand(&side, std::path::Path::new("/w/u")), expected);
    }

    #[test]
    fn only_a_half_that_was_not_released_is_reported_with_its_command() {
        let side = |s2cs: &str| ControlServerProfile { s2cs: s2cs.to_owned(), ..ControlServerProfile::default() };
        let wanted =
            SciStreamProfile { producer_side: side("p:1"), consumer_side: side("c:2"), ..SciStreamProfile::default() };
        let sentence = |released| unreleased(released, &wanted, std::path::Path::new("/w/u"));
        assert_eq!(sentence([Ok(None), Ok(Some("a proxy was silent".to_owned()))]), None);
        let one = sentence([Ok(None), Err(scistream::Error::Uid)]).unwrap();
        assert!(one.starts_with("a half of") && one.contains("--s2cs c:2") && !one.contains("--s2cs p:1"), "{one}");
        let both = sentence([Err(scistream::Error::Uid), Err(scistream::Error::Uid)]).unwrap();
        assert!(both.contains("--s2cs p:1") && both.contains(" and `streamharness s2uc release --s2cs c:2"), "{both}");
    }

    #[test]
    fn a_certificate_that_is_not_there_is_named_by_its_key() {
        let written = ControlServerProfile { certificate: "/none.pem".to_owned(), ..ControlServerProfile::default() };
        let failure = side("consumer_side", &written).unwrap_err();
        assert!(failure.sentence.contains("route.scistream.consumer_side.certificate `/none.pem`"), "{failure:?}");
    }
}
