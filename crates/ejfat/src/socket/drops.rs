//! What the kernel dropped because a socket's buffer was full.
//!
//! From the kernel's table and not by SO_RXQ_OVFL, which reports drops only with a later packet: those at the end of a stream
//! would be missed.

use std::{fs, net::UdpSocket, os::fd::AsRawFd};

/// Packets that these sockets lost so far; `None` if the table cannot be read.
pub fn kernel_drops(sockets: &[&UdpSocket]) -> Option<u64> {
    let inodes: Vec<String> = sockets.iter().filter_map(|socket| inode(socket)).collect();
    let tables = ["udp", "udp6"].map(|table| fs::read_to_string(format!("/proc/self/net/{table}")));
    if inodes.len() < sockets.len() || tables.iter().all(Result::is_err) {
        return None;
    }
    Some(tables.iter().flatten().map(|table| drops(table, &inodes)).sum())
}

fn inode(socket: &UdpSocket) -> Option<String> {
    let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
}

/// The last column of the lines of these sockets.
fn drops(table: &str, inodes: &[String]) -> u64 {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = fields.get(9).is_some_and(|inode| inodes.iter().any(|known| known == inode));
        if ours { fields.last()?.parse::<u64>().ok() } else { None }
    };
    table.lines().skip(1).filter_map(line).sum()
}
