//! Decodes header blocks (RFC 7541 §3, §6), field line by field line.

use super::{DEFAULT_TABLE_BYTES, Malformed, dynamic::Table, huffman, integer, static_table};
use crate::proto::h2::field::{Name, Value};

/// A field line that was decoded; the spans are offsets into the buffer it was appended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Meaning of the name.
    pub kind: Name,
    /// The verdict on the value.
    pub verdict: Value,
    /// Offset of the name, which ends where the value starts.
    pub name: usize,
    /// Offset of the value.
    pub value: usize,
    /// End of the value.
    pub end: usize,
}

/// A line that nearly every request begins with: one byte, and an entry of the static table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// `:method: GET`.
    Get,
    /// `:method: POST`.
    Post,
    /// `:scheme: http`.
    Http,
    /// `:scheme: https`.
    Https,
}

/// Position of the decoder in a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first field line: size updates are allowed.
    Start,
    /// Before the first field line, and a size update must come: the limit was lowered beneath the table's
    /// size.
    StartOfUpdate,
    /// After a field line: a size update is an error.
    Fields,
}

/// One connection's decoder.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Largest size that the peer's encoder may choose for the table.
    limit: usize,
    place: Place,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: Table::new(DEFAULT_TABLE_BYTES), limit: DEFAULT_TABLE_BYTES, place: Place::Start }
    }
}

impl Decoder {
    /// Makes a decoder for a connection whose settings allow `limit` bytes of table.
    ///
    /// Until the peer acknowledges that, it may use the default, so a smaller limit holds from
    /// [`limit`](Self::limit) on only.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(DEFAULT_TABLE_BYTES), ..Self::default() }
    }

    /// Sets the limit that the peer has acknowledged: a table above it must be made smaller at the start of
    /// the next block (RFC 7541 §4.2).
    pub fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Begins a block.
    pub fn begin(&mut self) {
        let is_above = self.table.capacity() > self.limit;
        self.place = if is_above { Place::StartOfUpdate } else { Place::Start };
    }

    /// Decodes the next field line of the block if it is a short one, and consumes its byte. Returns `None`,
    /// and consumes nothing, for any other line and at the end of the input.
    #[inline]
    pub fn next_short(&mut self, input: &mut &[u8]) -> Option<Short> {
        let (first, rest) = input.split_first()?;
        let short = match first {
            0x82 => Short::Get,
            0x83 => Short::Post,
            0x86 => Short::Http,
            0x87 => Short::Https,
            _ => return None,
        };
        if self.place == Place::StartOfUpdate {
            return None;
        }
        self.place = Place::Fields;
        *input = rest;
        Some(short)
    }

    /// Decodes the next field line of the block and appends its name and value to `bytes`.
    ///
    /// Returns `None` if more bytes are needed: `input` then is empty or starts with a line whose end is
    /// missing.
    ///
    /// # Errors
    ///
    /// The block is malformed; the connection cannot go on.
    #[inline]
    pub fn next(&mut self, input: &mut &[u8], bytes: &mut Vec<u8>) -> Result<Option<Line>, Malformed> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        // One byte, and nothing but an index: what nearly all lines of a warm connection are.
        if first > 0x80 && first < 0xff && self.place != Place::StartOfUpdate {
            self.place = Place::Fields;
            *input = rest;
            return self.indexed(usize::from(first & 0x7f), bytes).map(Some);
        }
        self.next_long(input, bytes)
    }

    fn next_long(&mut self, input: &mut &[u8], bytes: &mut Vec<u8>) -> Result<Option<Line>, Malformed> {
        loop {
            let Some(&first) = input.first() else { return Ok(None) };
            if first & 0xe0 == 0x20 {
                match self.resize(input)? {
                    true => continue,
                    false => return Ok(None),
                }
            }
            if self.place == Place::StartOfUpdate {
                return Err(Malformed);
            }
            self.place = Place::Fields;
            return match first {
                0x80.. => self.long_indexed(input, bytes),
                0x40.. => self.literal(input, bytes, 6, true),
                _ => self.literal(input, bytes, 4, false),
            };
        }
    }

    #[inline(always)]
    fn indexed(&self, index: usize, bytes: &mut Vec<u8>) -> Result<Line, Malformed> {
        let name = bytes.len();
        if let Some(field) = self.table.get(index.wrapping_sub(static_table::LEN + 1)) {
            bytes.extend_from_slice(field.bytes);
            let (value, end) = (name + field.name_len, name + field.bytes.len());
            return Ok(Line { kind: field.kind, verdict: field.verdict, name, value, end });
        }
        let entry = static_table::get(index).ok_or(Malformed)?;
        bytes.extend_from_slice(entry.name.as_bytes());
        bytes.extend_from_slice(entry.value.as_bytes());
        let value = name + entry.name.len();
        Ok(Line { kind: entry.kind, verdict: entry.verdict, name, value, end: bytes.len() })
    }

    #[cold]
    fn long_indexed(&self, input: &mut &[u8], bytes: &mut Vec<u8>) -> Result<Option<Line>, Malformed> {
        let Some((index, len)) = integer::decode(input, 7)? else { return Ok(None) };
        *input = &input[len..];
        self.indexed(index, bytes).map(Some)
    }

    /// Decodes a literal, whose name is an index of `bits` bits or a string.
    fn literal(
        &mut self,
        input: &mut &[u8],
        bytes: &mut Vec<u8>,
        bits: u32,
        is_indexed: bool,
    ) -> Result<Option<Line>, Malformed> {
        let (mut rest, name) = (*input, bytes.len());
        let Some(kind) = self.literal_name(&mut rest, bytes, bits)? else {
            bytes.truncate(name);
            return Ok(None);
        };
        let value = bytes.len();
        if string(&mut rest, bytes)?.is_none() {
            bytes.truncate(name);
            return Ok(None);
        }
        *input = rest;
        let verdict = Value::of(kind, &bytes[value..]);
        if is_indexed {
            self.table.insert(&bytes[name..value], &bytes[value..], kind, verdict);
        }
        Ok(Some(Line { kind, verdict, name, value, end: bytes.len() }))
    }

    fn literal_name(
        &self,
        input: &mut &[u8],
        bytes: &mut Vec<u8>,
        bits: u32,
    ) -> Result<Option<Name>, Malformed> {
        let Some((index, len)) = integer::decode(input, bits)? else { return Ok(None) };
        *input = &input[len..];
        if index == 0 {
            let start = bytes.len();
            return Ok(string(input, bytes)?.map(|()| Name::of(&bytes[start..])));
        }
        if let Some(entry) = static_table::get(index) {
            bytes.extend_from_slice(entry.name.as_bytes());
            return Ok(Some(entry.kind));
        }
        let field = self.table.get(index - static_table::LEN - 1).ok_or(Malformed)?;
        bytes.extend_from_slice(&field.bytes[..field.name_len]);
        Ok(Some(field.kind))
    }

    /// Applies a size update (RFC 7541 §6.3). Returns `false` if more bytes are needed.
    #[cold]
    fn resize(&mut self, input: &mut &[u8]) -> Result<bool, Malformed> {
        let Some((size, len)) = integer::decode(input, 5)? else { return Ok(false) };
        if self.place == Place::Fields || size > self.limit {
            return Err(Malformed);
        }
        *input = &input[len..];
        self.place = Place::Start;
        self.table.set_capacity(size);
        Ok(true)
    }

    /// Returns the size of the memory that the decoder holds for its peer, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.table.held_bytes()
    }
}

/// Decodes a string and appends it. Returns `None` if more bytes are needed.
fn string(input: &mut &[u8], bytes: &mut Vec<u8>) -> Result<Option<()>, Malformed> {
    let Some((len, at)) = integer::decode(input, 7)? else { return Ok(None) };
    let is_huffman = input[0] & 0x80 != 0;
    let Some(text) = input.get(at..at + len) else { return Ok(None) };
    *input = &input[at + len..];
    if is_huffman {
        huffman::decode(text, bytes).map_err(|_| Malformed)?;
    } else {
        bytes.extend_from_slice(text);
    }
    Ok(Some(()))
}
