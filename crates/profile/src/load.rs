//! The load of a run: due times as arithmetic on a count of messages. The caller owns the clock.

use crate::{
    arrivals::{Arrivals, Level, LoadRate, Phase},
    contents::Rate,
    defaults,
    error::{ProfileError, impossible},
    message::Message,
    profile::LoadProfile,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Fraction bits of a count of messages: a position between two messages has a resolution of 1/16,777,216 of their
/// distance.
pub const COUNT_BITS: u32 = 24;
/// Rates that a schedule can keep exactly: due times are whole nanoseconds of millionths of a message.
const PER_SECOND: std::ops::RangeInclusive<f64> = 1e-6..=1e9;
const NS_PER_S: f64 = 1e9;
/// Nanoseconds per second times millionths per message.
const NS_MICRO: u128 = 1_000_000_000_000_000;
const TIMES_MAX: usize = 50_000_000;

/// The load of a run, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// The rate as written.
    pub rate: LoadRate,
    /// Messages per second of all producers together, while they send; `None` without a schedule.
    pub messages_per_second: Option<f64>,
    /// The same averaged over silent periods. With phases, the level of the last one.
    pub mean_messages_per_second: Option<f64>,
    /// The distribution of the times between messages.
    pub arrivals: Arrivals,
    /// The change of the rate.
    pub phases: Vec<Segment>,
    /// The recorded times.
    pub trace: Option<Trace>,
    /// Overdue messages that a sender sends before it pauses for the gap between two messages; `None`: unlimited.
    pub catchup_limit: Option<u32>,
    /// Whether a sender spins for the last moments before a message is due, which is useful only on a core of its own.
    /// `None`: depends on the number of cores.
    pub spin: Option<bool>,
}

/// A resolved phase: its beginning, in time and in messages of all producers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// When it begins, in seconds from the start.
    pub start_s: f64,
    /// Messages that are due before it.
    pub start_messages: f64,
    /// Messages per second at its beginning.
    pub from_per_second: f64,
    /// Messages per second at its end.
    pub to_per_second: f64,
    /// How long it takes, in seconds.
    pub time_s: f64,
}

/// Recorded times, repeated when they end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Messages in it.
    pub messages: u64,
    /// Period in nanoseconds after which it repeats: its span and one mean gap.
    pub period_ns: u64,
    /// SHA-256 of the times; a printed plan does not contain the times themselves.
    pub sha256: String,
    /// When each message is due, from the start of the trace. Ascending.
    #[serde(skip)]
    pub times_ns: Arc<[u64]>,
}

impl Load {
    /// Resolves the load for messages of `message` from `producers` producers.
    pub(crate) fn resolve(written: &LoadProfile, message: &Message, producers: u32) -> Result<Self, ProfileError> {
        let rate = written.rate.unwrap_or(defaults::RATE);
        let arrivals = written.arrivals.clone().unwrap_or(defaults::ARRIVALS);
        let share = if written.per_producer == Some(true) { f64::from(producers) } else { 1.0 };
        let per_second = match rate {
            LoadRate::Max => None,
            LoadRate::At(rate) => Some(message.messages_per_second(rate) * share),
            LoadRate::Nominal => match message.nominal_messages_per_second() {
                // The instrument's rate, whatever the number of producers.
                Some(nominal) => Some(nominal),
                None => {
                    return impossible(
                        "the workload has no nominal rate: give --rate 20000/s, or a `rate` under its [message]",
                    );
                }
            },
        };
        let phases = written.phases.as_ref().map_or(&[][..], |phases| &phases.0);
        let mut load = Self {
            rate,
            messages_per_second: per_second,
            mean_messages_per_second: per_second,
            arrivals,
            phases: segments(phases, per_second, |rate| message.messages_per_second(rate) * share)?,
            trace: None,
            catchup_limit: written.catchup_limit.map(std::num::NonZeroU32::get),
            spin: written.spin,
        };
        match &load.arrivals {
            Arrivals::OnOff(..) | Arrivals::Trace(_) if !load.phases.is_empty() => {
                return impossible(
                    "phases go with constant and poisson arrivals: for times of silence among phases write `hold 0 for 5s`",
                );
            }
            Arrivals::Trace(_) => {
                if written.rate == Some(LoadRate::Max) {
                    return impossible(
                        "a trace contains due times: leave --rate out, or give a rate to scale the trace to",
                    );
                }
                let times = written.trace.as_ref().map_or(&[][..], Vec::as_slice);
                let trace = Trace::new(times, per_second)?;
                load.messages_per_second = Some(trace.messages as f64 / (trace.period_ns as f64 / NS_PER_S));
                load.mean_messages_per_second = load.messages_per_second;
                load.trace = Some(trace);
            }
            Arrivals::Poisson | Arrivals::OnOff(..) if per_second.is_none() && load.phases.is_empty() => {
                return impossible(format!("{} arrivals need a rate: give --rate 20000/s or nominal", load.arrivals));
            }
            Arrivals::OnOff(on, off) => {
                let share = on.as_secs_f64() / (on.as_secs_f64() + off.as_secs_f64());
                load.mean_messages_per_second = per_second.map(|rate| rate * share);
            }
            Arrivals::Constant | Arrivals::Poisson => {}
        }
        if let Some(last) = load.phases.last() {
            load.messages_per_second =
                Some(load.phases.iter().flat_map(|s| [s.from_per_second, s.to_per_second]).fold(0.0, f64::max));
            load.mean_messages_per_second = Some(last.to_per_second);
        }
        match load.messages_per_second {
            Some(rate) if !PER_SECOND.contains(&rate) => impossible(format!(
                "a rate of {rate} messages/s cannot be kept: give one from {} to {}",
                PER_SECOND.start(),
                PER_SECOND.end()
            )),
            _ => Ok(load),
        }
    }

    /// Whether there is a schedule.
    pub fn is_paced(&self) -> bool {
        self.messages_per_second.is_some()
    }

    /// When the message at `count` of all producers together is due, in nanoseconds from the start; the first is at 0.
    /// `count` has [`COUNT_BITS`] of fraction. `None` if the schedule ends before it, or without a schedule.
    pub fn due_ns(&self, count: u128) -> Option<u64> {
        if let Some(trace) = &self.trace {
            return Some(trace.due_ns((count >> COUNT_BITS) as u64));
        }
        if !self.phases.is_empty() {
            return self.due_in_phases(count as f64 / f64::from(1 << COUNT_BITS));
        }
        let busy_ns = (count * NS_MICRO).div_rounded(u128::from(self.micro_rate()?) << COUNT_BITS);
        match self.arrivals {
            Arrivals::OnOff(on, off) => Some((busy_ns + busy_ns / on.as_nanos() * off.as_nanos()) as u64),
            _ => Some(busy_ns as u64),
        }
    }

    /// Messages of all producers that are due before `at_ns`; the expected number if arrivals are random.
    pub fn due_before(&self, at_ns: u64) -> f64 {
        if let Some(trace) = &self.trace {
            return trace.due_before(at_ns);
        }
        if !self.phases.is_empty() {
            return self.due_before_in_phases(at_ns as f64 / NS_PER_S);
        }
        let busy_ns = match self.arrivals {
            Arrivals::OnOff(on, off) => {
                let (on, cycle) = (on.as_nanos() as u64, (on + off).as_nanos() as u64);
                at_ns / cycle * on + (at_ns % cycle).min(on)
            }
            _ => at_ns,
        };
        self.micro_rate().map_or(0.0, |rate| rate as f64 * (busy_ns as f64 / NS_MICRO as f64))
    }

    fn micro_rate(&self) -> Option<u64> {
        self.messages_per_second.map(|rate| (rate * 1e6).round() as u64)
    }

    fn due_in_phases(&self, count: f64) -> Option<u64> {
        let at = self.phases.iter().position(|segment| count < segment.start_messages + segment.messages());
        let after_s = match at {
            Some(at) => self.phases[at].start_s + self.phases[at].time_of(count - self.phases[at].start_messages),
            None => {
                let last = self.phases.last()?;
                let rest = count - last.start_messages - last.messages();
                (last.to_per_second > 0.0).then(|| last.start_s + last.time_s + rest / last.to_per_second)?
            }
        };
        Some((after_s * NS_PER_S).round() as u64)
    }

    fn due_before_in_phases(&self, at_s: f64) -> f64 {
        let Some(segment) = self.phases.iter().rev().find(|segment| segment.start_s <= at_s) else { return 0.0 };
        let inside_s = (at_s - segment.start_s).min(segment.time_s);
        let after_s = (at_s - segment.start_s - segment.time_s).max(0.0);
        segment.start_messages
            + inside_s * (segment.from_per_second + segment.slope() * inside_s / 2.0)
            + after_s * segment.to_per_second
    }
}

impl Segment {
    fn messages(&self) -> f64 {
        (self.from_per_second + self.to_per_second) / 2.0 * self.time_s
    }

    fn slope(&self) -> f64 {
        (self.to_per_second - self.from_per_second) / self.time_s
    }

    /// Seconds until `messages` messages of it are due. This form of the root loses no digits near 0.
    fn time_of(&self, messages: f64) -> f64 {
        if messages <= 0.0 {
            return 0.0;
        }
        let root = (self.from_per_second.powi(2) + 2.0 * self.slope() * messages).max(0.0).sqrt();
        2.0 * messages / (self.from_per_second + root)
    }
}

impl Trace {
    /// The trace of ascending times in seconds, stretched to `per_second` if that is given.
    fn new(times: &[f64], per_second: Option<f64>) -> Result<Self, ProfileError> {
        let ascending = times.windows(2).all(|pair| pair[0] <= pair[1]) && times.iter().all(|time| time.is_finite());
        let (Some(first), Some(last), true) = (times.first(), times.last(), ascending) else {
            return impossible("a trace is one time in seconds a line, ascending, and at least two of them");
        };
        let span_s = last - first;
        if times.len() < 2 || times.len() > TIMES_MAX || span_s <= 0.0 {
            return impossible(format!(
                "a trace needs from 2 to {TIMES_MAX} messages and some time between them, not {} in {span_s} s",
                times.len()
            ));
        }
        let period_s = span_s * times.len() as f64 / (times.len() - 1) as f64;
        let stretch = per_second.map_or(1.0, |rate| times.len() as f64 / rate / period_s);
        let ns = |time: f64| (time * stretch * NS_PER_S).round() as u64;
        let times_ns: Arc<[u64]> = times.iter().map(|time| ns(time - first)).collect();
        let mut digest = Sha256::new();
        times_ns.iter().for_each(|time| digest.update(time.to_le_bytes()));
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { messages: times.len() as u64, period_ns: ns(period_s), sha256, times_ns })
    }

    fn due_ns(&self, message: u64) -> u64 {
        self.times_ns[(message % self.messages) as usize] + message / self.messages * self.period_ns
    }

    fn due_before(&self, at_ns: u64) -> f64 {
        let inside_ns = at_ns % self.period_ns;
        let inside = self.times_ns.partition_point(|time_ns| *time_ns < inside_ns) as u64;
        (at_ns / self.period_ns * self.messages + inside) as f64
    }
}

/// Reads a trace: one time in seconds per line, before the first comma; `#` begins a comment, and the first line may be
/// a head.
pub(crate) fn read_trace(text: &str) -> Result<Vec<f64>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut times = Vec::new();
    for (number, line) in lines {
        match line.split(',').next().unwrap_or_default().trim().parse() {
            Ok(time) => times.push(time),
            Err(_) if number == 1 => {}
            Err(_) => return Err(format!("line {number}: `{line}` does not begin with a time in seconds")),
        }
    }
    Ok(times)
}

fn segments(
    phases: &[Phase],
    per_second: Option<f64>,
    rate: impl Fn(Rate) -> f64,
) -> Result<Vec<Segment>, ProfileError> {
    let level = |level: Level| match (level, per_second) {
        (Level::At(at), _) => Ok(rate(at)),
        (Level::Percent(0.0), _) => Ok(0.0),
        (Level::Percent(percent), Some(per_second)) => Ok(per_second * percent / 100.0),
        (Level::Percent(_), None) => impossible(format!(
            "the phase level `{level}` is a part of the run's rate, and that is max: give --rate 20000/s or nominal"
        )),
    };
    let (mut start_s, mut start_messages) = (0.0, 0.0);
    let mut segments = Vec::new();
    for phase in phases {
        let segment = Segment {
            start_s,
            start_messages,
            from_per_second: level(phase.from)?,
            to_per_second: level(phase.to)?,
            time_s: phase.time.as_secs_f64(),
        };
        start_s += segment.time_s;
        start_messages += segment.messages();
        segments.push(segment);
    }
    Ok(segments)
}

trait DivRounded {
    fn div_rounded(self, by: Self) -> Self;
}

impl DivRounded for u128 {
    fn div_rounded(self, by: Self) -> Self {
        (self + by / 2) / by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, Origin, combine, sample};

    const S: u64 = 1_000_000_000;
    const ONE: u128 = 1 << COUNT_BITS;

    fn resolve(text: &str) -> Result<Load, ProfileError> {
        sample::plan(&format!("duration = '1s'\nproducers = 2\n{text}"), 4).map(|plan| plan.load)
    }

    fn load(text: &str) -> Load {
        resolve(&format!("[load]\n{text}")).unwrap()
    }

    #[test]
    fn a_rate_is_by_default_that_of_all_producers_and_nominal_is_the_instruments() {
        for (text, expected) in [
            ("rate = '1000/s'", 1000.0),
            ("rate = '1000/s'\nper_producer = true", 2000.0),
            // 16,000 B a message.
            ("rate = '1.28Gbit/s'", 10_000.0),
            ("rate = 'nominal'", 250_000.0),
            ("rate = 'nominal'\nper_producer = true", 250_000.0),
        ] {
            assert_eq!(load(text).messages_per_second, Some(expected), "{text}");
        }
        assert_eq!(load("").messages_per_second, None);
        assert!(!load("rate = 'max'").is_paced());
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_a_way_out() {
        for (text, expected) in [
            ("arrivals = 'poisson'", "--rate"),
            ("phases = 'ramp 0..max over 1s'", "--rate"),
            ("rate = '5/s'\narrivals = 'on-off:1s-1s'\nphases = 'hold max for 1s'", "hold 0 for 5s"),
            ("rate = 'max'\narrivals = 'trace'\ntrace = [0.0, 1.0]", "leave --rate out"),
            ("arrivals = 'trace'", "at least two"),
            ("arrivals = 'trace'\ntrace = [1.0, 0.0]", "ascending"),
            ("rate = '0.0000001/s'", "cannot be kept"),
        ] {
            let error = resolve(&format!("[load]\n{text}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = resolve("think_time = 'constant:1ms'\n[load]\nrate = '5/s'").unwrap_err().to_string();
        assert!(error.contains("--think-time"), "{error}");
    }

    #[test]
    fn due_times_are_exact_after_a_thousand_million_messages() {
        // A gap of 3333 ns would be 33 ms early after 100 s.
        for (rate, count, expected) in [
            (300_000, 1_000_000_000, 3_333_333_333_333),
            (300_000, 300_000_000, 1000 * S),
            (7, 1_000_000_001, 142_857_143_000_000_000),
            (3, 1, 333_333_333),
            (3, 2, 666_666_667),
        ] {
            let load = load(&format!("rate = '{rate}/s'"));
            assert_eq!(load.due_ns(u128::from(count as u64) << COUNT_BITS), Some(expected), "{rate} {count}");
        }
        assert_eq!(load("rate = '1000000000/s'").due_ns(((1u128 << 48) - 1) << COUNT_BITS), Some((1 << 48) - 1));
    }

    #[test]
    fn silence_follows_every_time_of_messages() {
        let load = load("rate = '10/s'\narrivals = 'on-off:1s-4s'");
        let due: Vec<_> = (0..21).map(|k| load.due_ns(k * ONE).unwrap()).collect();
        assert_eq!((due[0], due[9], due[10], due[19], due[20]), (0, 9 * S / 10, 5 * S, 59 * S / 10, 10 * S));
        assert_eq!(load.mean_messages_per_second, Some(2.0));
        for (at_ns, expected) in [(0, 0.0), (S, 10.0), (4 * S, 10.0), (11 * S / 2, 15.0), (10 * S, 20.0)] {
            assert!((load.due_before(at_ns) - expected).abs() < 1e-6, "{at_ns}");
        }
    }

    #[test]
    fn phases_meet_where_they_join_and_the_last_level_stays() {
        let load =
            load("rate = '1000/s'\nphases = 'ramp 0..max over 10s, hold 50% for 2s, hold 0 for 3s, hold 200/s for 1s'");
        // 5,000 in the ramp, 1,000 at half, none, 200, then 200 a second.
        for (count, expected_s) in
            [(0, 0.0), (1250, 5.0), (5000, 10.0), (5500, 11.0), (6000, 15.0), (6200, 16.0), (8200, 26.0)]
        {
            let due_s = load.due_ns(u128::from(count as u64) << COUNT_BITS).unwrap() as f64 / 1e9;
            assert!((due_s - expected_s).abs() < 1e-6, "{count}: {due_s}");
            if expected_s != 15.0 {
                let before = load.due_before((expected_s * 1e9) as u64);
                assert!((before - count as f64).abs() < 1e-3, "{expected_s}: {before}");
            }
        }
        let due: Vec<_> = (0..9000).map(|k| load.due_ns(k * ONE).unwrap()).collect();
        assert!(due.is_sorted());
    }

    #[test]
    fn a_schedule_that_ends_in_silence_ends() {
        let load = load("rate = '10/s'\nphases = 'hold max for 1s, ramp max..0 over 2s'");
        assert!(load.due_ns(19 * ONE).is_some());
        assert_eq!(load.due_ns(20 * ONE), None);
    }

    #[test]
    fn a_trace_repeats_and_stretches_to_a_rate() {
        let recorded = load("arrivals = 'trace'\ntrace = [5.0, 5.1, 5.5, 6.5]");
        let due: Vec<_> = (0..6).map(|k| recorded.due_ns(k * ONE).unwrap()).collect();
        assert_eq!(due, [0, S / 10, S / 2, 3 * S / 2, 2 * S, 21 * S / 10]);
        assert_eq!(recorded.messages_per_second, Some(2.0));
        assert_eq!((recorded.due_before(S), recorded.due_before(2 * S + 1)), (3.0, 5.0));
        let stretched = load("rate = '4/s'\narrivals = 'trace'\ntrace = [5.0, 5.1, 5.5, 6.5]");
        assert_eq!(stretched.due_ns(4 * ONE), Some(S));
        assert_ne!(recorded.trace.unwrap().sha256, stretched.trace.unwrap().sha256);
    }

    #[test]
    fn a_trace_file_may_have_a_head_comments_and_more_columns() {
        assert_eq!(read_trace("time_s,bytes\n# beam on\n0.0,16000\n\n0.5,16000\n"), Ok(vec![0.0, 0.5]));
        assert!(read_trace("0.0\nsoon\n").unwrap_err().contains("line 2: `soon`"));
        let layer = Layer::parse(Origin::CommandLine, "[load]\narrivals = 'trace:beam.csv'").unwrap();
        let profile = combine(std::slice::from_ref(&layer), |path| {
            assert_eq!(path, "beam.csv");
            Ok("0\n1\n".to_owned())
        });
        assert_eq!(profile.unwrap().load.trace, Some(vec![0.0, 1.0]));
        let error = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap_err().to_string();
        assert!(error.contains("cannot read the trace `beam.csv`"), "{error}");
    }
}
