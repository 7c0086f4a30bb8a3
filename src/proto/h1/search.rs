//! Finds the end of a head, line by line, resuming where the last search stopped.
//!
//! The limits bite here, so they hold for a head that never ends. Verdicts depend on the bytes alone, never on how
//! they were cut: each is reached at the first byte that makes it certain.

use super::Limits;
use crate::proto::semantics::{Reject, is_token_byte};

/// Empty lines forgiven before a request line (RFC 9112 §2.2 asks for at least one).
const EMPTY_LINES_MAX: u8 = 2;

/// Remembers how far the search for one head's end has come, so that partial input is searched once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    /// Where the request line starts, behind the empty lines.
    start: usize,
    /// Where the request line ends, before its line end.
    line_end: usize,
    /// Where the line starts whose end is looked for.
    line: usize,
    /// Bytes searched.
    searched: usize,
    /// Non-empty lines found.
    lines: usize,
    /// Empty lines found before the first of them.
    empty: u8,
}

/// A head that is there as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Where the request line starts.
    pub(super) start: usize,
    /// Where the request line ends, before its line end.
    pub(super) line_end: usize,
    /// Where the head ends, behind the empty line.
    pub(super) end: usize,
    /// Lines between the request line and the empty line.
    pub(super) fields: usize,
}

impl Search {
    /// Searches the bytes that came since the last call; `input` is the same head, grown.
    pub(super) fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Option<Found>, Reject> {
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

    /// Forgets everything: the next call starts another head.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Says whether nothing was searched yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.searched == 0
    }

    /// Says whether a head has begun: something other than empty lines was seen.
    pub fn has_begun(&self) -> bool {
        self.searched > self.start
    }

    fn line_ends(&mut self, input: &[u8], lf: usize, limits: &Limits) -> Result<Option<Found>, Reject> {
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
            (true, _) => Ok(Some(self.found())),
        }
    }

    fn found(&self) -> Found {
        Found { start: self.start, line_end: self.line_end, end: self.line, fields: self.lines - 1 }
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

/// Refuses at once what is plainly not HTTP, such as a TLS hello on a plain port, and a line that is too long.
fn check_request_line(content: &[u8], limits: &Limits) -> Result<(), Reject> {
    match content {
        [first, ..] if !is_token_byte(*first) && *first != b'\r' => Err(Reject::Method),
        _ if content.len() > limits.line_bytes => Err(Reject::LineTooLong),
        _ => Ok(()),
    }
}
