//! The text of an address to its parts and back.

use super::{DataAddress, Uri, UriError};
use std::net::{IpAddr, SocketAddr};

const SYNC: &str = "sync=IP:PORT";
const DATA: &str = "data=IP, data=IP:PORT or data=IP:MIN-MAX";
const KNOWN: &str = "one of sync=, data= and sessionid=";

pub fn parse(text: &str) -> Result<Uri, UriError> {
    let (tls, rest) = match (text.strip_prefix("ejfat://"), text.strip_prefix("ejfats://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(UriError::Scheme),
    };
    let (before, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    let (token, control) = match authority.rsplit_once('@') {
        Some((token, control)) => (Some(token), control),
        None => (None, authority),
    };
    let (host, port) = host_and_port(control).ok_or_else(|| UriError::Host(control.to_owned()))?;
    // E2SAR takes the last part of any path, ESnet's control plane what follows `/lb/`.
    let lb_id = path.trim_end_matches('/').rsplit('/').next().filter(|id| !id.is_empty() && *id != "lb");
    let mut uri = Uri {
        tls,
        token: token.filter(|token| !token.is_empty()).map(str::to_owned),
        host,
        port,
        lb_id: lb_id.map(str::to_owned),
        session_id: None,
        sync: Vec::new(),
        data: Vec::new(),
    };
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        take(&mut uri, parameter)?;
    }
    Ok(uri)
}

fn take(uri: &mut Uri, parameter: &str) -> Result<(), UriError> {
    let wrong = |form| UriError::Parameter(parameter.to_owned(), form);
    let (name, value) = parameter.split_once('=').ok_or_else(|| wrong(KNOWN))?;
    match name {
        "sync" => {
            let address: SocketAddr =
                value.parse().ok().filter(|at: &SocketAddr| at.port() > 0).ok_or_else(|| wrong(SYNC))?;
            once("sync", uri.sync.iter().map(SocketAddr::ip), address.ip())?;
            uri.sync.push(address);
        }
        "data" => {
            let address = DataAddress::parse(value).ok_or_else(|| wrong(DATA))?;
            once("data", uri.data.iter().map(|known| known.ip), address.ip)?;
            uri.data.push(address);
        }
        "sessionid" if !value.is_empty() && uri.session_id.is_none() => uri.session_id = Some(value.to_owned()),
        _ => return Err(wrong(KNOWN)),
    }
    Ok(())
}

fn once(name: &'static str, mut known: impl Iterator<Item = IpAddr>, new: IpAddr) -> Result<(), UriError> {
    if known.any(|known| known.is_ipv4() == new.is_ipv4()) { Err(UriError::Twice(name)) } else { Ok(()) }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    if let Some(inside) = host.strip_prefix('[') {
        let ip: std::net::Ipv6Addr = inside.strip_suffix(']')?.parse().ok()?;
        return Some((ip.to_string(), port));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then(|| (host.to_owned(), port))
}

pub fn authority(uri: &Uri) -> String {
    if uri.host.contains(':') { format!("[{}]:{}", uri.host, uri.port) } else { format!("{}:{}", uri.host, uri.port) }
}

pub fn print(uri: &Uri, token: Option<&str>) -> String {
    let scheme = if uri.tls { "ejfats" } else { "ejfat" };
    let token = token.map(|token| format!("{token}@")).unwrap_or_default();
    let path = uri.lb_id.as_ref().map(|id| format!("lb/{id}")).unwrap_or_default();
    let sync = uri.sync.iter().map(|address| format!("sync={address}"));
    let data = uri.data.iter().map(|address| format!("data={address}"));
    let session = uri.session_id.iter().map(|id| format!("sessionid={id}"));
    let parameters: Vec<String> = sync.chain(data).chain(session).collect();
    let question = if parameters.is_empty() { "" } else { "?" };
    format!("{scheme}://{token}{}/{path}{question}{}", authority(uri), parameters.join("&"))
}
