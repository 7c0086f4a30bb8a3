//! Decodes the chunked transfer coding (RFC 9112 §7.1), a byte at a time where it is framing, in place where it is
//! data.
//!
//! ```text
//!  Size ──digits──► Size ──;──► Extension ──┐
//!    ▲                └───CR──► LineEnd ◄CR─┘──LF──► Data(n) ──► DataCr ──► DataLf ──┐
//!    └───────────────────────────────────│───────────────────────────────────────────┘
//!                                        └─LF, size 0──► Trailers ──► Done
//! ```
//!
//! Each byte costs a constant, so a flood of tiny chunks costs no more than its bytes.

use super::{Limits, Step, parse};
use crate::proto::semantics::{Field, Fields, Reject, is_forbidden_trailer, trim};

/// Most digits of a chunk size: more than fit 64 bits are refused, also when they are zeros.
const SIZE_DIGITS_MAX: u8 = 16;

/// Decodes one chunked body.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    /// Bytes of extensions still allowed in this message.
    extension_room: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
    trailers: Option<Box<Trailers>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    LineEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    FirstTrailer,
    FirstTrailerLf,
    Trailers,
    Done,
    Failed(Reject),
}

const NEXT_SIZE: State = State::Size { size: 0, digits: 0 };

/// Trailer fields and the bytes they are in. Allocated only for a message that has some.
#[derive(Debug, Default)]
struct Trailers {
    bytes: Vec<u8>,
    line: usize,
    fields: Vec<Field>,
}

impl Chunked {
    /// Starts before the first chunk.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: NEXT_SIZE,
            extension_room: limits.extension_bytes,
            trailer_bytes: limits.trailer_bytes,
            trailer_fields: limits.headers,
            trailers: None,
        }
    }

    /// Decodes up to the end of the next run of data. Call again with what was not consumed.
    ///
    /// # Errors
    ///
    /// The coding is broken, or a limit is; every later call says the same.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let step = self.run(input);
        if let Err(reject) = step {
            self.state = State::Failed(reject);
        }
        step
    }

    /// Says whether the last chunk and the trailers are decoded.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Returns the trailer fields, once done; those that would change framing, routing or the meaning of the
    /// header are left out (RFC 9110 §6.5.1).
    pub fn trailers(&self) -> Fields<'_> {
        match &self.trailers {
            Some(trailers) if self.is_done() => Fields::new(&trailers.fields, &trailers.bytes),
            _ => Fields::new(&[], &[]),
        }
    }

    fn run(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return Ok(Step::Done { consumed: at }),
                State::Failed(reject) => return Err(reject),
                _ if at == input.len() => return Ok(Step::NeedMore),
                State::Data { left } => return Ok(self.data(left, at, input.len())),
                State::Trailers => at += self.trailer_bytes(&input[at..])?,
                _ => at += self.framing_byte(input[at])?,
            }
        }
    }

    /// Takes one byte of framing; returns how many of it were consumed: a first trailer's first byte stays.
    fn framing_byte(&mut self, byte: u8) -> Result<usize, Reject> {
        self.state = match (self.state, byte) {
            (State::Size { size, digits }, byte) => size_byte(size, digits, byte)?,
            (State::Extension { size }, b'\r') => State::LineEnd { size },
            (State::Extension { size }, byte) => self.extension_byte(size, byte)?,
            (State::LineEnd { size: 0 }, b'\n') => State::FirstTrailer,
            (State::LineEnd { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => NEXT_SIZE,
            (State::DataCr | State::DataLf, _) => return Err(Reject::ChunkEnd),
            (State::FirstTrailer, b'\r') => State::FirstTrailerLf,
            (State::FirstTrailerLf, b'\n') => State::Done,
            (State::FirstTrailer, _) => {
                self.state = State::Trailers;
                return Ok(0);
            }
            _ => return Err(Reject::BareCr),
        };
        if let State::Extension { .. } = self.state {
            self.extension_room = self.extension_room.checked_sub(1).ok_or(Reject::ExtensionsTooLong)?;
        }
        Ok(1)
    }

    fn extension_byte(&self, size: u64, byte: u8) -> Result<State, Reject> {
        match byte {
            b'\n' => Err(Reject::BareLf),
            b'\t' | b' '..=b'~' | 0x80.. => Ok(State::Extension { size }),
            _ => Err(Reject::ChunkExtension),
        }
    }

    fn data(&mut self, left: u64, at: usize, len: usize) -> Step {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(len - at);
        let left = left - taken as u64;
        self.state = if left == 0 { State::DataCr } else { State::Data { left } };
        Step::Data { consumed: at + taken, data: at..at + taken }
    }

    /// Keeps trailer bytes up to the end of a line; the empty line ends the message.
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
            self.state = State::Done;
        }
        Ok(taken)
    }
}

fn size_byte(size: u64, digits: u8, byte: u8) -> Result<State, Reject> {
    match (byte, digits) {
        (b';', 1..) => Ok(State::Extension { size }),
        (b'\r', 1..) => Ok(State::LineEnd { size }),
        (byte, SIZE_DIGITS_MAX) if byte.is_ascii_hexdigit() => Err(Reject::ChunkSizeTooLong),
        (byte, digits) => {
            let digit = char::from(byte).to_digit(16).ok_or(Reject::ChunkSize)?;
            Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
        }
    }
}

impl Trailers {
    /// Looks at the line that ends here; says whether it is the empty one.
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
