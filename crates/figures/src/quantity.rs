//! Names of quantities in figures and claims, and their labels.

use crate::{chart::Unit, points::Quantity};
use measure::Metric;

/// By its name: that of the record's field, or `METRIC.p50` and `METRIC.p99` for a latency.
pub fn named(name: &str) -> Option<Quantity> {
    Some(match name {
        "messages_per_second" => Quantity::MessagesPerSecond,
        "bits_per_second" => Quantity::BitsPerSecond,
        "events_per_second" => Quantity::EventsPerSecond,
        "sum_of_rates" => Quantity::SumOfRates,
        "sum_of_rates_ratio" => Quantity::SumOfRatesRatio,
        "cpu_us_per_message" => Quantity::CpuPerMessage,
        "lost" => Quantity::Lost,
        "assembly" => Quantity::Assembly,
        "first_delivery" => Quantity::FirstDelivery,
        "missing" => Quantity::Missing,
        latency => {
            let (metric, quantile) = latency.split_once('.')?;
            let metric = Metric::ALL.into_iter().find(|known| known.name() == metric)?;
            match quantile {
                "p50" => Quantity::Median(metric),
                "p99" => Quantity::P99(metric),
                _ => return None,
            }
        }
    })
}

/// The label of an axis, with its unit unless the ticks have it.
pub fn label(quantity: Quantity) -> String {
    match quantity {
        Quantity::MessagesPerSecond => "messages/s".to_owned(),
        Quantity::BitsPerSecond => "bit/s of bodies".to_owned(),
        Quantity::EventsPerSecond => "events/s".to_owned(),
        Quantity::SumOfRates => "sum of consumers' rates, messages/s".to_owned(),
        Quantity::SumOfEventRates => "sum of consumers' rates, events/s".to_owned(),
        Quantity::SumOfRatesRatio => "sum of consumers' rates / rate in the common window".to_owned(),
        Quantity::CpuPerMessage => "CPU time per message, us".to_owned(),
        Quantity::Lost => "lost messages, %".to_owned(),
        Quantity::FirstDelivery => "first delivery to all after the fault".to_owned(),
        Quantity::Missing => "lost or undetermined messages, %".to_owned(),
        Quantity::Assembly => "mean time from first to last packet".to_owned(),
        Quantity::Median(metric) => format!("median {}", latency(metric)),
        Quantity::P99(metric) => format!("99th percentile of {}", latency(metric)),
    }
}

/// A latency in words.
pub fn latency(metric: Metric) -> &'static str {
    match metric {
        Metric::Confirm => "confirm time",
        Metric::ConfirmFromDue => "confirm time from when it was due",
        Metric::OneWay => "one-way time",
        Metric::RttFromDue => "round trip from when it was due",
        Metric::RttFromSent => "round trip from when it was sent",
        Metric::ScheduleLag => "schedule lag",
        Metric::Service => "time from publish to reply",
        Metric::Gather => "time until the last reply",
        Metric::FromTimestamp => "time since its timestamp",
        Metric::ConsumerOwn => "time of an external consumer",
        Metric::RttWithoutConsumer => "round trip without an external consumer's time",
        Metric::Reduce => "time to add up the replies",
    }
}

/// The unit of its tick labels.
pub fn unit(quantity: Quantity) -> Unit {
    match quantity {
        Quantity::Assembly | Quantity::FirstDelivery | Quantity::Median(_) | Quantity::P99(_) => Unit::Seconds,
        Quantity::SumOfRatesRatio => Unit::Times,
        _ => Unit::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood_and_others_are_not() {
        assert_eq!(named("rtt_from_sent.p50"), Some(Quantity::Median(Metric::RttFromSent)));
        assert_eq!(named("gather.p99"), Some(Quantity::P99(Metric::Gather)));
        assert_eq!(named("messages_per_second"), Some(Quantity::MessagesPerSecond));
        for unknown in ["throughput", "rtt.p50", "gather.p75", "gather"] {
            assert_eq!(named(unknown), None, "{unknown}");
        }
    }
}
