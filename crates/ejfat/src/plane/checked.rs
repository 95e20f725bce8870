//! What requests contain, checked: each error says what to write.

use crate::{
    control::messages::Register,
    plane::{session::Place, slots::Strategy},
};
use std::net::IpAddr;
use tonic::Status;

const NAME_MAX: usize = 128;
const PORT_BITS_MAX: i32 = 14;
/// Demands of one receiver; more than it has slots make no sense.
const DEMANDS_MAX: usize = 512;

pub fn id(text: &str, what: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| Status::invalid_argument(format!("`{text}` is not the id of a {what}; give its number")))
}

pub fn name(name: &str) -> Result<(), Status> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    if !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(allowed) && !name.contains("..") {
        return Ok(());
    }
    Err(Status::invalid_argument(
        "the name is empty, too long, or has other characters; use letters, digits and . : / _ -, no two dots in a row",
    ))
}

pub fn address(text: &str) -> Result<IpAddr, Status> {
    let address = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let possible = address.filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
    possible.ok_or_else(|| {
        Status::invalid_argument(format!("`{text}` is not the address of a host; give one such as 10.0.0.1"))
    })
}

pub fn strategy(name: &str) -> Result<Strategy, Status> {
    Strategy::parse(name)
        .ok_or_else(|| Status::internal(format!("`{name}` is not a valid strategy; use dynamic, static or explicit")))
}

pub fn place(register: &Register) -> Result<Place, Status> {
    name(&register.name)?;
    let ip = address(&register.ip_address)?;
    let bits = Some(register.port_range).filter(|bits| (0..=PORT_BITS_MAX).contains(bits));
    let bits =
        bits.ok_or_else(|| Status::invalid_argument("the port range is not valid; use 0 to 14, the binary logarithm"))?;
    let port = u16::try_from(register.udp_port).ok().filter(|port| *port > 0);
    let port = port.filter(|port| u32::from(*port) + (1 << bits) - 1 <= u32::from(u16::MAX));
    let port = port.ok_or_else(|| {
        Status::invalid_argument("the ports do not lie between 1 and 65535; choose a lower first one")
    })?;
    for (value, what) in
        [(register.weight, "weight"), (register.min_factor, "min_factor"), (register.max_factor, "max_factor")]
    {
        if !value.is_finite() || value < 0.0 {
            return Err(Status::invalid_argument(format!("the {what} is not valid; use a number from 0 on")));
        }
    }
    if register.slot_demands.len() > DEMANDS_MAX {
        return Err(Status::invalid_argument("there are more demands than slots; join them to ranges"));
    }
    Ok(Place { ip, port, port_bits: u8::try_from(bits).expect("it is at most 14") })
}
