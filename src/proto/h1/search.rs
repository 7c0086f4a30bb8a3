//! Search for the end of a head, line by line. It resumes where the last search stopped.
//!
//! The limits are checked here, so that they also hold for a head that never ends. A head is refused at the
//! first byte that makes the fault certain, so the result does not depend on how the bytes were split into
//! segments.

use super::Limits;
use crate::proto::semantics::{Reject, is_token_byte};

/// Maximum number of empty lines before a request line. RFC 9112 §2.2 asks to accept at least one.
const EMPTY_LINES_MAX: u8 = 2;

/// Progress of the search for the end of one head. With it no byte of partial input is searched twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    /// Offset of the request line, after the empty lines.
    start: usize,
    /// Offset of the end of the request line, before its CR LF.
    line_end: usize,
    /// Offset of the line whose end is searched.
    line: usize,
    /// Number of bytes searched.
    searched: usize,
    /// Number of non-empty lines found.
    lines: usize,
    /// Number of empty lines found before the first non-empty one.
    empty: u8,
}

/// Position of a complete head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Offset of the request line.
    pub(super) start: usize,
    /// Offset of the end of the request line, before its CR LF.
    pub(super) line_end: usize,
    /// Offset of the end of the head, after the empty line.
    pub(super) end: usize,
    /// Number of lines between the request line and the empty line.
    pub(super) fields: usize,
}

impl Search {
    /// Searches the bytes that were added to `input` since the last call. Returns the position of the head
    /// once it is complete, `None` before that, and an error as soon as a limit or rule of lines is broken.
    pub(super) fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Option<Bounds>, Reject> {
        let base = self.searched;
        for at in memchr::memchr_iter(b'\n', input.get(base..).unwrap_or_default()) {
            if let Some(found) = self.line_ends(input, base + at, limits)? {
                return Ok(Some(found));
            }
        }
        self.searched = input.len();
        self.line_is_open(input, limits)?;
        Ok(None)
    }

    /// Prepares the search for the next head.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns `true` if no byte was searched yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.searched == 0
    }

    /// Returns `true` if a head has begun: a byte that does not belong to an empty line was searched.
    pub fn has_begun(&self) -> bool {
        self.searched > self.start
    }

    fn line_ends(&mut self, input: &[u8], lf: usize, limits: &Limits) -> Result<Option<Bounds>, Reject> {
        let line = &input[self.line..lf];
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        if self.lines == 0 {
            check_request_line(content, limits)?;
            self.line_end = self.line + content.len();
        }
        if lf >= limits.head_bytes {
            return Err(Reject::HeadTooLong);
        }
        if content.len() == line.len() {
            return Err(Reject::BareLf);
        }
        self.line = lf + 1;
        match (content.is_empty(), self.lines) {
            (false, lines) if lines > limits.headers => Err(Reject::TooManyHeaders),
            (false, _) => {
                self.lines += 1;
                Ok(None)
            }
            (true, 0) => self.skip_empty_line().map(|()| None),
            (true, _) => Ok(Some(self.bounds())),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds { start: self.start, line_end: self.line_end, end: self.line, fields: self.lines - 1 }
    }

    fn skip_empty_line(&mut self) -> Result<(), Reject> {
        self.empty += 1;
        self.start = self.line;
        if self.empty > EMPTY_LINES_MAX { Err(Reject::EmptyLines) } else { Ok(()) }
    }

    fn line_is_open(&self, input: &[u8], limits: &Limits) -> Result<(), Reject> {
        let line = input.get(self.line..).unwrap_or_default();
        if self.lines == 0 {
            check_request_line(line.strip_suffix(b"\r").unwrap_or(line), limits)?;
        }
        if input.len() > limits.head_bytes { Err(Reject::HeadTooLong) } else { Ok(()) }
    }
}

/// Refuses a request line that is too long, and bytes that are certainly not HTTP, such as a TLS ClientHello
/// on a port without TLS.
fn check_request_line(content: &[u8], limits: &Limits) -> Result<(), Reject> {
    match content {
        [first, ..] if !is_token_byte(*first) && *first != b'\r' => Err(Reject::Method),
        _ if content.len() > limits.line_bytes => Err(Reject::LineTooLong),
        _ => Ok(()),
    }
}
