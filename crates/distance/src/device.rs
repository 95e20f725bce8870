//! A network device whose packets a process reads and writes.

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    libc,
    sys::stat::Mode,
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// Makes an Ethernet device of this name in the network namespace of the calling thread. It exists as long as the
/// descriptor. `coalesced`: the kernel passes several segments on as one, which carries more.
///
/// # Errors
///
/// Those of the system: there is no `/dev/net/tun`, or this process may not open it or make devices.
pub fn open_device(name: &str, coalesced: bool) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let device = open("/dev/net/tun", flags, Mode::empty())?;
    let kind = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let segments = if coalesced { libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN } else { 0 };
    set_up(&device, name, kind, libc::TUN_F_CSUM | segments)?;
    Ok(device)
}

#[expect(unsafe_code, reason = "nothing else makes such a device")]
fn set_up(device: &OwnedFd, name: &str, kind: libc::c_int, offloads: libc::c_uint) -> io::Result<()> {
    // SAFETY: a structure of integers and bytes, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = kind as libc::c_short;
    // SAFETY: both calls are made on an open descriptor, and the first gets the structure that it expects.
    unsafe {
        Errno::result(libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request))?;
        Errno::result(libc::ioctl(device.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)))?;
    }
    Ok(())
}
