//! The frames of messages, written and read by hand: these are all that a message costs (AMQP 0-9-1, sections 2.3 and 4.2).

use crate::{
    guard::{BODY, FRAME_END, FRAME_HEAD_BYTES, HEADER, METHOD, Violation},
    tables::{Reader, Unreadable},
};
use engine::ports::{Fault, FaultKind, Number};
use profile::Mark;
use std::io::Write;

/// Class `basic`.
const BASIC: u16 = 60;
const PUBLISH: u16 = 40;
const RETURN: u16 = 50;
const DELIVER: u16 = 60;
const ACK: u16 = 80;
const NACK: u16 = 120;
const MANDATORY: u8 = 1;
const MULTIPLE: u8 = 1;

const CONTENT_TYPE: u16 = 1 << 15;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const CONTENT_ENCODING: u16 = 1 << 14;

/// What all messages of one publisher share.
#[derive(Debug)]
pub(crate) struct Template {
    exchange: String,
    content_type: &'static str,
    delivery_mode: u8,
    reply_to: Option<String>,
    mandatory: bool,
}

impl Template {
    /// Fails if a name is longer than a short string may be.
    pub fn new(
        exchange: &str,
        content_type: &'static str,
        delivery_mode: u8,
        reply_to: Option<&str>,
        mandatory: bool,
    ) -> Result<Self, Fault> {
        for name in reply_to.into_iter().chain([exchange]) {
            short_name(name)?;
        }
        let (exchange, reply_to) = (exchange.to_owned(), reply_to.map(str::to_owned));
        Ok(Self { exchange, content_type, delivery_mode, reply_to, mandatory })
    }
}

/// Checks that a name fits into a short string.
pub(crate) fn short_name(name: &str) -> Result<(), Fault> {
    let fits = name.len() <= usize::from(u8::MAX);
    let fault =
        || Fault::new(FaultKind::Refused, format!("the name `{name}` is longer than 255 bytes: use a shorter one"));
    fits.then_some(()).ok_or_else(fault)
}

/// One frame; `payload` appends its contents.
pub(super) fn frame(into: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    let at = into.len();
    into.push(kind);
    into.extend(channel.to_be_bytes());
    into.extend([0; 4]);
    payload(into);
    let bytes = (into.len() - at - FRAME_HEAD_BYTES) as u32;
    into[at + 3..at + FRAME_HEAD_BYTES].copy_from_slice(&bytes.to_be_bytes());
    into.push(FRAME_END);
}

fn short(into: &mut Vec<u8>, text: &str) {
    into.push(text.len() as u8);
    into.extend(text.as_bytes());
}

/// The head of a body frame.
pub(super) fn body_head(channel: u16, bytes: usize) -> [u8; FRAME_HEAD_BYTES] {
    let ([c0, c1], [b0, b1, b2, b3]) = (channel.to_be_bytes(), (bytes as u32).to_be_bytes());
    [BODY, c0, c1, b0, b1, b2, b3]
}

/// `basic.publish` and the header of a message of `bytes`.
pub(super) fn publish(
    into: &mut Vec<u8>,
    channel: u16,
    template: &Template,
    (key, envelope, message_id): (&str, &str, Option<u32>),
    bytes: usize,
) {
    frame(into, METHOD, channel, |into| {
        for word in [BASIC, PUBLISH, 0] {
            into.extend(word.to_be_bytes());
        }
        short(into, &template.exchange);
        short(into, key);
        into.push(if template.mandatory { MANDATORY } else { 0 });
    });
    frame(into, HEADER, channel, |into| {
        into.extend(BASIC.to_be_bytes());
        into.extend([0; 2]);
        into.extend((bytes as u64).to_be_bytes());
        let reply_to = if template.reply_to.is_some() { REPLY_TO } else { 0 };
        let flags = CONTENT_TYPE | DELIVERY_MODE | CORRELATION_ID | reply_to;
        into.extend((flags | if message_id.is_some() { MESSAGE_ID } else { 0 }).to_be_bytes());
        short(into, template.content_type);
        into.push(template.delivery_mode);
        short(into, envelope);
        if let Some(reply_to) = &template.reply_to {
            short(into, reply_to);
        }
        if let Some(id) = message_id {
            let at = into.len();
            into.push(0);
            // Writing to memory does not fail.
            let _ = write!(into, "{id}");
            into[at] = (into.len() - at - 1) as u8;
        }
    });
}

/// `basic.ack`.
pub(super) fn ack(into: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool) {
    frame(into, METHOD, channel, |into| {
        into.extend(BASIC.to_be_bytes());
        into.extend(ACK.to_be_bytes());
        into.extend(tag.to_be_bytes());
        into.push(if multiple { MULTIPLE } else { 0 });
    });
}

/// A method of the service on the way of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// A message follows.
    Deliver { tag: u64, redelivered: bool },
    /// A message follows that came to no queue.
    Return,
    /// The service has accepted messages, or rejects them.
    Confirm { tag: u64, multiple: bool, accepted: bool },
    /// Anything else.
    Other,
}

impl Method {
    pub(super) fn read(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader(payload);
        let (class, method) = (word(&mut reader)?, word(&mut reader)?);
        Ok(match (class, method) {
            (BASIC, DELIVER) => {
                reader.short().map_err(no_frame)?;
                Self::Deliver { tag: long(&mut reader)?, redelivered: flags(&mut reader)? & 1 != 0 }
            }
            (BASIC, RETURN) => Self::Return,
            (BASIC, ACK | NACK) => Self::Confirm {
                tag: long(&mut reader)?,
                multiple: flags(&mut reader)? & MULTIPLE != 0,
                accepted: method == ACK,
            },
            _ => Self::Other,
        })
    }
}

fn no_frame(_: Unreadable) -> Violation {
    Violation::NoFrame
}

fn word(reader: &mut Reader<'_>) -> Result<u16, Violation> {
    reader.u16().map_err(no_frame)
}

fn long(reader: &mut Reader<'_>) -> Result<u64, Violation> {
    let bytes = reader.take(8).map_err(no_frame)?;
    Ok(u64::from_be_bytes(bytes.try_into().expect("eight bytes were taken")))
}

fn flags(reader: &mut Reader<'_>) -> Result<u8, Violation> {
    Ok(reader.take(1).map_err(no_frame)?[0])
}

/// The properties of a message that the harness needs. Those of others may be anything: what cannot be read is absent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Properties<'a> {
    pub correlation_id: Option<&'a [u8]>,
    pub reply_to: Option<&'a [u8]>,
    pub message_id: Option<&'a [u8]>,
    /// The number that is wanted.
    pub mark: Option<Number>,
}

impl<'a> Properties<'a> {
    /// Reads them from a header's payload behind the size of the body. A table of headers is skipped by its length, unless a number in
    /// it is wanted.
    pub(super) fn read(bytes: &'a [u8], wanted: Option<&Mark>) -> Self {
        Self::try_read(Reader(bytes), wanted).unwrap_or_default()
    }

    fn try_read(mut reader: Reader<'a>, wanted: Option<&Mark>) -> Result<Self, Unreadable> {
        let mut properties = Self::default();
        let flags = reader.u16()?;
        let has = |flag| flags & flag != 0;
        for flag in [CONTENT_TYPE, CONTENT_ENCODING] {
            if has(flag) {
                reader.short()?;
            }
        }
        if has(HEADERS) {
            let bytes = reader.u32()?;
            let table = Reader(reader.take(bytes as usize)?);
            if let Some(Mark::Header(name)) = wanted {
                properties.mark = table.number_of(name);
            }
        }
        for flag in [DELIVERY_MODE, PRIORITY] {
            if has(flag) {
                reader.take(1)?;
            }
        }
        if has(CORRELATION_ID) {
            properties.correlation_id = Some(reader.short()?);
        }
        if has(REPLY_TO) {
            properties.reply_to = Some(reader.short()?);
        }
        if has(EXPIRATION) {
            reader.short()?;
        }
        if has(MESSAGE_ID) {
            properties.message_id = Some(reader.short()?);
        }
        if has(TIMESTAMP) && wanted == Some(&Mark::Timestamp) {
            let bytes = reader.take(8)?.try_into().expect("eight bytes were taken");
            properties.mark = i64::try_from(u64::from_be_bytes(bytes)).ok().map(Number::Whole);
        }
        Ok(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::{AMQPClass, basic::AMQPMethod, basic::parse_properties, parse_class};

    #[test]
    fn a_published_message_is_what_lapin_reads() {
        let template = Template::new("exchange", "application/x-hdf5", 2, Some("replies"), true).unwrap();
        let mut head = Vec::new();
        publish(&mut head, 7, &template, ("key", "an envelope", Some(41)), 1_000_000);
        let bytes = u32::from_be_bytes(head[3..7].try_into().unwrap()) as usize;
        let (method, header) = head.split_at(7 + bytes + 1);
        assert_eq!((method[0], &method[1..3], method[method.len() - 1]), (METHOD, &[0, 7][..], FRAME_END));
        match parse_class(&method[7..7 + bytes]) {
            Ok((rest, AMQPClass::Basic(AMQPMethod::Publish(publish)))) => {
                assert_eq!((rest, publish.mandatory, publish.immediate), (&[FRAME_END; 0][..], true, false));
                assert_eq!((publish.exchange.as_str(), publish.routing_key.as_str()), ("exchange", "key"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((header[0], &header[7..19]), (HEADER, &b"\0\x3c\0\0\0\0\0\0\0\x0f\x42\x40"[..]));
        let (rest, properties) = parse_properties(&header[19..header.len() - 1]).unwrap();
        assert!(rest.is_empty());
        let text = |text: &Option<lapin::types::ShortString>| text.as_ref().unwrap().as_str().to_owned();
        assert_eq!(text(properties.content_type()), "application/x-hdf5");
        assert_eq!(text(properties.correlation_id()), "an envelope");
        assert_eq!(text(properties.reply_to()), "replies");
        assert_eq!(text(properties.message_id()), "41");
        assert_eq!(properties.delivery_mode(), &Some(2));
        let read = Properties::read(&header[19..header.len() - 1], None);
        assert_eq!(read.correlation_id, Some(&b"an envelope"[..]));
        assert_eq!((read.reply_to, read.message_id), (Some(&b"replies"[..]), Some(&b"41"[..])));
    }

    #[test]
    fn properties_that_cannot_be_read_are_absent() {
        let nested = crate::tables::tests::nested(20_000, b'F');
        let foreign = [b"\x24\0", nested.as_slice(), b"\x02id"].concat();
        assert_eq!(Properties::read(&foreign, None).correlation_id, Some(&b"id"[..]), "however deep headers nest");
        for bytes in [&b""[..], b"\x04", b"\x04\0", b"\x04\0\x05ab", b"\x20\0\xff\xff\xff\xff"] {
            assert_eq!(Properties::read(bytes, None), Properties::default());
            assert_eq!(Properties::read(bytes, Some(&Mark::Header("sent".to_owned()))).mark, None);
        }
    }

    #[test]
    fn the_number_that_is_wanted_is_read_and_no_other() {
        let bytes = [&b"\x20\x40\0\0\0\x0e\x04sentl"[..], &7i64.to_be_bytes(), &9u64.to_be_bytes()].concat();
        let of = |wanted: Option<Mark>| Properties::read(&bytes, wanted.as_ref()).mark;
        assert_eq!(of(Some(Mark::Header("sent".to_owned()))), Some(Number::Whole(7)));
        assert_eq!(of(Some(Mark::Timestamp)), Some(Number::Whole(9)));
        assert_eq!([of(None), of(Some(Mark::Header("other".to_owned())))], [None; 2]);
    }

    #[test]
    fn methods_are_told_apart() {
        let mut acked = Vec::new();
        ack(&mut acked, 1, 9, true);
        assert_eq!(
            Method::read(&acked[7..acked.len() - 1]).unwrap(),
            Method::Confirm { tag: 9, multiple: true, accepted: true }
        );
        let deliver = b"\0\x3c\0\x3c\x01t\0\0\0\0\0\0\0\x05\x01\0\x01q";
        assert_eq!(Method::read(deliver).unwrap(), Method::Deliver { tag: 5, redelivered: true });
        assert_eq!(Method::read(b"\0\x0a\0\x3c").unwrap(), Method::Other);
        assert_eq!(Method::read(b"\0\x3c\0\x50\0"), Err(Violation::NoFrame));
    }
}
