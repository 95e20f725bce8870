//! Requested and negotiated properties of a new connection, for the record.

use crate::{
    socket::{Connected, first_frame},
    tables::Reader,
};
use engine::ports::{Service, Tls};
use futures_util::future::Either;
use lapin::{
    protocol::{AMQPClass, connection::AMQPMethod, parse_class},
    types::AMQPValue,
};

/// Smallest requested frame, for small bodies and the login: twice the minimum of RabbitMQ 4.
const FRAME_BYTES_MIN: u32 = 16 << 10;
/// Largest requested frame: RabbitMQ's proposal.
const FRAME_BYTES_MAX: u32 = 128 << 10;

/// Class and method of `connection.start`.
const CONNECTION_START: (u16, u16) = (10, 10);

/// The smallest frame in bytes that holds a body, within bounds.
///
/// lapin has two buffers of 32 frames per connection and cycles through all of them, so frames no larger than needed
/// keep the copied data in the processor's cache: 512 KiB instead of 4 MiB each for bodies of 16 kB, and a tenth less
/// CPU time per message. The service may lower it further.
pub(crate) fn frame_max(body_bytes: u64) -> u32 {
    const FRAME_OVERHEAD_BYTES: u64 = 8;
    let needed = body_bytes.saturating_add(FRAME_OVERHEAD_BYTES);
    u32::try_from(needed).unwrap_or(u32::MAX).clamp(FRAME_BYTES_MIN, FRAME_BYTES_MAX)
}

/// `TLSv1.3` instead of rustls's `TLSv1_3`.
fn tls_version(name: &str) -> String {
    name.replace('_', ".")
}

/// What was agreed on TLS, if there is any.
pub(crate) fn negotiated_tls(stream: &Connected) -> Option<Tls> {
    let Either::Right(stream) = stream else { return None };
    let session = stream.get_ref().1;
    let version = session.protocol_version()?.as_str().map(tls_version)?;
    let cipher = session.negotiated_cipher_suite()?.suite().as_str().map(tls_cipher)?;
    Some(Tls { version, cipher })
}

/// The name of a cipher suite in the standard; rustls adds the version to the names of TLS 1.3.
fn tls_cipher(name: &str) -> String {
    name.replacen("TLS13_", "TLS_", 1)
}

/// The service's description of itself in its first frame, `connection.start`.
pub(crate) fn service(greeting: &[u8]) -> Service {
    let start = first_frame(greeting).and_then(|(_, payload)| match parse_class(payload) {
        Ok((_, AMQPClass::Connection(AMQPMethod::Start(start)))) => Some(start),
        _ => None,
    });
    let property = |key: &str| match start.as_ref().and_then(|start| start.server_properties.inner().get(key)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    };
    Service { product: property("product"), version: property("version"), notes: Vec::new() }
}

/// The login mechanisms that the service offers, separated by blanks; `None` if it has not sent them.
pub(crate) fn mechanisms(greeting: &[u8]) -> Option<String> {
    let mut reader = Reader(first_frame(greeting)?.1);
    let start = (reader.u16().ok()?, reader.u16().ok()?);
    // The version of the protocol, then the properties.
    reader.take(2).and_then(|_| reader.table(0)).ok()?;
    let length = reader.u32().ok()?;
    let names = reader.take(length as usize).ok().filter(|_| start == CONNECTION_START)?;
    Some(String::from_utf8_lossy(names).into_owned())
}

/// The text of a zero-terminated name from the kernel.
pub(crate) fn text_of(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_a_body_where_that_is_reasonable() {
        for (body_bytes, expected) in [
            (0, 16_384),
            (16_000, 16_384),
            (16_377, 16_385),
            (100_000, 100_008),
            (8_000_000, 131_072),
            (u64::MAX, 131_072),
        ] {
            assert_eq!(frame_max(body_bytes), expected);
        }
    }

    #[test]
    fn tls_is_named_as_everywhere_else() {
        assert_eq!(tls_version("TLSv1_3"), "TLSv1.3");
        assert_eq!(tls_cipher("TLS13_AES_256_GCM_SHA384"), "TLS_AES_256_GCM_SHA384");
        assert_eq!(tls_cipher("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    }

    #[test]
    fn product_and_version_of_the_service_are_read_from_its_first_frame() {
        let mut payload = vec![0, 10, 0, 10, 0, 9];
        let mut table = Vec::new();
        for (key, value) in [("product", "RabbitMQ"), ("version", "3.10.8")] {
            table.push(key.len() as u8);
            table.extend(key.as_bytes());
            table.push(b'S');
            table.extend((value.len() as u32).to_be_bytes());
            table.extend(value.as_bytes());
        }
        payload.extend((table.len() as u32).to_be_bytes());
        payload.extend(table);
        for text in ["PLAIN", "en_US"] {
            payload.extend((text.len() as u32).to_be_bytes());
            payload.extend(text.as_bytes());
        }
        let mut frame = vec![1, 0, 0];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame.push(0xce);
        assert_eq!(
            service(&frame),
            Service { product: "RabbitMQ".into(), version: "3.10.8".into(), notes: Vec::new() }
        );
        assert_eq!(mechanisms(&frame).as_deref(), Some("PLAIN"));
        assert_eq!(service(&frame[..frame.len() - 1]), Service::default());
        assert_eq!(service(b"HTTP/1.1 400"), Service::default());
    }
}
