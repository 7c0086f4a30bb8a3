//! Parser of the request line: `method SP request-target SP HTTP-version` (RFC 9112 §3).

use super::Version;
use crate::proto::semantics::{Method, Reject, Span, Target, is_token, is_token_byte, parse_target};

/// Parsed request line. Spans are offsets into the bytes that [`parse`] got.
pub(super) struct Line {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) method_at: Span,
    pub(super) target_at: Span,
    pub(super) target: Target,
}

/// Parses the request line `bytes[start..end]`, which does not include the line end.
pub(super) fn parse(bytes: &[u8], start: usize, end: usize) -> Result<Line, Reject> {
    let line = &bytes[start..end];
    let (Some(version), Some((method, method_len))) = (version(line), method(line)) else {
        return Err(fault(line));
    };
    let method_at = Span::new(start, start + method_len);
    let target_at = Span::new(method_at.end() + 1, end - b" HTTP/1.1".len());
    if target_at.start() >= target_at.end() {
        return Err(fault(line));
    }
    let target = parse_target(bytes, target_at.start(), target_at.end(), method)
        .map_err(|reject| if line.contains(&b'\r') { Reject::BareCr } else { reject })?;
    Ok(Line { method, version, method_at, target_at, target })
}

/// Returns the version at the end of the line, if there is a space before it. A later minor version counts as
/// HTTP/1.1 (RFC 9110 §2.5).
fn version(line: &[u8]) -> Option<Version> {
    let end: [u8; 9] = *line.last_chunk()?;
    if end == *b" HTTP/1.1" {
        return Some(Version::Http11);
    }
    match end.strip_prefix(b" HTTP/1.")? {
        b"0" => Some(Version::Http10),
        [b'2'..=b'9'] => Some(Version::Http11),
        _ => None,
    }
}

/// Returns the method before the first space, and its length.
fn method(line: &[u8]) -> Option<(Method, usize)> {
    if line.starts_with(b"GET ") {
        return Some((Method::Get, 3));
    }
    let len = line.iter().position(|&byte| !is_token_byte(byte))?;
    (len > 0 && line[len] == b' ').then(|| (Method::from_bytes(&line[..len]), len))
}

/// Returns the fault of a line that does not consist of the three words. Called at most once for a
/// connection, which then closes.
#[cold]
fn fault(line: &[u8]) -> Reject {
    let mut words = line.split(|&byte| byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next();
    match (words.next(), words.next()) {
        _ if line.contains(&b'\r') => Reject::BareCr,
        _ if !is_token(method) => Reject::Method,
        _ if target.is_none_or(<[u8]>::is_empty) => Reject::Target,
        (Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']), None) => {
            Reject::VersionUnsupported
        }
        (Some(version), behind) if behind.is_none() || version.starts_with(b"HTTP/") => {
            Reject::VersionInvalid
        }
        _ => Reject::Target,
    }
}
