//! Parser of field lines: httparse, with precise names for the errors.

pub(super) use httparse::{EMPTY_HEADER, Header};
use httparse::{Error, Status};

use crate::proto::semantics::{Reject, Span, is_token, trim};

/// Parses field lines up to and including an empty line. Returns their total length with that line, and the
/// fields; `None` if the empty line is missing.
///
/// Lines that end in a bare line feed are accepted here: see [`lines_end_in_crlf`]. For an error [`fault`]
/// finds the cause.
pub(super) fn headers<'s, 'b>(
    section: &'b [u8],
    storage: &'s mut [Header<'b>],
) -> Result<Option<(usize, &'s [Header<'b>])>, Error> {
    Ok(match httparse::parse_headers(section, storage)? {
        Status::Complete(parsed) => Some(parsed),
        Status::Partial => None,
    })
}

/// Returns `true` if each line of a parsed section ends in CR LF.
///
/// httparse also accepts a bare LF as the end of a line, but never as a part of a name or a value. Each name
/// is at the start of a line. So it is enough to check the two bytes before each name and the two before each
/// end.
pub(super) fn lines_end_in_crlf(section: &[u8], headers: &[Header<'_>]) -> bool {
    let is_crlf = |end: usize| end >= 2 && section.get(end - 2) == Some(&b'\r');
    let starts = headers.iter().skip(1).map(|header| Span::within(section, header.name.as_bytes()).start());
    is_crlf(section.len()) && (headers.is_empty() || is_crlf(section.len() - 2)) && { starts }.all(is_crlf)
}

/// Finds the cause of an error of httparse by parsing the lines again. It need not be fast: it is called at
/// most once for a connection, which then closes.
#[cold]
pub(super) fn fault(error: Error, mut lines: &[u8]) -> Reject {
    while !lines.is_empty() {
        let (line, rest) = split_line(lines);
        if let Some(reject) = line_fault(line) {
            return reject;
        }
        lines = rest;
    }
    if error == Error::TooManyHeaders { Reject::TooManyHeaders } else { Reject::FieldName }
}

fn line_fault(line: &[u8]) -> Option<Reject> {
    let colon = line.iter().position(|&byte| byte == b':');
    let (name, value) = line.split_at(colon.unwrap_or(line.len()));
    match name {
        [] if line.is_empty() => None,
        [b' ' | b'\t', ..] => Some(Reject::Fold),
        name if is_token(name) && colon.is_some() => value_fault(value),
        name if name.contains(&0) => Some(Reject::Nul),
        name if name.contains(&b'\r') => Some(Reject::BareCr),
        name if is_token(trim(name)) && colon.is_some() => Some(Reject::SpaceBeforeColon),
        _ => Some(Reject::FieldName),
    }
}

fn value_fault(value: &[u8]) -> Option<Reject> {
    match value.iter().find(|&&byte| byte != b'\t' && (byte < b' ' || byte == 0x7f))? {
        0 => Some(Reject::Nul),
        b'\r' => Some(Reject::BareCr),
        _ => Some(Reject::FieldValue),
    }
}

/// Splits off the first line. The line end belongs to neither part.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(2).position(|pair| pair == b"\r\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[]),
    }
}
