//! The one spelling of a fault: `at TIME: VERB OBJECT [for TIME]`.

use super::{Action, Fault, Part, Resource, Side};
use crate::{contents::Rate, names::hint, values::Span};
use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};
use toml::{Table, Value};

const SPELLING: &str = "write it as `at 10s: restart node 2`";
const VERBS: [&str; 11] =
    ["kill", "stop", "restart", "cut", "slow", "drop", "close", "alarm", "expire", "move", "suspend"];
const PARTS: &str = "node N, producer proxy, consumer proxy, producer control server, consumer control server, balancer, \
                     ingress, gateway N";
const MILLION: f64 = 1e6;

/// `[[fault]]` tables with `at` and `do` as texts, and a single text as a list, in place.
pub(crate) fn as_text(table: &mut Table) -> Result<(), String> {
    if let Some(one @ Value::String(_)) = table.get_mut("fault") {
        *one = Value::Array(vec![one.clone()]);
    }
    let Some(Value::Array(faults)) = table.get_mut("fault") else { return Ok(()) };
    for fault in faults {
        let Value::Table(written) = fault else { continue };
        if let Some(key) = written.keys().find(|key| !["at", "do"].contains(&key.as_str())) {
            return Err(format!("fault: unknown key `{key}`{}: a fault has `at` and `do`", hint(key, ["at", "do"])));
        }
        let word = |key: &str| written.get(key).and_then(Value::as_str);
        let (Some(at), Some(action)) = (word("at"), word("do")) else {
            return Err("fault: give `at` and `do`, such as at = \"10s\" and do = \"restart node 2\"".to_owned());
        };
        *fault = Value::String(format!("at {at}: {action}"));
    }
    Ok(())
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("fault `{text}`: {what}");
        let due = text.trim().strip_prefix("at ").and_then(|rest| rest.split_once(':'));
        let (at, done) = due.ok_or_else(|| wrong(SPELLING.to_owned()))?;
        let at = at.trim().parse::<Span>().map_err(&wrong)?.0;
        let (done, length) = match done.trim().rsplit_once(" for ") {
            Some((done, length)) => (done, Some(length.trim().parse::<Span>().map_err(&wrong)?.0)),
            None => (done.trim(), None),
        };
        if length.is_some_and(|length| length.is_zero()) {
            return Err(wrong("it lasts for no time: give it a length such as `for 5s`".to_owned()));
        }
        let words: Vec<&str> = done.split_whitespace().collect();
        let action = action(&words).map_err(&wrong)?;
        match (action.lasts(), length) {
            (Lasts::Always, None) => Err(wrong(format!("say for how long: `{done} for 5s`"))),
            (Lasts::Never, Some(_)) => Err(wrong(format!("it is over at once: leave out the time, `{done}`"))),
            _ => Ok(Self { at, action, length }),
        }
    }
}

fn action(words: &[&str]) -> Result<Action, String> {
    let link = |host: &str| {
        let plain = host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if plain { Ok(host.to_owned()) } else { Err(format!("`{host}` is not a host: write one such as `dsn1`")) }
    };
    match words {
        ["kill", part @ ..] => Ok(Action::Kill(self::part(part)?)),
        ["stop", part @ ..] => Ok(Action::Stop(self::part(part)?)),
        ["restart", part @ ..] => Ok(Action::Restart(self::part(part)?)),
        ["cut", "link", host] => Ok(Action::Cut(link(host)?)),
        ["slow", "link", host, "to", rate] => match rate.parse::<Rate>()? {
            rate @ Rate::Bits(_) => Ok(Action::SlowTo(link(host)?, rate)),
            _ => Err(format!("`{rate}` is not the rate of a link: write it as 100Mbit/s")),
        },
        ["slow", "link", host, "by", delay] => Ok(Action::SlowBy(link(host)?, delay.parse::<Span>()?.0)),
        ["drop", share, "on", "link", host] => Ok(Action::Drop(link(host)?, millionths(share)?)),
        ["close", "connections"] => Ok(Action::CloseConnections),
        ["alarm", resource] => Ok(Action::Alarm(self::resource(resource)?, NonZeroU32::MIN)),
        ["alarm", resource, "node", node] => Ok(Action::Alarm(self::resource(resource)?, number(node)?)),
        ["expire", "cluster"] => Ok(Action::ExpireCluster),
        ["move", "leader"] => Ok(Action::MoveLeader(0)),
        ["move", "leader", "queue", queue] => Ok(Action::MoveLeader(number(queue)?.get())),
        ["suspend", "rank", rank] => {
            rank.parse().map(Action::Suspend).map_err(|_| format!("`{rank}` is not the number of a rank"))
        }
        [] => Err(SPELLING.to_owned()),
        [verb, ..] => Err(match spelling(verb) {
            Some(spelling) => format!("write it as `{spelling}`"),
            None => format!("`{verb}` is not a verb of faults{}: use {}", hint(verb, VERBS), VERBS.join(", ")),
        }),
    }
}

/// How a verb is used.
fn spelling(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "cut" => "cut link HOST for 5s",
        "slow" => "slow link HOST to 100Mbit/s for 5s` or `slow link HOST by 20ms for 5s",
        "drop" => "drop 1% on link HOST for 5s",
        "close" => "close connections",
        "alarm" => "alarm memory node 1 for 5s` or `alarm disk for 5s",
        "expire" => "expire cluster",
        "move" => "move leader` or `move leader queue 2",
        "suspend" => "suspend rank 1 for 2s",
        _ => return None,
    })
}

fn part(words: &[&str]) -> Result<Part, String> {
    Ok(match words {
        ["node", node] => Part::Node(number(node)?),
        ["producer", "proxy"] => Part::Proxy(Side::Producer),
        ["consumer", "proxy"] => Part::Proxy(Side::Consumer),
        ["producer", "control", "server"] => Part::ControlServer(Side::Producer),
        ["consumer", "control", "server"] => Part::ControlServer(Side::Consumer),
        ["balancer"] => Part::Balancer,
        ["ingress"] => Part::Ingress,
        ["gateway", replica] => Part::Gateway(number(replica)?),
        words => return Err(format!("`{}` is not a part: use {PARTS}", words.join(" "))),
    })
}

fn resource(word: &str) -> Result<Resource, String> {
    match word {
        "memory" => Ok(Resource::Memory),
        "disk" => Ok(Resource::Disk),
        other => {
            Err(format!("`{other}` is not an alarm of a broker{}: use memory or disk", hint(other, ["memory", "disk"])))
        }
    }
}

fn number(word: &str) -> Result<NonZeroU32, String> {
    word.parse().map_err(|_| format!("`{word}` is not a number from 1 on"))
}

fn millionths(share: &str) -> Result<u32, String> {
    let percent = share.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let valid =
        percent.map(|percent| (percent / 100.0 * MILLION).round()).filter(|share| (1.0..MILLION).contains(share));
    valid.map(|share| share as u32).ok_or_else(|| format!("`{share}` is not a share of packets: write it as 1%"))
}

/// Whether an action has a length.
#[derive(PartialEq, Eq)]
pub(super) enum Lasts {
    Always,
    IfGiven,
    Never,
}

impl Action {
    pub(super) fn lasts(&self) -> Lasts {
        match self {
            Self::Kill(_) => Lasts::IfGiven,
            Self::Restart(_) | Self::CloseConnections | Self::ExpireCluster | Self::MoveLeader(_) => Lasts::Never,
            Self::Stop(_)
            | Self::Cut(_)
            | Self::SlowTo(..)
            | Self::SlowBy(..)
            | Self::Drop(..)
            | Self::Alarm(..)
            | Self::Suspend(_) => Lasts::Always,
        }
    }

    pub(super) fn object(&self) -> String {
        match self {
            Self::Kill(part) | Self::Stop(part) | Self::Restart(part) => part.to_string(),
            Self::Cut(link) | Self::SlowTo(link, _) | Self::SlowBy(link, _) | Self::Drop(link, _) => {
                format!("link {link}")
            }
            Self::CloseConnections => "connections".to_owned(),
            Self::Alarm(resource, node) => format!("{} of node {node}", resource.word()),
            Self::ExpireCluster => "cluster".to_owned(),
            Self::MoveLeader(_) => "leader".to_owned(),
            Self::Suspend(rank) => format!("rank {rank}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Proxy(side) => write!(f, "{} proxy", side.word()),
            Self::ControlServer(side) => write!(f, "{} control server", side.word()),
            Self::Balancer => f.write_str("balancer"),
            Self::Ingress => f.write_str("ingress"),
            Self::Gateway(replica) => write!(f, "gateway {replica}"),
        }
    }
}

/// Without its time.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(part) => write!(f, "kill {part}"),
            Self::Stop(part) => write!(f, "stop {part}"),
            Self::Restart(part) => write!(f, "restart {part}"),
            Self::Cut(link) => write!(f, "cut link {link}"),
            Self::SlowTo(link, rate) => write!(f, "slow link {link} to {rate}"),
            Self::SlowBy(link, delay) => write!(f, "slow link {link} by {}", short(*delay)),
            Self::Drop(link, share) => write!(f, "drop {}% on link {link}", f64::from(*share) / MILLION * 100.0),
            Self::CloseConnections => f.write_str("close connections"),
            Self::Alarm(resource, node) => write!(f, "alarm {} node {node}", resource.word()),
            Self::ExpireCluster => f.write_str("expire cluster"),
            Self::MoveLeader(0) => f.write_str("move leader"),
            Self::MoveLeader(queue) => write!(f, "move leader queue {queue}"),
            Self::Suspend(rank) => write!(f, "suspend rank {rank}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}", short(self.at), self.action)?;
        self.length.map_or(Ok(()), |length| write!(f, " for {}", short(length)))
    }
}

/// In one word: humantime separates parts by blanks.
fn short(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::tests::check_round_trip;

    #[test]
    fn each_fault_is_read_as_it_is_written() {
        check_round_trip::<Fault>(&[
            "at 10s: kill node 2",
            "at 10s: kill node 2 for 5s",
            "at 1m30s: restart node 1",
            "at 10s: stop producer proxy for 2s",
            "at 10s: restart consumer control server",
            "at 10s: stop balancer for 500ms",
            "at 10s: kill ingress",
            "at 10s: restart gateway 3",
            "at 10s: cut link dsn1 for 5s",
            "at 10s: slow link dsn2 to 100Mbit/s for 5s",
            "at 10s: slow link lb by 20ms for 5s",
            "at 10s: drop 1.5% on link clients for 5s",
            "at 10s: close connections",
            "at 10s: alarm memory node 1 for 5s",
            "at 10s: expire cluster",
            "at 10s: move leader",
            "at 10s: move leader queue 2",
            "at 10s: suspend rank 3 for 2s",
        ]);
        let disk = "at 2s: alarm disk for 1s".parse::<Fault>().unwrap();
        assert_eq!(disk.to_string(), "at 2s: alarm disk node 1 for 1s");
    }

    #[test]
    fn a_fault_that_is_written_wrongly_is_rejected_with_its_spelling() {
        for (text, expected) in [
            ("restart node 2", "at 10s: restart node 2"),
            ("at noon: restart node 2", "`noon` is not a valid duration"),
            ("at 1s: restrat node 2", "`restrat` is not a verb of faults (did you mean `restart`?)"),
            ("at 1s: kill node 0", "`0` is not a number from 1 on"),
            ("at 1s: kill proxy", "`proxy` is not a part: use node N, producer proxy"),
            ("at 1s: stop node 1", "say for how long: `stop node 1 for 5s`"),
            ("at 1s: stop node 1 for 0s", "`for 5s`"),
            ("at 1s: restart node 1 for 5s", "leave out the time, `restart node 1`"),
            ("at 1s: cut link DSN1 for 5s", "`DSN1` is not a host"),
            ("at 1s: cut dsn1 for 5s", "`cut link HOST for 5s`"),
            ("at 1s: slow link dsn1 to 5/s for 5s", "100Mbit/s"),
            ("at 1s: drop 100% on link dsn1 for 5s", "write it as 1%"),
            ("at 1s: alarm memroy for 5s", "did you mean `memory`?"),
            ("at 1s: suspend rank one for 2s", "`one` is not the number of a rank"),
            ("at 1s:", "at 10s: restart node 2"),
        ] {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(expected) && error.starts_with("fault `"), "{error}");
        }
    }

    #[test]
    fn tables_of_a_file_are_read_as_the_text_of_a_flag() {
        let mut table: Table = "[[fault]]\nat = '10s'\ndo = 'kill node 1 for 2s'".parse().unwrap();
        as_text(&mut table).unwrap();
        assert_eq!(table["fault"][0].as_str(), Some("at 10s: kill node 1 for 2s"));
        for (text, expected) in
            [("[[fault]]\nat = '1s'\ndoes = 'x'", "did you mean `do`?"), ("[[fault]]\nat = '1s'", "give `at` and `do`")]
        {
            let mut table: Table = text.parse().unwrap();
            let error = as_text(&mut table).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
