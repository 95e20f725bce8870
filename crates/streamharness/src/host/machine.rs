//! The host of a rank, as its kernel reports it: processor, memory, network.

use measure::record::{Interface, Machine};
use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Interfaces with an address; hosts of containers can have hundreds.
const INTERFACES_MAX: usize = 64;

/// This host with all its interfaces. Those that no connection used are left out of the record.
pub fn describe() -> Machine {
    Machine {
        host: host(),
        cpu_model: cpu_model(),
        cores: cores(),
        memory_bytes: fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_bytes(&text)),
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        kernel: nix::sys::utsname::uname().ok().map(|name| name.release().to_string_lossy().into_owned()),
        congestion_control: line("/proc/sys/net/ipv4/tcp_congestion_control"),
        interfaces: interfaces(),
    }
}

/// Name of this host.
fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Processors of this host. Not those that this process is bound to: launchers bind each rank to
/// its own, and the host has them all.
pub fn cores() -> u32 {
    let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|cores| u32::try_from(cores).ok()).unwrap_or(1)
}

/// The first line of a file of the kernel's, if there is one.
pub fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// The processor by its name.
pub fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn interfaces() -> Vec<Interface> {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let with_address = addresses.filter_map(|interface| {
        let address = interface.address?;
        let address = (address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip())))
            .or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))?;
        Some(interface_of(&interface.interface_name, address))
    });
    with_address.take(INTERFACES_MAX).collect()
}

fn interface_of(name: &str, address: IpAddr) -> Interface {
    let of = |file: &str| PathBuf::from("/sys/class/net").join(name).join(file);
    let number = |file: &str| line(of(file)).and_then(|text| text.parse::<u64>().ok());
    Interface {
        name: name.to_owned(),
        address: address.to_string(),
        // Virtual interfaces report -1, or nothing.
        speed_bits_per_second: number("speed").filter(|megabits| *megabits > 0).map(|megabits| megabits * 1_000_000),
        mtu_bytes: number("mtu"),
        driver: fs::read_link(of("device/driver"))
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_among_those_of_this_host() {
        let machine = describe();
        let loopback = machine.interfaces.iter().find(|interface| interface.address == "127.0.0.1").unwrap();
        assert!(loopback.mtu_bytes > Some(0) && loopback.speed_bits_per_second.is_none(), "{loopback:?}");
        assert!(machine.cores > 0 && machine.memory_bytes > Some(1 << 20), "{machine:?}");
        assert_eq!(memory_bytes("MemTotal:       65842176 kB\nMemFree: 1 kB\n"), Some(65_842_176 << 10));
    }
}
