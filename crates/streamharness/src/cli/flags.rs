//! Flags as a profile layer, laid over the profile file.

use crate::{
    cli::arguments::Run,
    files::replayed,
    terminal::exit::{Exit, Failure},
};
use figures::input;
use profile::{Layer, Origin, Profile, ProfileError, Role};
use toml::{Table, Value};

/// The profile from file and flags. Reads files.
pub fn profile(run: &Run) -> Result<Profile, Failure> {
    profile_under(run, &[])
}

/// The profile from file and flags, laid over other layers. Reads files.
pub fn profile_under(run: &Run, under: &[Layer]) -> Result<Profile, Failure> {
    let mut layers = under.to_vec();
    if let Some(path) = &run.profile {
        let name = path.display().to_string();
        let text = input::profile(path).map_err(|error| {
            let known = profile::list(profile::Kind::Workload).chain(profile::list(profile::Kind::Architecture));
            let hint = known
                .filter(|shipped| shipped.name == name)
                .map(|shipped| {
                    format!("; for the shipped {0} use --{1} {name}", shipped.kind.noun(), shipped.kind.key())
                })
                .collect::<String>();
            Failure::new(Exit::Usage, format!("cannot read the profile `{name}`: {error}{hint}"))
        })?;
        layers.push(Layer::parse(Origin::File(name), &text).map_err(failure)?);
    }
    layers.extend(given(run).map_err(failure)?);
    replayed::combined(&layers).map_err(failure)
}

/// Refuses a role where no ranks are launched.
pub fn without_role(role: Option<Role>) -> Result<(), Failure> {
    let Some(role) = role else { return Ok(()) };
    let sentence = format!(
        "--role is for a part of a launch, and this launches no ranks: give the role of each rank, as --set 'roles=[\"{role}\", ...]'"
    );
    Err(Failure::new(Exit::Usage, sentence))
}

/// The layers of the flags alone.
pub fn given(run: &Run) -> Result<Vec<Layer>, ProfileError> {
    let flags = Layer::new(Origin::CommandLine, table(run))?;
    let set = run.set.iter().map(|assignment| Layer::assignment(assignment));
    std::iter::once(Ok(flags)).chain(set).collect()
}

/// A profile's error with its exit code.
pub fn failure(error: ProfileError) -> Failure {
    Failure::new(if error.is_usage() { Exit::Usage } else { Exit::Profile }, error)
}

fn table(run: &Run) -> Table {
    let mut table = Table::new();
    let mut set = |path: &str, value: Option<Value>| {
        let Some(value) = value else { return };
        match path.split_once('.') {
            None => table.insert(path.to_owned(), value),
            Some((section, key)) => table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .expect("sections are only ever inserted as tables")
                .insert(key.to_owned(), value),
        };
    };
    let text = |value: &Option<String>| value.clone().map(Value::String);
    let number = |value: &Option<String>| {
        value.as_ref().map(|text| text.parse().map_or(Value::String(text.clone()), Value::Integer))
    };
    let many = |values: &[String]| {
        (!values.is_empty()).then(|| Value::Array(values.iter().cloned().map(Value::String).collect()))
    };
    set("arch", text(&run.arch));
    set("workload", text(&run.workload));
    set("pattern", text(&run.pattern));
    set("producers", number(&run.producers));
    set("consumers", number(&run.consumers));
    set("wait_for_peers", text(&run.wait_for_peers));
    set("messages", number(&run.messages));
    set("duration", text(&run.duration));
    set("warmup", text(&run.warmup));
    set("load.rate", text(&run.rate));
    set("load.arrivals", text(&run.arrivals));
    set("load.phases", text(&run.phases));
    set("seed", number(&run.seed));
    set("verify", text(&run.verify));
    set("timeout", text(&run.timeout));
    set("message.fill", text(&run.fill));
    set("sink.dir", text(&run.sink));
    set("message.files", many(&run.from).map(|paths| Value::Table(Table::from_iter([("paths".to_owned(), paths)]))));
    set("service.confirms", text(&run.confirms));
    set("service.acks", text(&run.acks));
    set("service.prefetch", number(&run.prefetch));
    set("service.queues", number(&run.queues));
    set("service.queue", text(&run.queue));
    set("service.exchange", text(&run.exchange));
    set("service.queue_type", text(&run.queue_type));
    set("service.connections", number(&run.connections));
    let reconnect = |limit| Value::Table(Table::from_iter([("limit".to_owned(), limit)]));
    set("service.reconnect", text(&run.reconnect).map(reconnect));
    set("layout", text(&run.layout));
    set("fault", many(&run.fault));
    set("service_time", text(&run.service_time));
    set("think_time", text(&run.think_time));
    set("route.urls", many(&run.route.url));
    set("route.producer_urls", many(&run.route.producer_url));
    set("route.consumer_urls", many(&run.route.consumer_url));
    set("route.connect_to", many(&run.route.connect_to));
    set("route.interface", text(&run.route.interface));
    set("route.service_hosts", number(&run.route.service_hosts));
    set("route.ports", text(&run.route.ports));
    set("route.ca", text(&run.route.ca));
    set("route.cert", text(&run.route.cert));
    set("route.key", text(&run.route.key));
    set("route.auth", text(&run.route.auth));
    set("route.token_file", text(&run.route.token_file));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::Streamharness;
    use clap::Parser;

    fn typed(arguments: &[&str]) -> Result<Profile, Failure> {
        let parsed = Streamharness::try_parse_from([&["streamharness"], arguments].concat()).unwrap();
        profile(&parsed.run)
    }

    #[test]
    fn flags_reach_the_profile() {
        let profile =
            typed(&["--messages", "7", "--confirms", "each", "--url", "amqp://a@b", "--set", "service.heartbeat_s=9"])
                .unwrap();
        assert_eq!(profile.messages.map(|n| n.get()), Some(7));
        assert_eq!(profile.service.confirms.map(|c| c.to_string()).as_deref(), Some("each"));
        assert_eq!(profile.route.urls.as_deref(), Some(&["amqp://a@b".to_owned()][..]));
        assert_eq!(profile.service.heartbeat_s, Some(9));
    }

    #[test]
    fn a_wrong_value_is_a_usage_error_with_the_right_values() {
        for (arguments, expected) in [
            (vec!["--messages", "0"], "`messages`: invalid value: integer `0`, expected a whole number of at least 1"),
            (vec!["--messages", "many"], "many"),
            (vec!["--workload", "dstrem"], "did you mean `dstream`?"),
            (vec!["--arch", "dts-plian"], "did you mean `dts-plain`?"),
            (vec!["--confirms", "batc:4"], "did you mean `batch`?"),
            (vec!["--pattern", "brodcast"], "did you mean `broadcast`?"),
            (vec!["--queue-type", "qorum"], "did you mean `quorum`?"),
            (vec!["--service-time", "exponental:1ms"], "did you mean `exponential`?"),
            (vec!["--rate", "nominl"], "did you mean `nominal`?"),
            (vec!["--warmup", "soon"], "500msgs"),
            (vec!["--reconnect", "30"], "write it as 30s"),
            (vec!["--layout", "cylic"], "did you mean `cyclic`?"),
            (vec!["--set", "service.prefech=4"], "did you mean `prefetch`?"),
            (vec!["dstream"], "--workload dstream"),
        ] {
            let failure = typed(&arguments).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.sentence.contains(expected), "{}", failure.sentence);
        }
    }
}
