//! Partial profiles laid over each other; later ones take precedence.

use crate::{
    arrivals::Arrivals,
    defaults,
    ejfat::without_broker,
    error::{ProfileError, wrong},
    fault,
    load::read_trace,
    names::with_hint,
    origin::Origin,
    profile::Profile,
    shipped::{self, Kind},
};
use serde::Deserialize;
use toml::{Table, Value};

/// One partial profile and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    origin: Origin,
    table: Table,
}

impl Layer {
    /// Reads a layer from TOML text.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] for an unknown key or a wrong value, with the nearest right one.
    pub fn parse(origin: Origin, text: &str) -> Result<Self, ProfileError> {
        let table = text.parse::<Table>().map_err(|error| wrong(&origin, error.to_string().trim()))?;
        Self::new(origin, table)
    }

    /// Reads a layer from a table.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn new(origin: Origin, mut table: Table) -> Result<Self, ProfileError> {
        fault::as_text(&mut table).map_err(|message| wrong(&origin, message))?;
        let profile = Profile::deserialize(table.clone()).map_err(|error| wrong(&origin, sentence(&error)))?;
        if profile.messages.is_some() && profile.duration.is_some() {
            return Err(wrong(&origin, "`messages` and `duration` exclude each other: give one of them"));
        }
        Ok(Self { origin, table })
    }

    /// Reads one `key=value`, as in `--set`; the key may be dotted and the value may be unquoted.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn assignment(text: &str) -> Result<Self, ProfileError> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(wrong(&Origin::CommandLine, format!("--set {text}: write it as key=value")));
        };
        let (key, value) = (key.trim(), value.trim());
        let quoted = Value::String(value.to_owned());
        Self::parse(Origin::CommandLine, &format!("{key} = {value}"))
            .or_else(|_| Self::parse(Origin::CommandLine, &format!("{key} = {quoted}")))
            .map_err(|error| match error {
                ProfileError::Layer { origin, message } => wrong(&origin, format!("--set {text}: {message}")),
                other => other,
            })
    }

    /// Whether it names files to replay.
    fn names_files(&self) -> bool {
        let files = self.table.get("message").and_then(|message| message.get("files"));
        files.is_some_and(|files| files.get("paths").is_some())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key).and_then(Value::as_str)
    }
}

/// serde's error in words for people, with the key.
pub(crate) fn sentence(error: &toml::de::Error) -> String {
    let message = with_hint(error.message().trim())
        .replace("a nonzero u64", "a whole number of at least 1")
        .replace("a nonzero u32", "a whole number of at least 1");
    let text = error.to_string();
    match text.lines().find_map(|line| line.trim().strip_prefix("in ")) {
        Some(key) => format!("{key}: {message}"),
        None => message,
    }
}

/// Combines `written` (lowest precedence first) with the files that it names as its architecture and workload, which
/// have the lowest precedence. `read` reads a file that is not shipped.
///
/// # Errors
///
/// [`ProfileError`] if an architecture or workload is neither shipped nor a file, or if a file has an error.
pub fn combine(
    written: &[Layer],
    mut read: impl FnMut(&str) -> std::io::Result<String>,
) -> Result<Profile, ProfileError> {
    let mut table = Table::new();
    for (kind, default) in [(Kind::Architecture, defaults::ARCHITECTURE), (Kind::Workload, defaults::WORKLOAD)] {
        let chosen =
            written.iter().rev().find_map(|layer| layer.text(kind.key()).map(|name| (layer.origin.clone(), name)));
        if chosen.is_none() && kind == Kind::Workload && written.iter().any(Layer::names_files) {
            // Files without a workload: nothing of the default one applies to them.
            let replay = Layer::parse(Origin::CommandLine, defaults::REPLAY_SETTINGS)?;
            overlay(&mut table, replay.table);
            table.insert(kind.key().to_owned(), Value::String(defaults::REPLAY.to_owned()));
            continue;
        }
        let (origin, name) = chosen.unwrap_or((Origin::CommandLine, default));
        let layer = named(kind, &origin, name, &mut read)?;
        overlay(&mut table, layer.table);
        table.insert(kind.key().to_owned(), Value::String(name.to_owned()));
    }
    for layer in written {
        overlay(&mut table, layer.table.clone());
    }
    one_queue_for_others(&mut table, written);
    without_broker(&mut table, written.iter().map(|layer| (&layer.origin, &layer.table)))?;
    let mut profile = Profile::deserialize(table).map_err(|error| ProfileError::Impossible(error.to_string()))?;
    if let Some(Arrivals::Trace(Some(file))) = &profile.load.arrivals {
        let text = read(file).map_err(|error| format!("cannot read the trace `{file}`: {error}"));
        let times = text.and_then(|text| read_trace(&text).map_err(|error| format!("the trace `{file}`, {error}")));
        profile.load.trace = Some(times.map_err(ProfileError::Impossible)?);
    }
    Ok(profile)
}

/// What a workload sets for queues of the run's own does not apply to one that exists, and the number of queues is meant for consumers of
/// the run's own: it does not apply to those of others, nor to queues behind an exchange that exists.
fn one_queue_for_others(table: &mut Table, written: &[Layer]) {
    let any =
        |key| written.iter().any(|layer| layer.table.get("service").is_some_and(|service| service.get(key).is_some()));
    let keys: &[&str] = match (any("queue"), any("exchange")) {
        (true, _) => &["queues", "durable", "max_length", "max_bytes", "overflow", "ttl", "leader"],
        (false, true) => &["queues"],
        (false, false) if table.get("consumers").and_then(Value::as_integer) == Some(0) => &["queues"],
        (false, false) => &[],
    };
    if let Some(Value::Table(service)) = table.get_mut("service") {
        keys.iter().filter(|key| !any(key)).for_each(|key| drop(service.remove(*key)));
    }
}

fn named(
    kind: Kind,
    origin: &Origin,
    name: &str,
    read: &mut impl FnMut(&str) -> std::io::Result<String>,
) -> Result<Layer, ProfileError> {
    if let Some(shipped) = shipped::find(kind, name) {
        return Layer::parse(Origin::File(shipped.path.to_owned()), shipped.text);
    }
    if !name.ends_with(".toml") && !name.contains('/') {
        return Err(ProfileError::UnknownName {
            origin: origin.clone(),
            kind: kind.noun(),
            name: name.to_owned(),
            hint: crate::names::hint(name, shipped::list(kind).map(|shipped| shipped.name)),
        });
    }
    let text =
        read(name).map_err(|error| wrong(origin, format!("cannot read {} file `{name}`: {error}", kind.noun())))?;
    Layer::parse(Origin::File(name.to_owned()), &text)
}

/// Tables are merged, other values are replaced; the two ways to set a run's length replace each other.
pub(crate) fn overlay(below: &mut Table, above: Table) {
    for (key, other) in [("messages", "duration"), ("duration", "messages")] {
        if above.contains_key(key) {
            below.remove(other);
        }
    }
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// `service.queues` and 2 as a table in a table.
pub(crate) fn table_of(key: &str, value: Value) -> Table {
    match key.split_once('.') {
        Some((first, rest)) => Table::from_iter([(first.to_owned(), Value::Table(table_of(rest, value)))]),
        None => Table::from_iter([(key.to_owned(), value)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ServiceProfile;

    fn no_files(_: &str) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn command_line(text: &str) -> Result<Layer, ProfileError> {
        Layer::parse(Origin::CommandLine, text)
    }

    #[test]
    fn the_command_line_wins_over_a_file_and_a_file_over_what_is_shipped() {
        let file = Layer::parse(Origin::File("mine.toml".into()), "messages = 5\n[service]\nprefetch = 7\nqueues = 3")
            .unwrap();
        let flags = command_line("duration = '3s'\n[service]\nqueues = 4").unwrap();
        let profile = combine(&[file, flags], no_files).unwrap();
        assert_eq!(profile.service.prefetch, Some(7));
        assert_eq!(profile.service.queues.map(|q| q.get()), Some(4));
        assert_eq!(profile.service.confirms.map(|c| c.to_string()).as_deref(), Some("batch:64"));
        assert_eq!(profile.messages, None, "a duration replaces a file's number of messages");
    }

    #[test]
    fn what_a_workload_sets_for_its_queues_does_not_apply_to_a_queue_that_exists() {
        let of_workload = "queues = 2\ndurable = true\nmax_length = 5\nmax_bytes = '1MB'\noverflow = 'reject-publish'\nttl = '5s'\n\
            leader = 'client-local'\nprefetch = 9";
        let flags = command_line("workload = 'mine.toml'\n[service]\nqueue = 'frames'").unwrap();
        let profile = combine(&[flags], |_| Ok(format!("[service]\n{of_workload}"))).unwrap();
        let left = ServiceProfile { queue: Some("frames".into()), prefetch: Some(9), ..ServiceProfile::default() };
        assert_eq!(profile.service, left);
    }

    #[test]
    fn a_misspelt_key_or_name_is_refused_with_the_nearest_right_one() {
        let error = command_line("produsers = 3").unwrap_err();
        assert!(error.to_string().contains("did you mean `producers`?"), "{error}");
        assert!(error.is_usage());

        let error = Layer::parse(Origin::File("mine.toml".into()), "[service]\nprefech = 3").unwrap_err();
        assert!(error.to_string().starts_with("mine.toml: "), "{error}");
        assert!(error.to_string().contains("did you mean `prefetch`?"), "{error}");
        assert!(!error.is_usage());

        let flags = command_line("workload = 'dstrem'").unwrap();
        let error = combine(&[flags], no_files).unwrap_err();
        assert!(error.to_string().contains("did you mean `dstream`?"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_key_and_what_would_be_right() {
        for (text, expected) in [
            ("messages = 0", "`messages`: invalid value: integer `0`, expected a whole number of at least 1"),
            ("[service]\nconfirms = 'batc:3'", "`service.confirms`: `batc:3` is not a valid value for confirms"),
        ] {
            let error = command_line(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn set_takes_bare_words_numbers_and_dotted_keys() {
        for (text, key) in
            [("service.prefetch=8", "service"), ("service.confirms=window:9", "service"), ("duration=3s", "duration")]
        {
            assert!(Layer::assignment(text).unwrap().table.contains_key(key), "{text}");
        }
        for (text, expected) in [("service.prefech=8", "did you mean `prefetch`?"), ("prefetch", "key=value")] {
            let error = Layer::assignment(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_length_given_twice_in_one_place_is_refused() {
        let error = command_line("messages = 3\nduration = '3s'").unwrap_err();
        assert!(error.to_string().contains("exclude each other"), "{error}");
    }

    #[test]
    fn files_without_a_workload_are_one_of_their_own() {
        let flags = command_line("[message.files]\npaths = ['run42/*.h5']").unwrap();
        let profile = combine(&[flags], no_files).unwrap();
        assert_eq!((profile.workload.as_deref(), profile.message.events), (Some("replay"), None));
        assert_eq!(profile.message.format, Some(crate::Format::Files));
    }

    #[test]
    fn a_file_of_ones_own_is_read_by_its_path() {
        let flags = command_line("workload = 'mine.toml'").unwrap();
        let profile = combine(&[flags], |path| {
            assert_eq!(path, "mine.toml");
            Ok("[message]\nformat = 'geb-raw'\nevent_bytes = '2000B'\nevents = 2".to_owned())
        });
        assert_eq!(profile.unwrap().message.events.map(|n| n.max()), Some(2));
    }
}
