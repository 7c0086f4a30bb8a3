//! Parses heads and trailers: httparse for the fields' grammar, then what it is too lenient about.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::{
    Head, Limits, Reject, Search, Span, Version,
    fields::Field,
    line::{self, Line},
    search::Found,
    strict::Facts,
    tokens::{is_token, trim},
};

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
    let line = line::parse(bytes, found.start, found.line_end)?;
    head.fields.clear();
    let facts = read_fields(bytes, found, &mut head.fields)?;
    settle(head, &line, &facts)?;
    Ok(Some(found.end))
}

/// Parses a section of field lines that ends in an empty line, such as trailers.
pub(super) fn fields(bytes: &[u8], limit: usize, fields: &mut Vec<Field>) -> Result<(), Reject> {
    let mut storage = vec![EMPTY_HEADER; limit];
    fields.extend(headers(bytes, &mut storage)?.iter().map(|header| field(bytes, header)));
    Ok(())
}

/// Reads the field lines with as much room as they need: on the stack as far as that goes.
fn read_fields(bytes: &[u8], found: Found, fields: &mut Vec<Field>) -> Result<Facts, Reject> {
    let section = &bytes[found.line_end + 2..];
    fields.reserve(found.fields);
    match found.fields {
        0..=8 => note_fields(bytes, section, &mut [EMPTY_HEADER; 8], fields),
        9..=32 => note_fields(bytes, section, &mut [EMPTY_HEADER; 32], fields),
        33..=128 => note_fields(bytes, section, &mut [EMPTY_HEADER; 128], fields),
        more => note_fields(bytes, section, &mut vec![EMPTY_HEADER; more], fields),
    }
}

fn note_fields<'b>(
    bytes: &'b [u8],
    section: &'b [u8],
    storage: &mut [Header<'b>],
    fields: &mut Vec<Field>,
) -> Result<Facts, Reject> {
    let mut facts = Facts::default();
    for header in headers(section, storage)? {
        let field = field(bytes, header);
        facts.note(header.name.as_bytes(), header.value, field.value)?;
        fields.push(field);
    }
    Ok(facts)
}

fn headers<'s, 'b>(section: &'b [u8], storage: &'s mut [Header<'b>]) -> Result<&'s [Header<'b>], Reject> {
    match httparse::parse_headers(section, storage) {
        Ok(Status::Complete((len, headers))) if len == section.len() => Ok(headers),
        Ok(_) => Err(Reject::FieldName),
        Err(error) => Err(fault(error, section)),
    }
}

fn field(bytes: &[u8], header: &Header<'_>) -> Field {
    Field { name: Span::within(bytes, header.name.as_bytes()), value: Span::within(bytes, header.value) }
}

/// Brings together what the line and the fields say.
fn settle(head: &mut Head, line: &Line, facts: &Facts) -> Result<(), Reject> {
    let new = line.version == Version::Http11;
    if new && facts.host.is_none() {
        return Err(Reject::HostMissing);
    }
    head.framing = facts.framing(line.version)?;
    head.method = line.method;
    head.version = line.version;
    head.method_at = line.method_at;
    head.target = line.target_at;
    head.form = line.target.form;
    head.path = line.target.path;
    head.query = line.target.query;
    head.authority = line.target.authority.or(facts.host);
    head.keep_alive = !facts.close && (new || facts.keep_alive);
    head.upgrade = new && facts.upgrade_option && facts.upgrade_field;
    head.expects_continue = new && facts.expects_continue && !head.framing.is_empty();
    Ok(())
}

/// Names what httparse refused. Runs once a connection, before it is closed, so it may look at the lines again.
#[cold]
fn fault(error: Error, mut lines: &[u8]) -> Reject {
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
