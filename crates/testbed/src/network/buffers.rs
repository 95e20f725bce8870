//! What a TCP socket may hold: a connection carries no more than that in each round trip, and by default that is little.

use std::fs;

/// As much as 1 Gbit/s keeps on a way of half a second.
const MOST_BYTES: u64 = 64 << 20;

/// Lets the sockets of this process's network hold up to 64 MiB, to send and to receive. The smaller of the limits that are then
/// in force; `None` where they cannot be read.
pub fn grow() -> Option<u64> {
    let limits = ["tcp_rmem", "tcp_wmem"].map(|name| {
        let path = format!("/proc/sys/net/ipv4/{name}");
        let [least, usual, most] = read(&path)?;
        if most < MOST_BYTES {
            // Where it is not permitted, the old limit is reported.
            let _ = fs::write(&path, format!("{least} {usual} {MOST_BYTES}"));
        }
        Some(read(&path)?[2])
    });
    let [receive, send] = limits;
    Some(receive?.min(send?))
}

fn read(path: &str) -> Option<[u64; 3]> {
    let text = fs::read_to_string(path).ok()?;
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}
