//! What must hold after every run, whatever was done to it.

use crate::{
    fault::Permits,
    run::{Done, Finished},
};
use measure::Record;
use serde_json::Value;

/// Signs of a crash, or of a text that was made for developers.
const CRASHES: [&str; 10] = [
    "panicked",
    "RUST_BACKTRACE",
    "overflowed its stack",
    "Segmentation fault",
    "Process received signal",
    "MPI_ERR_",
    "Other(",
    "OtherError",
    "core dumped",
    "assertion failed",
];
/// A queue that nobody uses goes after less than this.
const EXPIRES_MS: u64 = 600_000;
/// Codes of what was typed: nothing ran, so there is no record.
const TYPED: [i32; 2] = [1, 2];

/// All that does not hold.
pub fn broken(finished: &Finished) -> Vec<String> {
    let one = Checked::of(finished);
    let mut wrong = Vec::new();
    one.ending(&mut wrong);
    one.output(&mut wrong);
    one.records(&mut wrong);
    one.leftovers(&mut wrong);
    one.secrets(&mut wrong);
    wrong
}

/// A record by its fields, and as it stands there.
pub type Read = (Record, Value);

/// A run and what it permits.
struct Checked<'a> {
    finished: &'a Finished,
    permits: Permits,
    code: Option<i32>,
    records: Vec<(&'a str, Result<Read, String>)>,
}

impl<'a> Checked<'a> {
    fn of(finished: &'a Finished) -> Self {
        let nothing = Permits { passes: true, ..Permits::default() };
        // What can have passed by need not be seen in how the run ends.
        let permits = |done: &Done| Permits { passes: done.permits.passes || !done.certain, ..done.permits.clone() };
        let files = &finished.ended.outcome.files;
        let records = files.iter().filter(|(name, _)| name.ends_with("/record.json"));
        Self {
            finished,
            permits: finished.done.iter().map(permits).fold(nothing, |all, one| all.and(&one)),
            code: finished.ended.outcome.status.code(),
            records: records.map(|(name, bytes)| (name.as_str(), read(bytes))).collect(),
        }
    }

    /// It ended in time, with a code of the table that fits what was done to it, and no process is left.
    fn ending(&self, wrong: &mut Vec<String>) {
        let ended = &self.finished.ended;
        if !ended.in_time {
            wrong.push(format!("it had not ended within {} s", self.finished.limit.as_secs()));
            return;
        }
        if !ended.left.is_empty() {
            let left: Vec<String> = ended.left.iter().map(|process| process.arguments.join(" ")).collect();
            wrong.push(format!("{} process(es) left: {}", left.len(), left.join(" | ")));
        }
        let several = self.finished.plan.runs() > 1 && !self.permits.codes.is_empty();
        let fits = match self.code {
            Some(0) => self.permits.passes,
            Some(code) => {
                let known = self.permits.codes.iter().any(|permitted| i32::from(*permitted) == code);
                known || self.permits.killed || (code == 7 && (several || self.machine_was_short()))
            }
            None => self.permits.killed,
        };
        if !fits {
            let done: Vec<&str> = self.finished.done.iter().map(|done| done.what.as_str()).collect();
            wrong.push(format!("{} does not fit {done:?}", ended.outcome.status));
        }
    }

    /// Whether the machine kept the run from its end in time, as its record has it: others work here, too.
    fn machine_was_short(&self) -> bool {
        let oversubscribed = |record: &Record| record.warnings.iter().any(|line| line.starts_with("oversubscribed: "));
        self.records.iter().any(|(_, read)| read.as_ref().is_ok_and(|(record, _)| oversubscribed(record)))
    }

    /// One sentence where it failed, and nothing of a crash.
    fn output(&self, wrong: &mut Vec<String>) {
        let outcome = &self.finished.ended.outcome;
        for sign in CRASHES {
            if let Some(line) = outcome.stderr.lines().chain(outcome.stdout.lines()).find(|line| line.contains(sign)) {
                wrong.push(format!("`{sign}` in: {line}"));
            }
        }
        if self.permits.silent || self.permits.killed {
            return;
        }
        let failed = self.code != Some(0);
        if failed && !outcome.stderr.lines().any(|line| line.starts_with("streamharness: ")) {
            wrong.push("it failed without a sentence".to_owned());
        }
        let verdicts: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("# STATUS: ")).collect();
        let passed = verdicts.iter().filter(|verdict| verdict.starts_with("# STATUS: PASS")).count();
        if !failed && (verdicts.is_empty() || passed != verdicts.len()) && !self.finished.plan.sweep {
            wrong.push(format!("exit code 0 with the verdicts {verdicts:?}"));
        }
        if failed && self.finished.plan.runs() == 1 && passed > 0 && !self.permits.unwritten {
            wrong.push(format!("exit code {:?} with a verdict that it passed", self.code));
        }
    }

    /// There are as many records as there can be, and each holds by itself and against the broker.
    fn records(&self, wrong: &mut Vec<String>) {
        let typed = self.code.is_some_and(|code| TYPED.contains(&code));
        let streamed = self.finished.done.iter().all(|done| done.flowed.is_some());
        let led = !self.permits.leaderless || streamed;
        let due = self.code == Some(0) || (led && !typed && !self.permits.unwritten);
        if self.records.is_empty() && due {
            wrong.push("there is no record".to_owned());
        }
        if self.code == Some(0) && self.records.len() != self.finished.plan.runs() as usize {
            wrong.push(format!("{} records of {} runs", self.records.len(), self.finished.plan.runs()));
        }
        for (name, record) in &self.records {
            let mut here = Vec::new();
            match record {
                Ok((record, json)) => {
                    self.status(record, &mut here);
                    self.sums(record, json, &mut here);
                    self.against_broker(record, json, &mut here);
                }
                // A file system that is full may hold a part of one.
                Err(error) => here.push(error.clone()),
            }
            wrong.extend(here.into_iter().map(|what| format!("{name}: {what}")));
        }
        for name in self.finished.ended.outcome.files.keys() {
            let partial = name.ends_with(".partial") || name.ends_with(".probe");
            let temporary = name.starts_with("tmp/") && !name.contains("ompi");
            if (partial && !self.permits.leaderless) || temporary {
                wrong.push(format!("the temporary file {name} is left"));
            }
        }
    }

    /// The verdict fits the exit code.
    fn status(&self, record: &Record, wrong: &mut Vec<String>) {
        let status = &record.status;
        if status.pass != (status.exit_code == 0) || (!status.pass && status.reason.is_empty()) {
            wrong.push(format!("{status:?}"));
        }
        let single = self.finished.plan.runs() == 1;
        let own = single && !self.permits.killed && !self.permits.unwritten && !self.permits.silent;
        if (own && self.code != Some(i32::from(status.exit_code))) || (self.code == Some(0) && !status.pass) {
            wrong.push(format!("exit code {:?}, and {status:?}", self.code));
        }
    }

    /// Each message is in one place.
    fn sums(&self, record: &Record, json: &Value, wrong: &mut Vec<String>) {
        let all = &record.integrity;
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{what}: {}", json["integrity"]));
            }
        };
        let undetermined = undetermined(json);
        let partial = is_partial(record);
        let damaged = self.permits.damaged;
        must(all.sent >= all.confirmed, "sent >= confirmed");
        must(partial || all.delivered <= all.sent * all.copies + all.unexpected, "delivered <= sent * copies");
        must(all.delivered + all.lost + undetermined >= all.expected, "delivered + lost + undetermined >= expected");
        must(all.lost + undetermined <= all.expected, "lost + undetermined <= expected");
        must(all.lost == 0 || self.permits.lost, "nothing is lost, since nothing destroys messages");
        must(all.lost == 0 || record.status.exit_code == 4, "nothing is proved to be lost in a run that was cut short");
        must(damaged || all.corrupt == 0, "no body is damaged");
        let explained = all.redelivered + all.republished > 0;
        let explained = explained || all.duplicated_by_reconnection > 0;
        must(damaged || explained || all.duplicated == 0, "nothing comes twice without a reason");
        let injected = self.finished.injected;
        // Every consumer of a broadcast over a stream reads all of it.
        let most = injected.all() * all.copies.max(1);
        must(damaged || all.foreign <= most, "no more foreign messages than there were");
        let forged = injected.forged * all.copies.max(1);
        must(damaged || all.unexpected <= forged, "no more forged messages than there were");
        if record.status.pass {
            must(all.delivered == all.sent * all.copies, "what passes delivered all");
            must(all.lost + undetermined + all.unconfirmed + all.abandoned == 0, "what passes accounts for all");
            // What struck in part did so while the run ended: nobody may have read it.
            let certain = self.finished.missed.is_empty() && self.finished.done.iter().all(|done| done.certain);
            let single = self.finished.plan.runs() == 1;
            must(!single || !certain || all.foreign >= injected.foreign, "what passes counted the foreign messages");
        }
    }

    /// The broker's own counts of the run's queues say the same.
    fn against_broker(&self, record: &Record, json: &Value, wrong: &mut Vec<String>) {
        if self.permits.uncounted {
            return;
        }
        let prefix = prefix(record);
        let of_run = |name: &str| name.starts_with(&prefix) && !name.contains(".repl");
        let all = &record.integrity;
        let (partial, injected) = (is_partial(record), self.finished.injected.all());
        let queues = || self.finished.seen.queues.values().filter(|queue| of_run(&queue.name));
        let published: u64 = queues().map(|queue| queue.publish).sum();
        let acked: u64 = queues().map(|queue| queue.ack).sum();
        // One stream serves all readers of a broadcast.
        let one_for_all = queues().any(|queue| queue.name.contains(".all."));
        let copies = if one_for_all { 1 } else { all.copies };
        let most = (all.sent + all.republished) * copies + injected;
        if !partial && published > most {
            wrong.push(format!("the broker was given {published} messages, and the record has {most}"));
        }
        let received = record.totals.received.messages + all.foreign + all.unexpected;
        if !partial && !self.finished.plan.acks_auto && acked > received {
            wrong.push(format!("the broker has {acked} acknowledgements of {received} deliveries"));
        }
        let classic = self.finished.plan.queue_type != "stream" && !self.finished.plan.acks_auto;
        let held = json.pointer("/integrity/in_service").and_then(Value::as_u64);
        // What a consumer of an exclusive queue was given and has not read goes with the queue.
        let comes_back = classic && (all.copies == 1 || self.finished.plan.queue_type == "quorum");
        if let (Some(held), true) = (held, comes_back && self.finished.plan.confirms && !self.permits.lost) {
            let (confirmed, delivered) = (all.confirmed * all.copies, all.delivered);
            if delivered + held < confirmed {
                wrong
                    .push(format!("{confirmed} messages were confirmed, {delivered} delivered, and {held} in service"));
            }
        }
        let kept: Vec<_> = self.finished.left.iter().filter(|queue| of_run(&queue.name)).collect();
        let complete = !partial && self.finished.counted && classic && !self.permits.lost;
        // Where queues go by themselves, what was in them is gone.
        let all_kept = queues().count() == kept.len() && !kept.is_empty();
        let waiting: u64 = kept.iter().map(|queue| queue.messages).sum();
        if let Some(held) = held.filter(|held| complete && all_kept && *held != waiting) {
            wrong.push(format!("the record has {held} messages in service, and {waiting} wait there"));
        }
        if complete && all_kept && self.finished.plan.confirms {
            let confirmed = all.confirmed * all.copies;
            if all.delivered + waiting < confirmed {
                let delivered = all.delivered;
                wrong.push(format!("{confirmed} messages were confirmed, {delivered} delivered and {waiting} wait"));
            }
            let missing = undetermined(json);
            if missing > waiting + all.unconfirmed * all.copies {
                wrong.push(format!("{missing} messages are undetermined, and {waiting} wait in the broker"));
            }
        }
    }

    /// Nothing stays in the broker but what goes by itself or is named.
    fn leftovers(&self, wrong: &mut Vec<String>) {
        let outcome = &self.finished.ended.outcome;
        let named = |name: &str| {
            let records = outcome.files.iter().filter(|(file, _)| file.ends_with("/record.json"));
            let mut texts = records.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
            names(&outcome.stderr, name) || texts.any(|text| names_as_left(&text, name))
        };
        let orderly = !self.permits.killed && !self.permits.leaderless;
        for queue in &self.finished.left {
            let name = &queue.name;
            let goes = queue.expires_ms.is_some_and(|ms| ms <= EXPIRES_MS) || queue.goes_by_itself;
            if orderly && !self.permits.kept {
                wrong.push(format!("queue {name} is left"));
            } else if !named(name) && (orderly || !goes) {
                wrong.push(format!("queue {name} is left and not named (expires: {:?})", queue.expires_ms));
            }
        }
        for (name, goes) in &self.finished.left_exchanges {
            if !named(name) && !goes {
                wrong.push(format!("exchange {name} is left and not named"));
            }
        }
    }

    /// No secret is in anything that can be read.
    fn secrets(&self, wrong: &mut Vec<String>) {
        wrong.extend(self.finished.seen.told.iter().cloned());
        let outcome = &self.finished.ended.outcome;
        let outputs = [("stdout", outcome.stdout.as_bytes()), ("stderr", outcome.stderr.as_bytes())];
        let files = outcome.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        for (name, bytes) in outputs.into_iter().chain(files) {
            let text = String::from_utf8_lossy(bytes);
            for (what, secret) in &self.finished.secrets {
                if text.contains(secret.as_str()) {
                    wrong.push(format!("{what} is in {name}"));
                }
            }
        }
    }
}

/// A record by its version and its fields, and as it stands there.
pub fn read(bytes: &[u8]) -> Result<Read, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let record = Record::from_json(text).map_err(|error| error.to_string())?;
    Ok((record, serde_json::from_str(text).map_err(|error| error.to_string())?))
}

/// Whether it is made of the last sums that rank 0 heard: these are of several moments.
pub fn is_partial(record: &Record) -> bool {
    record.latency.is_empty() || record.warnings.iter().any(|warning| warning.contains("last sums"))
}

/// What nobody can know.
fn undetermined(json: &Value) -> u64 {
    json.pointer("/integrity/undetermined").and_then(Value::as_u64).unwrap_or_default()
}

/// What the names of the run's queues begin with.
fn prefix(record: &Record) -> String {
    let run = record.plan.get("run").and_then(Value::as_u64).unwrap_or_default();
    format!("streamharness.{run:08x}.")
}

/// Whether a record names a queue outside of its plan, which names all of them.
fn names_as_left(record: &str, name: &str) -> bool {
    let Ok(mut json) = serde_json::from_str::<Value>(record) else { return false };
    json["plan"] = Value::Null;
    names(&json.to_string(), name)
}

/// Whether a text has a name, or the first of several such, or what all names of its run begin with.
fn names(text: &str, name: &str) -> bool {
    let of_run = name.match_indices('.').nth(1).map_or(name, |(at, dot)| &name[..at + dot.len()]);
    let alone = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric());
    let several = |line: &str| line.contains("left on the service") && line.contains(of_run) && line.contains(" more");
    text.contains(name)
        || text.match_indices(of_run).any(|(at, of_run)| alone(&text[at + of_run.len()..]))
        || text.lines().any(several)
}

#[cfg(test)]
mod sound {
    use super::*;
    use crate::{
        api::Queue,
        fault::{After, Injected},
        plan::Plan,
        watch::Seen,
    };
    use rand::SeedableRng;
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};
    use tests::support::{Ended, Outcome, workspace};

    const RECORD: &str = "results/one/record.json";
    const QUEUE: &str = "streamharness.ae0be385.consumer.0";

    /// A run to which nothing was done, with a record that is kept for reports.
    fn sound() -> Finished {
        let mut plan = Plan::draw(&mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
        plan.make_single();
        (plan.queue_type, plan.acks_auto, plan.confirms) = ("classic", false, true);
        let record = std::fs::read(workspace().join("analysis/example/dts-1/record.json")).unwrap();
        let outcome = Outcome {
            shown: String::new(),
            status: ExitStatus::from_raw(0),
            stdout: "# STATUS: PASS\n".to_owned(),
            stderr: String::new(),
            elapsed: Duration::from_secs(5),
            files: [(RECORD.to_owned(), record)].into(),
        };
        Finished {
            plan,
            ended: Ended { outcome, in_time: true, left: Vec::new() },
            limit: Duration::from_secs(60),
            done: Vec::new(),
            missed: Vec::new(),
            injected: Injected::default(),
            seen: Seen::default(),
            left: Vec::new(),
            left_exchanges: Vec::new(),
            counted: true,
            secrets: vec![("the password", "sesame".to_owned())],
            diagnosis: String::new(),
            after: After::Whole,
        }
    }

    /// Something is done to a sound run, and is found.
    #[track_caller]
    fn check(spoil: impl FnOnce(&mut Finished), expected: &str) {
        let mut finished = sound();
        spoil(&mut finished);
        let wrong = broken(&finished);
        assert!(wrong.iter().any(|what| what.contains(expected)), "{expected}: {wrong:#?}");
    }

    /// The record says something else.
    #[track_caller]
    fn check_record(pointer: &str, value: impl Into<Value>, expected: &str) {
        let value = value.into();
        let spoil = |finished: &mut Finished| {
            let bytes = finished.ended.outcome.files.get_mut(RECORD).unwrap();
            let mut json: Value = serde_json::from_slice(bytes).unwrap();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            json.pointer_mut(parent).unwrap()[key] = value;
            *bytes = json.to_string().into_bytes();
        };
        check(spoil, expected);
    }

    #[test]
    fn a_run_to_which_nothing_was_done_breaks_nothing() {
        assert_eq!(broken(&sound()), Vec::<String>::new());
    }

    #[test]
    fn endings_that_do_not_fit_are_found() {
        check(|finished| finished.ended.in_time = false, "it had not ended");
        check(|finished| finished.ended.outcome.status = ExitStatus::from_raw(101 << 8), "does not fit");
        check(|finished| finished.ended.outcome.status = ExitStatus::from_raw(11), "does not fit");
        check(|finished| finished.ended.outcome.stderr = "thread 'main' panicked".to_owned(), "`panicked` in");
        check(|finished| finished.ended.outcome.stdout.clear(), "exit code 0 with the verdicts");
        check(|finished| finished.ended.outcome.files.clear(), "there is no record");
    }

    #[test]
    fn sums_that_do_not_hold_are_found() {
        check_record("/integrity/lost", 1, "nothing is lost");
        check_record("/integrity/undetermined", 1, "what passes accounts for all");
        check_record("/integrity/delivered", 23, "what passes delivered all");
        check_record("/integrity/expected", 25, ">= expected");
        check_record("/integrity/foreign", 1, "no more foreign messages");
        check_record("/integrity/corrupt", 1, "no body is damaged");
        check_record("/integrity/duplicated", 1, "nothing comes twice");
        check_record("/status/exit_code", 7, "exit_code: 7");
        check_record("/schema", "streamharness/record/2", "is of schema");
    }

    #[test]
    fn counts_that_the_broker_does_not_have_are_found() {
        let seen =
            |publish, ack, messages| Queue { name: QUEUE.to_owned(), publish, ack, messages, ..Queue::default() };
        let watched =
            |queue: Queue| move |finished: &mut Finished| drop(finished.seen.queues.insert(QUEUE.to_owned(), queue));
        check(watched(seen(25, 0, 0)), "the broker was given 25 messages");
        check(watched(seen(24, 25, 0)), "25 acknowledgements");
        check_kept(23, 0, "24 messages were confirmed, 23 delivered and 0 wait");
        check_kept(23, 2, "the record has 1 messages in service, and 2 wait there");
    }

    /// A run that was cut short after so many deliveries, with one message in service by its record and `waiting` by the broker.
    #[track_caller]
    fn check_kept(delivered: u64, waiting: u64, expected: &str) {
        let queue = Queue { name: QUEUE.to_owned(), messages: waiting, ..Queue::default() };
        let spoil = |finished: &mut Finished| {
            let bytes = finished.ended.outcome.files.get_mut(RECORD).unwrap();
            let mut json: Value = serde_json::from_slice(bytes).unwrap();
            json["integrity"]["delivered"] = delivered.into();
            json["integrity"]["in_service"] = 1.into();
            *bytes = json.to_string().into_bytes();
            finished.seen.queues.insert(QUEUE.to_owned(), queue.clone());
            finished.left.push(queue);
        };
        check(spoil, expected);
    }

    #[test]
    fn a_leftover_and_a_leaked_secret_are_found() {
        let queue = || Queue { name: QUEUE.to_owned(), expires_ms: Some(300_000), ..Queue::default() };
        check(|finished| finished.left.push(queue()), "is left");
        check(|finished| finished.left_exchanges.push(("streamharness.ae0be385.all".to_owned(), false)), "is left");
        check(|finished| finished.ended.outcome.stderr = "the password sesame".to_owned(), "the password is in stderr");
        let partial = "results/one/.record.json.partial".to_owned();
        check(move |finished| drop(finished.ended.outcome.files.insert(partial, Vec::new())), "temporary file");
    }
}
