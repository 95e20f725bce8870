//! The network load balancer: one address in front of the nodes, whose packets the kernel translates. Its table of nftables
//! belongs to a process, with which the kernel removes it.

use crate::{
    Error, Result, gateway,
    network::{Host, Network},
    part, place,
    ports::Ports,
    routes::{DTS_NLB, replicas_of},
};
use shortage::{FileContext, SystemContext};
use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddrV4},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Its name as a part, and as an end of hops.
pub const NLB: &str = "nlb";
/// What the name of the program is.
const PROGRAM: &str = "nft";
/// Settings of its host's network: it forwards (first, since that resets others), and tells nobody a shorter way.
const FORWARDING: [(&str, &str); 3] =
    [("ipv4/ip_forward", "1"), ("ipv4/conf/all/send_redirects", "0"), ("ipv4/conf/eth0/send_redirects", "0")];
/// It translates segments that arrive in another order, too. Not every kernel has it.
const LIBERAL: (&str, &str) = ("netfilter/nf_conntrack_tcp_be_liberal", "1");

/// What it translates.
#[derive(Debug, Clone, Copy)]
pub struct Nlb {
    pub ports: Ports,
    pub nodes: usize,
}

impl Nlb {
    /// Its address; the last of its ports leads to all nodes, and each one before to one node less.
    pub fn at(self) -> SocketAddrV4 {
        self.ports.at(Host::Nlb, self.ports.nlb(self.nodes))
    }

    /// Its ports, each with its protocol.
    pub fn listeners(self) -> Vec<(String, u16)> {
        (1..=self.nodes).map(|nodes| ("amqps".to_owned(), self.ports.nlb(nodes))).collect()
    }

    /// Refuses with the reason and the remedy if this machine cannot have it.
    ///
    /// # Errors
    ///
    /// [`Error::NoNlb`].
    pub fn check(self) -> Result<()> {
        if self.ports.hosts.is_spread() {
            return Err(spread());
        }
        let refused = |message: &str| {
            let remedy = match self.has_host() {
                false if message.contains("not permitted") => {
                    "without a network of its own, the table is in the one of this host: start it as root, or with --network facility"
                }
                _ => "load the modules nf_tables, nft_chain_nat, nft_numgen and nft_masq",
            };
            Error::NoNlb(format!("the kernel refuses its table of nftables ({message}); {remedy}"))
        };
        let mut nft = Command::new(find()?)
            .args(["-c", "-f", "-"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .when("run `nft`")?;
        if let Some(mut stdin) = nft.stdin.take() {
            // One that has ended already says why.
            let _ = stdin.write_all(self.table().as_bytes());
        }
        let output = nft.wait_with_output().when("run `nft`")?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        let first = message.lines().next().unwrap_or("without a reason");
        Err(refused(first.trim_start_matches("netlink: ").trim_start_matches("Error: ")))
    }

    /// The process that holds the table, and the stream that keeps it: it ends, and the table with it, when this closes.
    pub fn command(self, dir: &Path) -> Result<(Command, UnixStream)> {
        let own = dir.join(NLB);
        place::create(&own, None)?;
        let (mut ours, theirs) = UnixStream::pair().when("create a stream")?;
        ours.write_all(self.table().as_bytes()).when("write the rules of the network load balancer")?;
        let mut command = part::privileged(dir, NLB, find()?)?;
        // It keeps a history of its commands at home.
        command.arg("-i").env("HOME", own).stdin(OwnedFd::from(theirs));
        Ok((command, ours))
    }

    /// Prepares the host of its own to forward packets.
    pub fn prepare(self, network: &Network) -> Result<()> {
        let set = |(name, value): (&str, &str)| {
            let path = Path::new("/proc/sys/net").join(name);
            fs::write(&path, value).on("write", &path)
        };
        network.at_place_of(NLB, || {
            FORWARDING.into_iter().try_for_each(set)?;
            let _ = set(LIBERAL);
            Ok(())
        })
    }

    fn has_host(self) -> bool {
        !self.ports.hosts.is_one()
    }

    /// One line. The kernel takes the nodes in turn, for each connection anew.
    fn table(self) -> String {
        let address = self.ports.hosts.address(Host::Nlb);
        let rules: String = (1..=self.nodes).map(|nodes| self.rule(address, nodes)).collect();
        let chain = |name: &str, kind: &str, rules: &str| format!("chain {name} {{ type nat hook {kind}; {rules}}}; ");
        let mut chains = chain("arriving", "prerouting priority -100", &rules);
        // The nodes would reply to clients in the same network directly, from an address that these do not know.
        chains += &match self.has_host() {
            true => chain("back", "postrouting priority 100", "ct status dnat masquerade; "),
            false => chain("local", "output priority -100", &rules),
        };
        // `owner`: the kernel removes the table with the socket of the process that made it.
        format!("table ip streamharness_{} {{ flags owner; {chains}}}\n", self.ports.base)
    }

    fn rule(self, address: Ipv4Addr, nodes: usize) -> String {
        let to = |node: usize| {
            let at = self.ports.at_node(node, self.ports.amqps(node));
            format!("{} : {} . {}", node - 1, at.ip(), at.port())
        };
        let map: Vec<String> = (1..=nodes).map(to).collect();
        let port = self.ports.nlb(nodes);
        format!("ip daddr {address} tcp dport {port} dnat ip to numgen inc mod {nodes} map {{ {} }}; ", map.join(", "))
    }
}

/// Why there is none over several hosts.
fn spread() -> Error {
    let reason = "the parts of this testbed are on several hosts, whose networks it would have to change: start the launch on \
         one host, or give the address of the facility's own with --url";
    Error::NoNlb(reason.to_owned())
}

/// Refuses with the reason and the remedy if a testbed on the ports of this machine cannot have this route, or one over several
/// hosts.
///
/// # Errors
///
/// [`Error`] of the route's own. Other routes are not checked.
pub fn check_route(route: &str, over_hosts: bool) -> Result<()> {
    match route {
        DTS_NLB if over_hosts => Err(spread()),
        DTS_NLB => Nlb { ports: Ports::loopback(1), nodes: 1 }.check(),
        _ if replicas_of(route).is_some() => gateway::find().map(drop),
        _ => Ok(()),
    }
}

fn find() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's directory for it, which a plain user's PATH lacks.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(PROGRAM)).find(|file| file.is_file()).ok_or_else(|| {
        Error::NoNlb("there is no program `nft`: apt-get install nftables, or run launch/setup".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_leads_to_one_node_more_and_replies_come_back_the_same_way() {
        let table = Nlb { ports: Ports::facility(3, false), nodes: 3 }.table();
        let two = "ip daddr 10.79.0.22 tcp dport 10252 dnat ip to numgen inc mod 2 map { 0 : 10.79.0.11 . 10211, 1 : \
             10.79.0.12 . 10212 }; ";
        assert!(table.contains(two) && table.contains("tcp dport 10253 dnat ip to numgen inc mod 3"), "{table}");
        assert!(table.contains("flags owner") && table.contains("ct status dnat masquerade"), "{table}");
        assert_eq!(table.lines().count(), 1, "it is one command: {table}");
    }

    #[test]
    fn on_the_ports_of_one_host_its_own_packets_are_translated() {
        let table = Nlb { ports: Ports::loopback(12000), nodes: 1 }.table();
        assert!(table.contains("table ip streamharness_12000 ") && !table.contains("masquerade"), "{table}");
        let rule = "type nat hook output priority -100; ip daddr 127.0.0.1 tcp dport 12051 dnat";
        assert!(table.contains(rule), "{table}");
    }
}
