//! Whether lapin's parser can read the contents of a frame, checked without building values.

use engine::ports::Number;
use std::str::from_utf8;

/// How deep tables and arrays may nest. RabbitMQ's own nest three deep; lapin's parser and the values that it builds
/// recurse, and its thread has a stack of 2 MiB.
pub(crate) const NESTING_MAX: usize = 64;

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Tables or arrays nest deeper than [`NESTING_MAX`].
    TooDeep,
    /// They are not valid AMQP 0-9-1 here, or lapin does not support them.
    Malformed,
}

type Read<T = ()> = Result<T, Unreadable>;

/// A reader of bytes, from the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Unreadable::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Read<u16> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes were taken")))
    }

    pub(crate) fn u32(&mut self) -> Read<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    /// Data with a length prefix of four bytes.
    fn long(&mut self) -> Read<Reader<'a>> {
        let length = self.u32()?;
        Ok(Reader(self.take(length as usize)?))
    }

    /// The bytes of a short string.
    pub(crate) fn short(&mut self) -> Read<&'a [u8]> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// A short string, which lapin keeps as text.
    fn text(&mut self) -> Read {
        from_utf8(self.short()?).map(drop).map_err(|_| Unreadable::Malformed)
    }

    /// A table inside `around` others.
    pub(crate) fn table(&mut self, around: usize) -> Read {
        let mut entries = self.nested(around)?;
        while !entries.0.is_empty() {
            entries.text()?;
            entries.value(around + 1)?;
        }
        Ok(())
    }

    fn array(&mut self, around: usize) -> Read {
        let mut values = self.nested(around)?;
        while !values.0.is_empty() {
            values.value(around + 1)?;
        }
        Ok(())
    }

    fn nested(&mut self, around: usize) -> Read<Reader<'a>> {
        if around >= NESTING_MAX {
            return Err(Unreadable::TooDeep);
        }
        self.long()
    }

    /// A value by its type, with RabbitMQ's type letters.
    fn value(&mut self, around: usize) -> Read {
        let bytes = match self.byte()? {
            b'F' => return self.table(around),
            b'A' => return self.array(around),
            b'S' | b'x' => return self.long().map(drop),
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            _ => return Err(Unreadable::Malformed),
        };
        self.take(bytes).map(drop)
    }

    /// The number under `name` among the entries of a table, unless an entry before it cannot be read.
    pub(crate) fn number_of(mut self, name: &str) -> Option<Number> {
        while !self.0.is_empty() {
            if self.short().ok()? == name.as_bytes() {
                return self.number().ok().flatten();
            }
            self.value(0).ok()?;
        }
        None
    }

    /// A value, if it is a number or a text with one.
    fn number(&mut self) -> Read<Option<Number>> {
        let whole = |number: i64| Ok(Some(Number::Whole(number)));
        match self.byte()? {
            b'b' => whole(i8::from_be_bytes(self.array_of()?).into()),
            b'B' => whole(u8::from_be_bytes(self.array_of()?).into()),
            b's' | b'U' => whole(i16::from_be_bytes(self.array_of()?).into()),
            b'u' => whole(u16::from_be_bytes(self.array_of()?).into()),
            b'I' => whole(i32::from_be_bytes(self.array_of()?).into()),
            b'i' => whole(u32::from_be_bytes(self.array_of()?).into()),
            // No clock shows what does not fit.
            b'l' | b'L' | b'T' => whole(i64::from_be_bytes(self.array_of()?)),
            b'f' => Ok(Some(Number::Part(f32::from_be_bytes(self.array_of()?).into()))),
            b'd' => Ok(Some(Number::Part(f64::from_be_bytes(self.array_of()?)))),
            b'S' => Ok(from_utf8(self.long()?.0).ok().and_then(Number::of_text)),
            _ => Ok(None),
        }
    }

    fn array_of<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("so many bytes were taken"))
    }

    /// The properties of a message, to the end.
    pub(crate) fn properties(mut self) -> Read {
        let flags = self.u16()?;
        for property in 0..16 {
            if flags & (0x8000 >> property) == 0 {
                continue;
            }
            match property {
                // headers
                2 => self.table(0)?,
                // delivery_mode, priority
                3 | 4 => drop(self.byte()?),
                // timestamp
                9 => drop(self.take(8)?),
                0..=13 => self.text()?,
                // Unused; lapin reads nothing for them.
                _ => {}
            }
        }
        if self.0.is_empty() { Ok(()) } else { Err(Unreadable::Malformed) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lapin::{protocol::basic::parse_properties, types::parsing::parse_field_table};

    /// A table with one entry, of which each but the innermost holds the next: tables (`F`) or arrays (`A`).
    pub(crate) fn nested(depth: usize, kind: u8) -> Vec<u8> {
        let key: &[u8] = if kind == b'F' { b"\x01k" } else { b"" };
        let mut inside = Vec::new();
        for level in 0..depth {
            let key = if level == 0 { b"" } else { key };
            let length = key.len() + inside.len();
            // Built from the inside out, so from back to front.
            inside.extend(key.iter().rev());
            inside.extend((length as u32).to_le_bytes());
            inside.push(kind);
        }
        inside.extend(b"k\x01");
        let length = inside.len() as u32;
        inside.extend(length.to_le_bytes());
        inside.reverse();
        inside
    }

    fn table(bytes: &[u8]) -> Result<(), Unreadable> {
        let mut reader = Reader(bytes);
        reader.table(0)?;
        if reader.0.is_empty() { Ok(()) } else { Err(Unreadable::Malformed) }
    }

    #[test]
    fn nesting_has_a_limit() {
        for kind in [b'A', b'F'] {
            assert_eq!(table(&nested(NESTING_MAX - 1, kind)), Ok(()));
            assert_eq!(table(&nested(NESTING_MAX, kind)), Err(Unreadable::TooDeep));
            assert_eq!(table(&nested(20_000, kind)), Err(Unreadable::TooDeep));
        }
    }

    /// Every kind of property and of value.
    fn every_property() -> Vec<u8> {
        let values: [&[u8]; 18] = [
            b"t\x01",
            b"b\xff",
            b"B\xff",
            b"s\xff\xfe",
            b"U\xff\xfe",
            b"u\xff\xfe",
            b"I\0\0\0\x01",
            b"i\0\0\0\x01",
            b"L\0\0\0\0\0\0\0\x01",
            b"l\0\0\0\0\0\0\0\x01",
            b"f\0\0\0\0",
            b"d\0\0\0\0\0\0\0\0",
            b"D\x02\0\0\0\x01",
            b"S\0\0\0\x01\xff",
            b"A\0\0\0\x02VV",
            b"T\0\0\0\0\0\0\0\x01",
            b"F\0\0\0\x03\x01kV",
            b"x\0\0\0\x01\xff",
        ];
        let entries: Vec<u8> = values.iter().flat_map(|value| [b"\x01k", *value].concat()).collect();
        let table = [&(entries.len() as u32).to_be_bytes()[..], &entries].concat();
        let text: &[u8] = "\u{3}\u{fc}x".as_bytes();
        let (byte, eight): (&[u8], &[u8]) = (b"\x02", b"\0\0\0\0\0\0\0\x01");
        let properties = [text, text, &table, byte, byte, text, text, text, text, eight, text, text, text, text];
        [b"\xff\xfc", properties.concat().as_slice()].concat()
    }

    #[test]
    fn lapin_reads_what_passes_here_and_nothing_else() {
        let lapin = |bytes: &[u8]| matches!(parse_properties(bytes), Ok(([], _)));
        let whole = every_property();
        assert!(lapin(&whole));
        assert_eq!(Reader(&whole).properties(), Ok(()));
        // One byte of it replaced by another, or the end missing.
        let mut read = 0;
        for at in 0..whole.len() {
            assert_eq!(Reader(&whole[..at]).properties().is_ok(), lapin(&whole[..at]), "the first {at} bytes");
            for byte in (0..=255).step_by(3) {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let expected = lapin(&bytes);
                assert_eq!(Reader(&bytes).properties().is_ok(), expected, "byte {at} is {byte}");
                read += usize::from(expected);
            }
        }
        assert!(read > 1000, "only {read} of them could be read");
        let shallow = nested(7, b'F');
        assert!(matches!(parse_field_table(&shallow[..]), Ok(([], _))));
        assert_eq!(table(&shallow), Ok(()));
    }

    #[test]
    fn a_number_is_found_among_entries_of_any_type() {
        let entries = [
            &b"\x01aF\0\0\0\x04\x01bt\x01"[..],
            b"\x01cS\0\0\0\x0212",
            b"\x01dl\0\0\0\0\0\0\0\x07",
            b"\x01ed\x3f\xf8\0\0\0\0\0\0",
            b"\x01fI\xff\xff\xff\xfe",
            b"\x01gS\0\0\0\x01x",
        ]
        .concat();
        let of = |name| Reader(&entries).number_of(name);
        let whole = |number| Some(Number::Whole(number));
        assert_eq!(["c", "d", "f"].map(of), [whole(12), whole(7), whole(-2)]);
        assert_eq!(of("e"), Some(Number::Part(1.5)));
        assert_eq!(["a", "b", "g", "z"].map(of), [None; 4]);
        for cut in 0..entries.len() {
            let _ = Reader(&entries[..cut]).number_of("g");
        }
        assert_eq!(Reader(b"\x01a?\x01dl\0\0\0\0\0\0\0\x07").number_of("d"), None, "behind what cannot be read");
    }
}
