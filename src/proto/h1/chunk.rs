//! Decoder of the chunked transfer coding (RFC 9112 §7.1). Framing is decoded byte by byte, data is not
//! copied.
//!
//! ```text
//!  Size ──digits──► Size ──;──► Extension ──┐
//!    ▲                └───CR──► LineEnd ◄CR─┘──LF──► Data(n) ──► DataCr ──► DataLf ──┐
//!    └───────────────────────────────────│───────────────────────────────────────────┘
//!                                        └─LF, size 0──► Trailers ──► Done
//! ```
//!
//! Extensions are checked and ignored (RFC 9112 §7.1.1):
//!
//! ```text
//!  chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
//! ```
//!
//! The cost of a byte is constant, so many tiny chunks cost no more than the same number of other bytes.

use super::{Limits, extension::Extension, parse, step::Step};
use crate::proto::semantics::{Field, Fields, Reject, is_forbidden_trailer, trim};

/// Maximum number of digits of a chunk size: as many as fit into 64 bits. More are refused, even if they are
/// zeros.
const SIZE_DIGITS_MAX: u8 = 16;

/// Maximum size of a chunk. Larger ones do not fit into the signed integers of many programs behind a proxy.
const SIZE_MAX: u64 = i64::MAX as u64;

/// Decoder of one chunked body.
#[derive(Debug)]
pub struct Chunked {
    expected: Expected,
    /// Bytes of chunk extensions that are still allowed in this message.
    extension_room: usize,
    /// Maximum size of the trailer section, in bytes.
    trailer_bytes: usize,
    /// Maximum number of trailer fields.
    trailer_fields: usize,
    trailers: Option<Box<Trailers>>,
}

/// Part of the coding that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Chunk size. `size` is the value of the `digits` digits so far.
    Size { size: u64, digits: u8 },
    /// Extensions after the size.
    Extension { size: u64, part: Extension },
    /// Line feed at the end of the line with the size.
    LineEnd { size: u64 },
    /// Data of the chunk.
    Data { left: u64 },
    /// Carriage return after the data.
    DataCr,
    /// Line feed after the data.
    DataLf,
    /// First byte of the trailer section, or of the empty line that ends the message.
    FirstTrailer,
    /// Line feed of that empty line.
    FirstTrailerLf,
    /// Rest of the trailer section.
    Trailers,
    /// Nothing: the message is complete.
    Done,
    /// Nothing: the coding is invalid.
    Failed(Reject),
}

const NEXT_SIZE: Expected = Expected::Size { size: 0, digits: 0 };

/// Trailer section. Allocated only for a message that has one.
#[derive(Debug, Default)]
struct Trailers {
    bytes: Vec<u8>,
    /// Offset of the current line in `bytes`.
    line: usize,
    fields: Vec<Field>,
}

impl Chunked {
    /// Returns a decoder that expects the first chunk.
    pub fn new(limits: &Limits) -> Self {
        Self {
            expected: NEXT_SIZE,
            extension_room: limits.extension_bytes,
            trailer_bytes: limits.trailer_bytes,
            trailer_fields: limits.headers,
            trailers: None,
        }
    }

    /// Decodes up to the end of the next run of data. Call it again with the bytes that were not consumed.
    ///
    /// # Errors
    ///
    /// The coding is invalid or exceeds a limit. Every later call returns the same error.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let step = self.run(input);
        if let Err(reject) = step {
            self.expected = Expected::Failed(reject);
        }
        step
    }

    /// Returns how many bytes of the current chunk's data are still to come.
    pub fn announced(&self) -> u64 {
        match self.expected {
            Expected::LineEnd { size } | Expected::Extension { size, .. } => size,
            Expected::Data { left } => left,
            _ => 0,
        }
    }

    /// Returns `true` if the last chunk and the trailers were decoded.
    pub fn is_done(&self) -> bool {
        self.expected == Expected::Done
    }

    /// Returns the trailer fields once the message is complete. Fields that are forbidden as trailers are
    /// left out (RFC 9110 §6.5.1).
    pub fn trailers(&self) -> Fields<'_> {
        match &self.trailers {
            Some(trailers) if self.is_done() => Fields::new(&trailers.fields, &trailers.bytes),
            _ => Fields::new(&[], &[]),
        }
    }

    fn run(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let mut at = 0;
        loop {
            match self.expected {
                Expected::Done => return Ok(Step::Done { consumed: at }),
                Expected::Failed(reject) => return Err(reject),
                _ if at == input.len() => return Ok(Step::NeedMore),
                Expected::Data { left } => return Ok(self.data(left, at, input.len())),
                Expected::Trailers => at += self.trailer_bytes(&input[at..])?,
                _ => at += self.framing_byte(input[at])?,
            }
        }
    }

    /// Decodes one byte of framing. Returns how many bytes were consumed: 0 for the first byte of the trailer
    /// section, which [`trailer_bytes`](Self::trailer_bytes) stores, 1 otherwise.
    fn framing_byte(&mut self, byte: u8) -> Result<usize, Reject> {
        self.expected = match (self.expected, byte) {
            (Expected::Size { size, digits }, byte) => size_byte(size, digits, byte)?,
            (Expected::Extension { size, part }, b'\r') if part.may_end() => Expected::LineEnd { size },
            (Expected::Extension { size, part }, byte) => {
                Expected::Extension { size, part: part.next(byte)? }
            }
            (Expected::LineEnd { size: 0 }, b'\n') => Expected::FirstTrailer,
            (Expected::LineEnd { size }, b'\n') => Expected::Data { left: size },
            (Expected::DataCr, b'\r') => Expected::DataLf,
            (Expected::DataLf, b'\n') => NEXT_SIZE,
            (Expected::DataCr | Expected::DataLf, _) => return Err(Reject::ChunkEnd),
            (Expected::FirstTrailer, b'\r') => Expected::FirstTrailerLf,
            (Expected::FirstTrailerLf, b'\n') => Expected::Done,
            (Expected::FirstTrailer, _) => {
                self.expected = Expected::Trailers;
                return Ok(0);
            }
            _ => return Err(Reject::BareCr),
        };
        if let Expected::Extension { .. } = self.expected {
            self.extension_room = self.extension_room.checked_sub(1).ok_or(Reject::ExtensionsTooLong)?;
        }
        Ok(1)
    }

    fn data(&mut self, left: u64, at: usize, len: usize) -> Step {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(len - at);
        let left = left - taken as u64;
        self.expected = if left == 0 { Expected::DataCr } else { Expected::Data { left } };
        Step::Data { consumed: at + taken, data: at..at + taken }
    }

    /// Stores bytes of the trailer section up to the end of a line, and returns how many. An empty line ends
    /// the message.
    fn trailer_bytes(&mut self, input: &[u8]) -> Result<usize, Reject> {
        let trailers = self.trailers.get_or_insert_default();
        let room = self.trailer_bytes.saturating_sub(trailers.bytes.len());
        let lf = memchr::memchr(b'\n', input);
        let taken = lf.map_or(input.len(), |lf| lf + 1);
        if taken > room {
            return Err(Reject::TrailersTooLong);
        }
        trailers.bytes.extend_from_slice(&input[..taken]);
        if lf.is_some() && trailers.line_ends()? {
            trailers.parse(self.trailer_fields)?;
            self.expected = Expected::Done;
        }
        Ok(taken)
    }
}

fn size_byte(size: u64, digits: u8, byte: u8) -> Result<Expected, Reject> {
    match (byte, digits) {
        (b';', 1..) => Ok(Expected::Extension { size, part: Extension::Start }),
        (b' ' | b'\t', 1..) => Ok(Expected::Extension { size, part: Extension::BeforeFirst }),
        (b'\r', 1..) => Ok(Expected::LineEnd { size }),
        (byte, SIZE_DIGITS_MAX) if byte.is_ascii_hexdigit() => Err(Reject::ChunkSizeTooLong),
        (byte, digits) => {
            let digit = char::from(byte).to_digit(16).ok_or(Reject::ChunkSize)?;
            let size = size << 4 | u64::from(digit);
            if size > SIZE_MAX {
                return Err(Reject::ChunkSizeTooLong);
            }
            Ok(Expected::Size { size, digits: digits + 1 })
        }
    }
}

impl Trailers {
    /// Checks the end of the current line. Returns `true` if the line is empty.
    fn line_ends(&mut self) -> Result<bool, Reject> {
        let line = &self.bytes[self.line..];
        if !line.ends_with(b"\r\n") {
            return Err(Reject::BareLf);
        }
        let is_empty = line.len() == 2;
        self.line = self.bytes.len();
        Ok(is_empty)
    }

    fn parse(&mut self, limit: usize) -> Result<(), Reject> {
        parse::fields(&self.bytes, limit, &mut self.fields)?;
        let bytes = &self.bytes;
        self.fields.retain(|field| !is_forbidden_trailer(trim(field.name.of(bytes))));
        Ok(())
    }
}
