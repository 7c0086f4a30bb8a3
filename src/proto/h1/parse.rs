//! Parser of request heads: the request line, then the fields, then what follows from both.

use super::{
    Head, Limits, Search, Version,
    grammar::{self, EMPTY_HEADER, Header},
    line::{self, Line},
    search::Bounds,
    strict::MessageInfo,
};
use crate::proto::semantics::{Field, Reject, Span};

/// Parses the head of a request and returns its length; `None` while the head is incomplete.
///
/// `input` starts with the request, which may have up to two empty lines before it, and may contain more than
/// the head. After `None`, call this again with the same bytes, followed by the bytes received since, and
/// with the same `search`, so that no byte is searched twice. The result does not depend on how the bytes
/// were split into segments.
///
/// `search` is reset when a head is complete or refused. `head` is overwritten when a head is complete.
///
/// # Errors
///
/// The request violates the protocol or exceeds a limit: answer with [`Reject::status`] and close the
/// connection.
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
    let bounds = search.advance(input, limits);
    if !matches!(bounds, Ok(None)) {
        search.reset();
    }
    let Some(bounds) = bounds? else { return Ok(None) };
    let bytes = &input[..bounds.end];
    let line = line::parse(bytes, bounds.start, bounds.line_end)?;
    let info = read_fields(bytes, bounds, &mut head.fields)?;
    fill_head(head, &line, &info)?;
    Ok(Some(bounds.end))
}

/// Parses field lines up to an empty line, such as trailers. The caller has checked the line ends.
pub(super) fn fields(section: &[u8], limit: usize, fields: &mut Vec<Field>) -> Result<(), Reject> {
    match grammar::headers(section, &mut vec![EMPTY_HEADER; limit]) {
        Ok(Some((_, headers))) => fields.extend(headers.iter().map(|header| span_of(section, header))),
        Ok(None) => return Err(Reject::FieldName),
        Err(error) => return Err(grammar::fault(error, section)),
    }
    Ok(())
}

/// Fast path for a head that is complete, valid and of ordinary size. It reads the bytes once, while a search
/// for the end of the head would read them a second time.
///
/// It accepts only heads that the general path accepts too. `None` means nothing more than that the general
/// path must decide.
fn parse_at_once(input: &[u8], limits: &Limits, head: &mut Head) -> Option<usize> {
    let lf = memchr::memchr(b'\n', input)?;
    let line_end = lf.checked_sub(1).filter(|&end| input[end] == b'\r' && end <= limits.line_bytes)?;
    let bytes = &input[..input.len().min(limits.head_bytes)];
    let section = bytes.get(lf + 1..)?;
    let line = line::parse(input, 0, line_end).ok()?;
    let (len, info) = match section.len() {
        ..=256 => accept_fields(bytes, section, &mut [EMPTY_HEADER; 8], limits, head)?,
        _ => accept_fields(bytes, section, &mut [EMPTY_HEADER; 32], limits, head)?,
    };
    fill_head(head, &line, &info).ok()?;
    Some(lf + 1 + len)
}

fn accept_fields<'b>(
    bytes: &'b [u8],
    section: &'b [u8],
    storage: &mut [Header<'b>],
    limits: &Limits,
    head: &mut Head,
) -> Option<(usize, MessageInfo)> {
    let (len, headers) = grammar::headers(section, storage).ok()??;
    let strict = headers.len() <= limits.headers && grammar::lines_end_in_crlf(&section[..len], headers);
    let info = strict.then(|| check_fields(bytes, headers, &mut head.fields).ok())??;
    Some((len, info))
}

/// Parses the field lines of a complete head. Up to 128 fields are parsed on the stack, more on the heap.
fn read_fields(bytes: &[u8], bounds: Bounds, fields: &mut Vec<Field>) -> Result<MessageInfo, Reject> {
    match bounds.fields {
        0..=16 => read_section(bytes, bounds, &mut [EMPTY_HEADER; 16], fields),
        17..=128 => read_section(bytes, bounds, &mut [EMPTY_HEADER; 128], fields),
        more => read_section(bytes, bounds, &mut vec![EMPTY_HEADER; more], fields),
    }
}

fn read_section<'b>(
    bytes: &'b [u8],
    bounds: Bounds,
    storage: &mut [Header<'b>],
    fields: &mut Vec<Field>,
) -> Result<MessageInfo, Reject> {
    let section = &bytes[bounds.line_end + 2..];
    match grammar::headers(section, storage) {
        Ok(Some((len, headers))) if len == section.len() => check_fields(bytes, headers, fields),
        Ok(_) => Err(Reject::FieldName),
        Err(error) => Err(grammar::fault(error, section)),
    }
}

fn check_fields(
    bytes: &[u8],
    headers: &[Header<'_>],
    fields: &mut Vec<Field>,
) -> Result<MessageInfo, Reject> {
    let mut info = MessageInfo::default();
    fields.clear();
    fields.reserve(headers.len());
    for header in headers {
        let field = span_of(bytes, header);
        info.check(header.name.as_bytes(), header.value, field.value)?;
        fields.push(field);
    }
    Ok(info)
}

fn span_of(bytes: &[u8], header: &Header<'_>) -> Field {
    Field { name: Span::within(bytes, header.name.as_bytes()), value: Span::within(bytes, header.value) }
}

/// Fills `head` from the request line and the fields, and checks what depends on both.
fn fill_head(head: &mut Head, line: &Line, info: &MessageInfo) -> Result<(), Reject> {
    let is_http11 = line.version == Version::Http11;
    if is_http11 && info.host.is_none() {
        return Err(Reject::HostMissing);
    }
    head.framing = info.framing(line.version)?;
    head.method = line.method;
    head.version = line.version;
    head.method_at = line.method_at;
    head.target = line.target_at;
    head.form = line.target.form;
    head.path = line.target.path;
    head.query = line.target.query;
    head.authority = line.target.authority.or(info.host);
    head.keep_alive = !info.close && (is_http11 || info.keep_alive);
    head.upgrade = is_http11 && info.upgrade_option && info.upgrade_field;
    head.expects_continue = is_http11 && info.expects_continue && !head.framing.is_empty();
    Ok(())
}
