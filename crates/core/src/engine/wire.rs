//! Fields of protobuf messages, found one after the other without a copy of what is in them.
//!
//! An ONNX file is one message, which most of the time is to be read but for its weights.

use std::io;
use std::ops::Range;

use prost::bytes::Bytes;

use super::file::File;

/// What a field is written as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WireType {
    Varint,
    /// As many bytes as are said before them.
    Len,
    /// Four or eight bytes.
    Fixed,
}

/// Where a field is in the file.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) wire_type: WireType,
    /// With its number and its length.
    pub(super) whole: Range<usize>,
    pub(super) content: Range<usize>,
}

pub(super) struct Reader<'a> {
    file: &'a File,
    /// Some of the file's bytes, and where they begin.
    piece: Bytes,
    start: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Reader { file, piece: Bytes::new(), start: 0 }
    }

    /// Calls `each` with the fields of the message that is in a place.
    pub(super) fn fields(
        &mut self,
        mut place: Range<usize>,
        each: &mut dyn FnMut(&mut Self, Field) -> io::Result<()>,
    ) -> io::Result<()> {
        while !place.is_empty() {
            let field = self.field(&mut place)?;
            each(self, field)?;
        }
        Ok(())
    }

    /// The bytes of a place.
    pub(super) fn read(&self, place: Range<usize>) -> io::Result<Bytes> {
        // What is short is in the piece most of the time, since its number was.
        if self.start <= place.start && place.end <= self.start + self.piece.len() {
            return Ok(self.piece.slice(place.start - self.start..place.end - self.start));
        }
        self.file.read(place)
    }

    /// Takes the field that a place begins with from it.
    fn field(&mut self, place: &mut Range<usize>) -> io::Result<Field> {
        let start = place.start;
        let key = self.varint(place)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number =
            number.ok_or_else(|| wrong(format!("no field has the key {key} (byte {start})")))?;
        let (wire_type, length) = match key & 7 {
            0 => {
                let content = place.start;
                self.varint(place)?;
                let content = content..place.start;
                return Ok(Field {
                    number,
                    wire_type: WireType::Varint,
                    whole: start..content.end,
                    content,
                });
            }
            1 => (WireType::Fixed, 8),
            2 => (WireType::Len, self.varint(place)?),
            5 => (WireType::Fixed, 4),
            // Groups, which ONNX has none of.
            wire_type => {
                return Err(wrong(format!(
                    "field {number} is of the wire type {wire_type} (byte {start})"
                )));
            }
        };
        let content = usize::try_from(length).ok().filter(|length| *length <= place.len());
        let Some(length) = content else {
            return Err(wrong(format!(
                "field {number} has {length} bytes, of which {} are there (byte {start})",
                place.len()
            )));
        };
        let content = place.start..place.start + length;
        place.start = content.end;
        Ok(Field { number, wire_type, whole: start..content.end, content })
    }

    fn varint(&mut self, place: &mut Range<usize>) -> io::Result<u64> {
        let start = place.start;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let at = place.next().ok_or_else(|| wrong(format!("it ends at byte {start}")))?;
            let byte = self.byte(at)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // The tenth byte has one bit left to give.
                if shift == 63 && byte > 1 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(wrong(format!("a number is too large (byte {start})")))
    }

    fn byte(&mut self, at: usize) -> io::Result<u8> {
        if let Some(byte) = self.in_piece(at) {
            return Ok(byte);
        }
        (self.piece, self.start) = (self.file.piece(at)?, at);
        self.in_piece(at).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn in_piece(&self, at: usize) -> Option<u8> {
        self.piece.get(at.checked_sub(self.start)?).copied()
    }
}

impl Field {
    /// The place of what is in a field that must have a length.
    pub(super) fn message(self) -> io::Result<Range<usize>> {
        match self.wire_type {
            WireType::Len => Ok(self.content),
            other => Err(wrong(format!(
                "field {} is of the wire type {other:?} (byte {})",
                self.number, self.whole.start
            ))),
        }
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::apart;
    use super::*;

    fn fields(bytes: &[u8]) -> io::Result<Vec<Field>> {
        let file = File::from(bytes.to_vec());
        let mut found = Vec::new();
        Reader::new(&file).fields(0..bytes.len(), &mut |_, field| {
            found.push(field);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn fields_of_all_kinds_are_found() {
        let bytes = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x02, 7, 7],
            &[0x1d, 1, 2, 3, 4],
            &[0x21, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x82, 0x01, 0x00],
        ]
        .concat();
        let expected = [
            (1, WireType::Varint, 0..3, 1..3),
            (2, WireType::Len, 3..7, 5..7),
            (3, WireType::Fixed, 7..12, 8..12),
            (4, WireType::Fixed, 12..21, 13..21),
            (16, WireType::Len, 21..24, 24..24),
        ];
        let expected = expected.map(|(number, wire_type, whole, content)| Field {
            number,
            wire_type,
            whole,
            content,
        });
        assert_eq!(fields(&bytes).unwrap(), expected);
        assert_eq!(fields(&[]).unwrap(), []);
    }

    #[test]
    fn fields_may_lie_across_the_pieces_that_are_read() {
        // Headers of three bytes and contents of several lengths, so that all of it meets the end of a piece.
        let lengths: Vec<usize> = (0..2000).map(|i| 128 + i % 67).collect();
        let field = |&length: &usize| {
            let content = (0..length).map(|i| i as u8);
            [0x0a, length as u8 | 0x80, (length >> 7) as u8].into_iter().chain(content)
        };
        let bytes: Vec<u8> = lengths.iter().flat_map(field).collect();
        for file in [File::from(bytes.clone()), apart(bytes.clone())] {
            let mut found = Vec::new();
            Reader::new(&file)
                .fields(0..bytes.len(), &mut |reader, field| {
                    assert_eq!(reader.read(field.whole.clone())?, bytes[field.whole]);
                    found.push(field.content.len());
                    Ok(())
                })
                .unwrap();
            assert_eq!(found, lengths);
        }
    }

    #[test]
    fn what_is_no_message_is_refused_and_says_where() {
        let endless = [0xff; 11];
        let large = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        for (bytes, expected) in [
            (&[0x08][..], "it ends at byte 1"),
            (&[0x12, 0x03, 1, 2], "field 2 has 3 bytes, of which 2 are there (byte 0)"),
            (&[0x0d, 1, 2, 3], "field 1 has 4 bytes, of which 3 are there (byte 0)"),
            (&[0x0b], "field 1 is of the wire type 3 (byte 0)"),
            (&[0x08, 1, 0x02, 0], "no field has the key 2 (byte 2)"),
            (&endless, "a number is too large (byte 0)"),
            (&large, "a number is too large (byte 1)"),
        ] {
            assert_eq!(fields(bytes).unwrap_err().to_string(), expected);
        }
    }
}
