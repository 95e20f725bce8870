//! What reads bytes of others, each as a function that takes any: nothing but a panic, an abort or a hang is a failure.
//!
//! `cargo test -p fuzz` replays the inputs that were kept, `cargo xtask fuzz` looks for new ones.

mod bodies;
mod deliveries;
mod ejfat;
mod envelopes;
mod frames;
mod messages;
mod profiles;
mod records;
mod s3m;
mod scistream;
mod texts;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// All of them; the corpus has a folder for each.
pub const TARGETS: [(&str, Target); 11] = [
    ("bodies", bodies::run),
    ("deliveries", deliveries::run),
    ("ejfat", ejfat::run),
    ("envelopes", envelopes::run),
    ("frames", frames::run),
    ("messages", messages::run),
    ("profiles", profiles::run),
    ("records", records::run),
    ("s3m", s3m::run),
    ("scistream", scistream::run),
    ("texts", texts::run),
];

/// The target of that name.
pub fn named(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
