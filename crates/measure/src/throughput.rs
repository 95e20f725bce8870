//! Rates of delivery: over a window that all ranks share, and by the paper's estimator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const NS_PER_S: f64 = 1e9;

/// The busy span of one consumer, in common time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSpan {
    /// Messages delivered to this consumer.
    pub messages: u64,
    /// When the first of them was delivered. Meaningless if there are none.
    pub first_ns: u64,
    /// When the last of them was delivered. Meaningless if there are none.
    pub last_ns: u64,
}

/// Amount of data sent or delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    /// Messages.
    pub messages: u64,
    /// Body bytes of these messages.
    pub bytes: u64,
    /// Events inside these messages.
    pub events: u64,
}

/// The kind of a throughput's window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// From the first delivery to any consumer to the last one: runs of a fixed count. Includes the ramps.
    #[default]
    Span,
    /// An interval chosen beforehand, the same for all ranks: runs of a fixed time.
    Fixed,
}

/// Rates of delivery. A rate is absent (null) if the deliveries do not span any time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Messages delivered inside the window, over its length.
    pub messages_per_second: Option<f64>,
    /// Body bits of these messages, over the same length.
    pub bits_per_second: Option<f64>,
    /// Events inside these messages, over the same length.
    pub events_per_second: Option<f64>,
    /// The length of the window.
    pub window_s: f64,
    /// The kind of the window.
    #[serde(default)]
    pub window: WindowKind,
    /// The paper's estimator: the sum over consumers of their messages over their own span. Never below the rate over
    /// the span; far above it if consumers were busy at different times.
    pub sum_of_rates_messages_per_second: Option<f64>,
    /// The paper's estimator over `messages_per_second`: far from 1 means that the run is too short
    /// or that the work was shared unevenly.
    #[serde(default)]
    pub sum_of_rates_ratio: Option<f64>,
}

impl Throughput {
    /// The rate of a run of a fixed count: N - 1 intervals between the first and the last delivery.
    pub fn over_span(spans: &[ConsumerSpan], total: &Volume) -> Self {
        let busy = || spans.iter().filter(|span| span.messages > 0);
        let first_ns = busy().map(|span| span.first_ns).min();
        let last_ns = busy().map(|span| span.last_ns).max();
        let window_ns = match (first_ns, last_ns) {
            (Some(first_ns), Some(last_ns)) => last_ns.saturating_sub(first_ns),
            _ => 0,
        };
        // The first delivery opens the window and is not inside it.
        let inside = 1.0 - 1.0 / total.messages.max(1) as f64;
        Self::new(WindowKind::Span, window_ns as f64, inside, total, spans)
    }

    /// The rate of a run of a fixed time, from the deliveries inside its window.
    pub fn in_window(window_ns: u64, inside: &Volume, spans: &[ConsumerSpan]) -> Self {
        Self::new(WindowKind::Fixed, window_ns as f64, 1.0, inside, spans)
    }

    fn new(window: WindowKind, window_ns: f64, share: f64, volume: &Volume, spans: &[ConsumerSpan]) -> Self {
        let window_s = window_ns / NS_PER_S;
        let rate = |amount: f64| (window_s > 0.0).then(|| amount * share / window_s);
        let messages_per_second = rate(volume.messages as f64);
        let sum_of_rates_messages_per_second = sum_of_rates(spans);
        Self {
            messages_per_second,
            bits_per_second: rate(8.0 * volume.bytes as f64),
            events_per_second: rate(volume.events as f64),
            window_s,
            window,
            sum_of_rates_messages_per_second,
            sum_of_rates_ratio: sum_of_rates_messages_per_second
                .zip(messages_per_second.filter(|rate| *rate > 0.0))
                .map(|(sum, rate)| sum / rate),
        }
    }
}

/// The paper's estimator, with n instead of n - 1 intervals. Undefined, not infinite, if a consumer received all its
/// messages at one instant: leaving that consumer out would understate the sum.
fn sum_of_rates(spans: &[ConsumerSpan]) -> Option<f64> {
    let mut sum = None;
    for span in spans.iter().filter(|span| span.messages > 0) {
        let span_ns = span.last_ns.saturating_sub(span.first_ns);
        if span_ns == 0 {
            return None;
        }
        *sum.get_or_insert(0.0) += span.messages as f64 * NS_PER_S / span_ns as f64;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn span(messages: u64, first_ns: u64, last_ns: u64) -> ConsumerSpan {
        ConsumerSpan { messages, first_ns, last_ns }
    }

    fn volume(messages: u64) -> Volume {
        Volume { messages, bytes: messages * 16_000, events: messages * 8 }
    }

    #[track_caller]
    fn near(value: Option<f64>, expected: f64) {
        let value = value.expect("there is a rate");
        assert!((value / expected - 1.0).abs() < 1e-9, "{value}");
    }

    /// The example of docs/measuring.md.
    #[test]
    fn two_consumers_that_take_turns_double_the_sum_of_rates() {
        let spans = [span(1000, 0, S), span(1000, S, 2 * S)];
        let fixed = Throughput::in_window(2 * S, &volume(2000), &spans);
        near(fixed.messages_per_second, 1000.0);
        near(fixed.sum_of_rates_messages_per_second, 2000.0);
        near(fixed.sum_of_rates_ratio, 2.0);
        let over_span = Throughput::over_span(&spans, &volume(2000));
        near(over_span.messages_per_second, 1999.0 / 2.0);
        near(over_span.sum_of_rates_messages_per_second, 2000.0);
        assert_eq!(over_span.window, WindowKind::Span);
    }

    #[test]
    fn bits_and_events_follow_the_messages() {
        let fixed = Throughput::in_window(S / 2, &volume(500), &[]);
        near(fixed.messages_per_second, 1000.0);
        near(fixed.bits_per_second, 1000.0 * 16_000.0 * 8.0);
        near(fixed.events_per_second, 8000.0);
        assert_eq!(fixed.window_s, 0.5);
        let over_span = Throughput::over_span(&[span(11, 5 * S, 15 * S)], &volume(11));
        near(over_span.messages_per_second, 1.0);
        near(over_span.bits_per_second, 16_000.0 * 8.0);
        near(over_span.events_per_second, 8.0);
    }

    #[test]
    fn consumers_without_messages_do_not_count() {
        let idle = span(0, 0, 0);
        let throughput = Throughput::over_span(&[idle, span(11, 5 * S, 15 * S)], &volume(11));
        near(throughput.messages_per_second, 1.0);
        near(throughput.sum_of_rates_messages_per_second, 1.1);
    }

    #[test]
    fn rates_over_no_time_are_absent_and_never_infinite() {
        for (spans, total) in
            [(vec![], 0), (vec![span(0, 0, 0)], 0), (vec![span(1, 7, 7)], 1), (vec![span(5, 7, 7)], 5)]
        {
            let throughput = Throughput::over_span(&spans, &volume(total));
            let absent = Throughput::default();
            assert_eq!(throughput, absent, "{spans:?}");
        }
        let zero = Throughput::in_window(0, &volume(5), &[]);
        assert_eq!(zero.messages_per_second, None);
        let one_instant = Throughput::over_span(&[span(9, 0, S), span(1, S, S)], &volume(10));
        near(one_instant.messages_per_second, 9.0);
        assert_eq!(one_instant.sum_of_rates_messages_per_second, None);
        assert_eq!(one_instant.sum_of_rates_ratio, None);
    }

    #[test]
    fn an_empty_window_has_a_rate_of_zero() {
        let throughput = Throughput::in_window(S, &Volume::default(), &[span(3, 0, S)]);
        assert_eq!(throughput.messages_per_second, Some(0.0));
        assert_eq!(throughput.sum_of_rates_ratio, None);
    }
}
