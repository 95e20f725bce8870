//! `streamharness payload`: writes one message to a file, or describes a workload.

use crate::{
    cli::{
        arguments::{Payload, Run},
        flags,
    },
    files::whole,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use engine::ports::Payloads;
use payload::Workload;
use profile::{Fill, Message, Plan};
use std::{fs, path::Path};

/// Number of messages for the means in a description.
const SAMPLE: u64 = 100;

/// Writes the body of one message, or describes the workload.
pub fn payload(options: Payload) -> Result<Exit, Failure> {
    let Payload { workload, from, producer, sequence, out, describe, fill, seed, set } = options;
    let run = Run { workload, from, fill, seed, set, ..Run::default() };
    let plan = Plan::resolve(&flags::profile(&run)?, 1, 0).map_err(flags::failure)?;
    let bodies = Workload::new(&plan).map_err(|error| Failure::new(Exit::Profile, error))?;
    if describe {
        stdout::print(&description(&plan, &bodies)?)?;
    }
    if let Some(out) = out {
        let body = bodies.read(producer, sequence).map_err(|error| Failure::new(Exit::Profile, error))?;
        write(&out, &body.bytes)?;
        crate::terminal::stderr::say(format_args!(
            "{}: message {sequence} of producer {producer}, seed {}, {}: {} B, {} event(s), CRC-32C {:08x}",
            out.display(),
            plan.seed,
            kept(&plan.message),
            body.bytes.len(),
            body.events,
            body.checksum
        ));
    }
    Ok(Exit::Pass)
}

/// Writes under a temporary name and renames, so that the file is always complete. Special files (a pipe, a device, a
/// link such as /dev/stdout) are written to directly.
fn write(out: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = if fs::symlink_metadata(out).is_ok_and(|found| !found.is_file()) {
        fs::write(out, bytes)
    } else {
        whole::write(out, bytes)
    };
    written.map_err(|error| {
        let out = out.display();
        Failure::new(
            Exit::Usage,
            format!("the body cannot be written to `{out}`: {error}; give another file with --out"),
        )
    })
}

fn description(plan: &Plan, bodies: &Workload) -> Result<String, Failure> {
    let message = &plan.message;
    let (least, most) = bodies.body_bytes(message.events.min(), message.events.max());
    let mean = if message.replay.is_some() {
        message.mean_body_bytes()
    } else {
        let size = |sequence| {
            let events = bodies.events(0, sequence);
            bodies.body_bytes(events, events).0 as f64
        };
        (0..SAMPLE).map(size).sum::<f64>() / SAMPLE as f64
    };
    let compressed = {
        let body = bodies.read(0, 0).map_err(|error| Failure::new(Exit::Profile, error))?.bytes;
        miniz_oxide::deflate::compress_to_vec(&body, 1).len() as f64 / body.len() as f64
    };
    let mut lines = vec![
        ("workload", plan.workload.clone()),
        ("format", format!("{} ({})", message.format, message.content_type())),
        ("events", format!("{} a message", message.events)),
        (
            "body",
            match message.events {
                _ if least == most => format!("{least} B"),
                _ => format!("{least} to {most} B, {mean:.0} B on average"),
            },
        ),
        ("rate", rate(message, mean)),
        ("fill", kept(message)),
        ("deflate", deflate(message, compressed)),
    ];
    lines.extend(bodies.describe().into_iter().map(|line| ("layout", line)));
    Ok(lines.into_iter().map(|(name, text)| format!("{name:<10} {text}\n")).collect())
}

/// The storage of bodies. The number matters: message n of a ring has the contents of body n modulo that number.
fn kept(message: &Message) -> String {
    if let Some(replay) = &message.replay {
        let mebibytes = replay.memory_bytes.div_ceil(1 << 20);
        let order = if replay.repeat { format!("{}, in a loop", replay.order) } else { replay.order.to_string() };
        return format!("files, {}, read {} in at most {mebibytes} MiB for each producer", order, replay.read);
    }
    match message.fill {
        Fill::Ring => format!("ring of {} bodies", message.ring_bodies),
        Fill::Fresh => "fresh".to_owned(),
    }
}

/// The size of the first body compressed.
fn deflate(message: &Message, compressed: f64) -> String {
    let percent = compressed * 100.0;
    match message.replay {
        Some(_) => format!("to {percent:.0} %"),
        None => format!("to {percent:.0} % (compressible = {})", message.compressible),
    }
}

fn rate(message: &Message, mean_bytes: f64) -> String {
    let Some(rate) = message.rate else { return "none of its own".to_owned() };
    let messages = match rate {
        profile::Rate::Messages(messages) => messages,
        profile::Rate::Bits(bits) => bits / (8.0 * mean_bytes),
    };
    format!(
        "nominal {rate}: {} messages/s, {} events/s, {} Gbit/s in all",
        digits(messages),
        digits(messages * message.events.mean()),
        digits(messages * mean_bytes * 8.0 / 1e9)
    )
}

/// At least four digits, and no more than a person needs.
fn digits(value: f64) -> String {
    let places = (3 - value.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_large_and_small_keep_their_digits() {
        for (value, text) in
            [(250_000.0, "250000"), (32.0, "32"), (0.2, "0.2"), (0.007_743, "0.007743"), (8.651, "8.651")]
        {
            assert_eq!(digits(value), text);
        }
    }
}
