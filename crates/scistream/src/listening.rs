//! Whether a process listens on a port, from the kernel's tables: a trial connection would be forwarded to the service.

use std::{collections::HashSet, fs};

/// LISTEN in the tables of /proc.
const LISTEN: &str = "0A";

/// Whether process `pid` itself listens on all of `ports`, whatever else may.
pub fn listens(pid: u32, ports: &[u16]) -> bool {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let sockets: HashSet<String> = links
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let tables =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    let listened: HashSet<u16> = tables
        .iter()
        .flat_map(|table| table.lines().skip(1).filter_map(listener))
        .filter(|(_, inode)| sockets.contains(*inode))
        .map(|(port, _)| port)
        .collect();
    ports.iter().all(|port| listened.contains(port))
}

/// Port and inode of a line that is a listener.
fn listener(line: &str) -> Option<(u16, &str)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let port = u16::from_str_radix(address.rsplit(':').next()?, 16).ok()?;
    (*state == LISTEN).then_some((port, *inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_a_port_that_this_process_listens_on_counts() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = own.local_addr().unwrap().port();
        assert!(listens(std::process::id(), &[port]));
        assert!(!listens(1, &[port]), "another process does not listen there");
        drop(own);
        assert!(!listens(std::process::id(), &[port]));
    }
}
