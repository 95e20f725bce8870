//! The CSV files of a run: RFC 4180, except that lines end in line feeds.

use crate::{Histogram, Metric, Record, ServiceSample};
use std::fmt::Write;

/// One second of a run, over all ranks; in a long run it is several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeriesRow {
    /// Seconds from the common start of the stream to the beginning of this one.
    pub second: u64,
    /// Messages published for the first time in this second.
    pub sent: u64,
    /// Messages accepted in this second; absent if confirms are off.
    pub confirmed: Option<u64>,
    /// Negative confirms in this second.
    pub rejected: u64,
    /// Deliveries in this second.
    pub received: u64,
    /// Replies in this second.
    pub replies: u64,
    /// Deliveries divided by the length of this row: a second, except for the last row.
    pub messages_per_second: f64,
    /// Errors in this second: lost connections, corrupt, foreign and unexpected deliveries, failed workers.
    pub errors: u64,
    /// Seconds in this one for which the service kept connections blocked (a memory or disk alarm),
    /// summed over connections.
    pub blocked_s: f64,
    /// The most connections of workers that were lost and not made again yet, at any time in this second.
    pub without_connection: u32,
    /// Memory of the processes of all ranks together, at most.
    pub resident_bytes: u64,
    /// Memory that the delivery ledgers of all ranks take together, at most.
    pub ledger_bytes: u64,
    /// The service's figures in this second.
    pub service: Option<ServiceSample>,
}

impl SeriesRow {
    /// This row and the next one of the same length, if there is one, as one.
    #[must_use]
    pub fn and(&self, next: Option<&Self>) -> Self {
        let Some(next) = next else { return self.clone() };
        Self {
            second: self.second,
            sent: self.sent + next.sent,
            confirmed: self.confirmed.map(|confirmed| confirmed + next.confirmed.unwrap_or_default()),
            rejected: self.rejected + next.rejected,
            received: self.received + next.received,
            replies: self.replies + next.replies,
            messages_per_second: f64::midpoint(self.messages_per_second, next.messages_per_second),
            errors: self.errors + next.errors,
            blocked_s: self.blocked_s + next.blocked_s,
            without_connection: self.without_connection.max(next.without_connection),
            resident_bytes: self.resident_bytes.max(next.resident_bytes),
            ledger_bytes: self.ledger_bytes.max(next.ledger_bytes),
            service: next.service.clone().or_else(|| self.service.clone()),
        }
    }
}

/// `series.csv`: one line per second. Values that the service did not report, or that were not requested, are empty.
pub fn series_csv(rows: &[SeriesRow]) -> String {
    let mut csv = String::from(
        "second,sent,confirmed,rejected,received,messages_per_second,errors,replies,blocked_s,queue_ready,\
         queue_unacknowledged,service_publish_per_second,service_deliver_per_second,service_memory_bytes,\
         service_connections,service_alarms,without_connection,resident_bytes,ledger_bytes\n",
    );
    for row in rows {
        let SeriesRow { second, sent, confirmed, rejected, received, replies, .. } = row;
        let SeriesRow {
            messages_per_second, errors, blocked_s, without_connection, resident_bytes, ledger_bytes, ..
        } = row;
        let confirmed = whole(*confirmed);
        let service = service_cells(row.service.as_ref());
        line(
            &mut csv,
            format_args!(
                "{second},{sent},{confirmed},{rejected},{received},{messages_per_second:.3},{errors},{replies},\
                 {blocked_s:.3},{service},{without_connection},{resident_bytes},{ledger_bytes}"
            ),
        );
    }
    csv
}

fn service_cells(sample: Option<&ServiceSample>) -> String {
    let of = |part: fn(&ServiceSample) -> Option<u64>| whole(sample.and_then(part));
    let rate = |part: fn(&ServiceSample) -> Option<f64>| decimals(sample.and_then(part));
    [
        of(|sample| sample.ready),
        of(|sample| sample.unacknowledged),
        rate(|sample| sample.publish_per_second),
        rate(|sample| sample.deliver_per_second),
        of(|sample| sample.memory_bytes),
        of(|sample| sample.connections),
        // A service that reports memory also reports alarms.
        of(|sample| sample.memory_bytes.map(|_| sample.alarms.len() as u64)),
    ]
    .join(",")
}

/// `ranks.csv`: one line per rank. Workers are separated by blanks; unmeasured values are empty.
pub fn ranks_csv(record: &Record) -> String {
    let mut csv = String::from(
        "rank,host,pid,role,producers,consumers,sent,confirmed,rejected,received,bytes,\
         cpu_us_per_message,cpu_s,wall_s,max_rss_bytes,failure,cpu_user_s,cpu_system_s,voluntary_switches,\
         involuntary_switches,cores,busiest_thread,busiest_thread_of_core,cpu_wait_s,schedule_lag_p50_ns,\
         schedule_lag_p99_ns,schedule_lag_max_ns\n",
    );
    for rank in &record.ranks {
        let cells = [
            rank.rank.to_string(),
            text(&rank.host),
            rank.pid.to_string(),
            text(&rank.role),
            workers(&rank.producers),
            workers(&rank.consumers),
            rank.sent.to_string(),
            whole(record.has_confirms().then_some(rank.confirmed)),
            rank.rejected.to_string(),
            rank.received.to_string(),
            rank.bytes.to_string(),
            decimals(rank.cpu_us_per_message),
            format!("{:.3}", rank.cpu_s),
            format!("{:.3}", rank.wall_s),
            whole(rank.max_rss_bytes),
            rank.failure.as_deref().map_or_else(String::new, text),
            format!("{:.3}", rank.cpu_user_s),
            format!("{:.3}", rank.cpu_system_s),
            rank.voluntary_switches.to_string(),
            rank.involuntary_switches.to_string(),
            whole(rank.cores.map(u64::from)),
            rank.busiest_thread.as_deref().map_or_else(String::new, text),
            decimals(rank.busiest_thread_of_core),
            decimals(rank.cpu_wait_s),
            whole(rank.schedule_lag_p50_ns),
            whole(rank.schedule_lag_p99_ns),
            whole(rank.schedule_lag_max_ns),
        ];
        line(&mut csv, format_args!("{}", cells.join(",")));
    }
    csv
}

/// `cdf.csv`: the distribution of every metric, one line per non-empty bucket.
pub fn cdf_csv(sections: &[(Metric, &Histogram)]) -> String {
    let mut csv = String::from("metric,value_ns,cumulative,fraction\n");
    for (metric, histogram) in sections {
        let total = histogram.len() as f64;
        for (value_ns, cumulative) in histogram.cdf() {
            let (name, fraction) = (metric.name(), cumulative as f64 / total);
            line(&mut csv, format_args!("{name},{value_ns},{cumulative},{fraction:.9}"));
        }
    }
    csv
}

fn line(csv: &mut String, cells: std::fmt::Arguments) {
    writeln!(csv, "{cells}").expect("writing to a string cannot fail");
}

fn whole(value: Option<u64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn decimals(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

/// A cell that is free text: quoted only where it must be.
fn text(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

fn workers(indices: &[u32]) -> String {
    let indices: Vec<String> = indices.iter().map(u32::to_string).collect();
    indices.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_series_has_a_line_per_second() {
        let row = SeriesRow {
            second: 3,
            sent: 10,
            confirmed: Some(9),
            rejected: 1,
            received: 8,
            messages_per_second: 7.99951,
            errors: 0,
            replies: 7,
            blocked_s: 0.25,
            without_connection: 2,
            resident_bytes: 70,
            ledger_bytes: 5,
            service: Some(ServiceSample {
                ready: Some(12),
                publish_per_second: Some(9.5),
                memory_bytes: Some(800),
                ..ServiceSample::default()
            }),
        };
        assert_eq!(
            series_csv(&[row.clone(), SeriesRow { service: None, confirmed: None, ..row }]),
            "second,sent,confirmed,rejected,received,messages_per_second,errors,replies,blocked_s,queue_ready,\
             queue_unacknowledged,service_publish_per_second,service_deliver_per_second,service_memory_bytes,\
             service_connections,service_alarms,without_connection,resident_bytes,ledger_bytes\n\
             3,10,9,1,8,8.000,0,7,0.250,12,,9.500,,800,,0,2,70,5\n\
             3,10,,1,8,8.000,0,7,0.250,,,,,,,,2,70,5\n"
        );
    }

    #[test]
    fn a_failure_with_commas_and_quotes_stays_in_its_cell() {
        let csv = ranks_csv(&sample::record());
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines,
            [
                "rank,host,pid,role,producers,consumers,sent,confirmed,rejected,received,bytes,\
                 cpu_us_per_message,cpu_s,wall_s,max_rss_bytes,failure,cpu_user_s,cpu_system_s,voluntary_switches,\
                 involuntary_switches,cores,busiest_thread,busiest_thread_of_core,cpu_wait_s,schedule_lag_p50_ns,\
                 schedule_lag_p99_ns,schedule_lag_max_ns",
                "0,node1,41,producer,0,,20000,20000,0,0,320000000,10.000,0.200,4.000,50000000,,\
                 0.150,0.050,900,30,2,lapin-io-loop,0.850,0.125,900,70000,120000",
                "1,node2,42,consumer,,0 1,0,0,0,19999,0,,0.000,0.000,,\
                 \"the broker closed the connection: \"\"gone\"\", twice\",0.000,0.000,0,0,,,,,,,",
            ]
        );
    }

    #[test]
    fn where_nothing_is_confirmed_a_cell_is_empty_and_not_zero() {
        let csv = ranks_csv(&sample::without_confirms());
        let cells: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
        assert_eq!(cells[6..9], ["20000", "", "0"], "{csv}");
    }

    #[test]
    fn a_distribution_climbs_to_one() {
        let mut histogram = Histogram::new();
        for ns in [5, 5, 5, 900] {
            histogram.record(ns);
        }
        assert_eq!(
            cdf_csv(&[(Metric::Service, &histogram), (Metric::OneWay, &Histogram::new())]),
            "metric,value_ns,cumulative,fraction\n\
             service,5,3,0.750000000\n\
             service,900,4,1.000000000\n"
        );
    }
}
