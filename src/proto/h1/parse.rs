//! Parses heads: the request line, then the fields, then what both say together.

use super::{
    Head, Limits, Search, Version,
    grammar::{self, EMPTY_HEADER, Header},
    line::{self, Line},
    search::Found,
    strict::Facts,
};
use crate::proto::semantics::{Field, Reject, Span};

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
pub fn parse(
    input: &[u8],
    search: &mut Search,
    limits: &Limits,
    head: &mut Head,
) -> Result<Option<usize>, Reject> {
    if search.is_fresh()
        && let Some(len) = parse_at_once(input, limits, head)
    {
        return Ok(Some(len));
    }
    let found = search.advance(input, limits);
    if !matches!(found, Ok(None)) {
        search.reset();
    }
    let Some(found) = found? else { return Ok(None) };
    let bytes = &input[..found.end];
    let line = line::parse(bytes, found.start, found.line_end)?;
    let facts = read_fields(bytes, found, &mut head.fields)?;
    settle(head, &line, &facts)?;
    Ok(Some(found.end))
}

/// Parses a section of field lines that ends in an empty line, such as trailers, whose line ends were looked at.
pub(super) fn fields(section: &[u8], limit: usize, fields: &mut Vec<Field>) -> Result<(), Reject> {
    match grammar::headers(section, &mut vec![EMPTY_HEADER; limit]) {
        Ok(Some((_, headers))) => fields.extend(headers.iter().map(|header| field(section, header))),
        Ok(None) => return Err(Reject::FieldName),
        Err(error) => return Err(grammar::fault(error, section)),
    }
    Ok(())
}

/// Parses the head that nearly every input starts with: whole, valid and of ordinary size. Looks at its bytes once,
/// where searching its end first looks twice.
///
/// It only ever accepts, and nothing that the search would not: all else is left to that, which names the fault.
fn parse_at_once(input: &[u8], limits: &Limits, head: &mut Head) -> Option<usize> {
    let lf = memchr::memchr(b'\n', input)?;
    let line_end = lf.checked_sub(1).filter(|&end| input[end] == b'\r' && end <= limits.line_bytes)?;
    let bytes = &input[..input.len().min(limits.head_bytes)];
    let section = bytes.get(lf + 1..)?;
    let line = line::parse(input, 0, line_end).ok()?;
    let (len, facts) = match section.len() {
        ..=256 => accept_fields(bytes, section, &mut [EMPTY_HEADER; 8], limits, head)?,
        _ => accept_fields(bytes, section, &mut [EMPTY_HEADER; 32], limits, head)?,
    };
    settle(head, &line, &facts).ok()?;
    Some(lf + 1 + len)
}

fn accept_fields<'b>(
    bytes: &'b [u8],
    section: &'b [u8],
    storage: &mut [Header<'b>],
    limits: &Limits,
    head: &mut Head,
) -> Option<(usize, Facts)> {
    let (len, headers) = grammar::headers(section, storage).ok()??;
    let strict = headers.len() <= limits.headers && grammar::lines_end_in_crlf(&section[..len], headers);
    let facts = strict.then(|| note_fields(bytes, headers, &mut head.fields).ok())??;
    Some((len, facts))
}

/// Reads the field lines of a head that was found, with as much room as they need: on the stack as far as that goes.
fn read_fields(bytes: &[u8], found: Found, fields: &mut Vec<Field>) -> Result<Facts, Reject> {
    match found.fields {
        0..=16 => read_section(bytes, found, &mut [EMPTY_HEADER; 16], fields),
        17..=128 => read_section(bytes, found, &mut [EMPTY_HEADER; 128], fields),
        more => read_section(bytes, found, &mut vec![EMPTY_HEADER; more], fields),
    }
}

fn read_section<'b>(
    bytes: &'b [u8],
    found: Found,
    storage: &mut [Header<'b>],
    fields: &mut Vec<Field>,
) -> Result<Facts, Reject> {
    let section = &bytes[found.line_end + 2..];
    match grammar::headers(section, storage) {
        Ok(Some((len, headers))) if len == section.len() => note_fields(bytes, headers, fields),
        Ok(_) => Err(Reject::FieldName),
        Err(error) => Err(grammar::fault(error, section)),
    }
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
