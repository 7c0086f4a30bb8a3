//! Parses heads and trailers: httparse for the grammar, then what it is too lenient about.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};

use super::{
    Head, Limits, Method, Reject, Search, Span, Version,
    fields::Field,
    search::Found,
    strict::Facts,
    target,
    tokens::{is_token, trim},
};

/// Fields for which the parser has room on the stack.
const STACK_FIELDS: usize = 128;

/// Parses a request's head once it is there as a whole, and returns its length.
///
/// `input` starts at the request, with at most two empty lines before it, and may hold more than the head. `None`
/// asks for more: call again with the same bytes and those behind them, and with the same `search`, which makes
/// sure that no byte is searched twice. The verdict does not depend on how the bytes were cut.
///
/// `search` is reset when a head is complete or refused; `head` is overwritten when one is complete.
///
/// # Errors
///
/// The request breaks a rule or a limit: answer with [`Reject::status`] and close.
pub fn parse(input: &[u8], search: &mut Search, limits: &Limits, head: &mut Head) -> Result<Option<usize>, Reject> {
    let found = search.advance(input, limits);
    if !matches!(found, Ok(None)) {
        search.reset();
    }
    let Some(found) = found? else { return Ok(None) };
    let bytes = &input[..found.end];
    if found.fields <= STACK_FIELDS {
        read(bytes, found, &mut [const { MaybeUninit::uninit() }; STACK_FIELDS], head)?;
    } else {
        read(bytes, found, &mut vec![MaybeUninit::uninit(); found.fields], head)?;
    }
    Ok(Some(found.end))
}

/// Parses a section of field lines that ends in an empty line, such as trailers.
pub(super) fn fields(bytes: &[u8], limit: usize, fields: &mut Vec<Field>) -> Result<(), Reject> {
    let mut storage = vec![httparse::EMPTY_HEADER; limit];
    match httparse::parse_headers(bytes, &mut storage) {
        Ok(Status::Complete((len, headers))) if len == bytes.len() => {
            fields.extend(headers.iter().map(|header| field(bytes, header)));
            Ok(())
        }
        Ok(_) => Err(Reject::FieldName),
        Err(error) => Err(field_fault(error, bytes)),
    }
}

fn read<'b>(
    bytes: &'b [u8],
    found: Found,
    storage: &mut [MaybeUninit<Header<'b>>],
    head: &mut Head,
) -> Result<(), Reject> {
    let message = &bytes[found.start..];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(message, storage) {
        Ok(Status::Complete(len)) if len == message.len() => {}
        Ok(_) => return Err(Reject::VersionInvalid),
        Err(error) => return Err(fault(error, message)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Reject::VersionInvalid);
    };
    let facts = note_fields(bytes, request.headers, &mut head.fields)?;
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.method_at = Span::within(bytes, method.as_bytes());
    head.method = Method::from_bytes(method.as_bytes());
    head.target = Span::within(bytes, target.as_bytes());
    set_target(head, target.as_bytes())?;
    set_facts(head, &facts)
}

fn note_fields(bytes: &[u8], headers: &[Header<'_>], fields: &mut Vec<Field>) -> Result<Facts, Reject> {
    let mut facts = Facts::default();
    fields.clear();
    fields.reserve(headers.len());
    for header in headers {
        let field = field(bytes, header);
        facts.note(header.name.as_bytes(), header.value, field.value)?;
        fields.push(field);
    }
    Ok(facts)
}

fn field(bytes: &[u8], header: &Header<'_>) -> Field {
    Field { name: Span::within(bytes, header.name.as_bytes()), value: Span::within(bytes, header.value) }
}

fn set_target(head: &mut Head, bytes: &[u8]) -> Result<(), Reject> {
    let target = target::parse(bytes, head.method)?;
    let start = head.target.start();
    let moved = |span: Span| Span::new(start + span.start(), start + span.end());
    head.form = target.form;
    head.path = moved(target.path);
    head.query = target.query.map(moved);
    head.authority = target.authority.map(moved);
    Ok(())
}

fn set_facts(head: &mut Head, facts: &Facts) -> Result<(), Reject> {
    if facts.host.is_none() && head.version == Version::Http11 {
        return Err(Reject::HostMissing);
    }
    head.framing = facts.framing(head.version)?;
    head.authority = head.authority.or(facts.host);
    let new = head.version == Version::Http11;
    head.keep_alive = !facts.close && (new || facts.keep_alive);
    head.upgrade = new && facts.upgrade_option && facts.upgrade_field;
    head.expects_continue = new && facts.expects_continue && !head.framing.is_empty();
    Ok(())
}

/// Names what httparse refused. Runs once a connection, before it is closed, so it may look at the head again.
#[cold]
fn fault(error: Error, message: &[u8]) -> Reject {
    let (line, rest) = split_line(message);
    match error {
        Error::Token | Error::NewLine if line.contains(&b'\r') => Reject::BareCr,
        Error::Token => method_or_target_fault(line),
        Error::Version => version_fault(line),
        Error::NewLine if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") => field_fault(error, rest),
        Error::NewLine | Error::Status => Reject::VersionInvalid,
        Error::TooManyHeaders => Reject::TooManyHeaders,
        Error::HeaderName | Error::HeaderValue => field_fault(error, rest),
    }
}

fn method_or_target_fault(line: &[u8]) -> Reject {
    let mut words = line.split(|&byte| byte == b' ');
    match (words.next(), words.next()) {
        (Some(method), _) if !is_token(method) => Reject::Method,
        (_, Some(target)) if !target.is_ascii() => Reject::TargetNonAscii,
        _ => Reject::Target,
    }
}

fn version_fault(line: &[u8]) -> Reject {
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (_, Some(_)) => Reject::Target,
        (Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']), None) => Reject::VersionUnsupported,
        _ => Reject::VersionInvalid,
    }
}

#[cold]
fn field_fault(error: Error, mut lines: &[u8]) -> Reject {
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

/// Splits off the first line, without its line end.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(2).position(|pair| pair == b"\r\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[]),
    }
}
