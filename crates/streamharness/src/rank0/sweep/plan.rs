//! The plan of a sweep as text: points, bytes, memory and time.

use crate::rank0::sweep::cell::{Cell, Common};
use profile::Search;
use std::{collections::BTreeMap, time::Duration};

/// A line for each cell, and the totals.
pub fn text(common: &Common, cells: &[&Cell], search: Option<&Search>) -> String {
    let Common { experiment, about, hosts, .. } = common;
    let mut text = format!("# {experiment}: {about}\n# point, runs, bytes to send, bytes to deliver\n");
    let mut runs: BTreeMap<&str, (u32, &Cell)> = BTreeMap::new();
    for cell in cells {
        runs.entry(&cell.point.name).or_insert((0, cell)).0 += 1;
    }
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    for (name, (runs, cell)) in &runs {
        let [sent, delivered] = cell.bytes().map(mebibytes);
        let bytes = if sent > 0.0 { format!("{sent:10.1} MiB {delivered:10.1} MiB") } else { "by time".to_owned() };
        text += &format!("{name:40} {runs:3} x {bytes}\n");
    }
    let [sent, delivered] = [0, 1].map(|which| cells.iter().map(|cell| cell.bytes()[which]).sum::<f64>());
    let least: Duration = cells.iter().map(|cell| cell.least_time()).sum();
    let memory = cells.iter().map(|cell| cell.memory()).max().unwrap_or_default();
    if let Some(Search { key, from, to, keeps, .. }) = search {
        text +=
            &format!("# and from these on a search for the highest {key}, up to {to}, with {keeps}; first {from}\n");
    }
    text += &format!(
        "# {} points on {} ranks: {:.1} GiB to send, {:.1} GiB to deliver; at least {} over links of 1 Gbit/s\n\
         # bodies of the largest point take {:.1} MiB in all\n",
        cells.len(),
        hosts.len(),
        mebibytes(sent) / 1024.0,
        mebibytes(delivered) / 1024.0,
        rounded(least),
        mebibytes(memory as f64)
    );
    text
}

/// A time for people: `40 s`, `12 min`, `3.5 h`.
pub fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
