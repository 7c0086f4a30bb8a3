//! The response to a request for a file: conditions, ranges, coding, fields and body.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    ops::Range,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, Version, header};

use super::{
    coding::{self, Choice, Coding},
    conditions::{Conditions, Verdict},
    entry::{Content, Entry, Representation},
    ranges::{self, Selection},
    settings::Settings,
    source::{FileSource, Part, Reader},
};
use crate::{
    body::Body,
    request::Request,
    response::{Fields, Response},
};

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes of a file that are read at once for an HTTP/2 stream, of which a client can have many that it does
/// not read.
const STREAM_PIECE_BYTES: usize = 16 * 1024;

/// An error response to a request for a file that exists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// Value of `Content-Range` with status 416.
    pub(super) content_range: Option<HeaderValue>,
}

impl Refused {
    fn with(status: StatusCode) -> Self {
        Self { status, content_range: None }
    }
}

/// Returns the response to a GET or HEAD request for a file. `reader` is called for a file that is not
/// cached.
///
/// # Errors
///
/// The request cannot be served as it is: 406, 412 or 416.
pub(super) fn respond(
    request: &Request,
    entry: &Entry,
    settings: &Settings,
    reader: impl FnOnce() -> Reader,
) -> Result<Response, Refused> {
    let (coding, representation) = choose(request, entry)?;
    let conditions = Conditions::of(request.header_pairs());
    let validators = &representation.validators;
    match conditions.evaluate(validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            let mut response = Response::status_only(StatusCode::NOT_MODIFIED);
            add_metadata(response.fields_mut(), entry, representation, settings);
            return Ok(response);
        }
        Verdict::Failed => return Err(Refused::with(StatusCode::PRECONDITION_FAILED)),
    }
    let len = representation.len_bytes();
    let selection = conditions
        .range_to_apply(request.method(), validators)
        .map_or(Selection::Whole, |range| ranges::select(range, len));
    let mut response = Response::new();
    let parts = match selection {
        Selection::Whole => {
            response.fields_mut().append(header::CONTENT_TYPE, entry.content_type.clone());
            VecDeque::from([Part::File(0..len)])
        }
        Selection::Ranges(ranges) => {
            response = response.with_status(StatusCode::PARTIAL_CONTENT);
            partial(&mut response, entry, ranges, len)
        }
        Selection::Unsatisfiable => {
            let content_range = HeaderValue::try_from(format!("bytes */{len}")).ok();
            return Err(Refused { content_range, ..Refused::with(StatusCode::RANGE_NOT_SATISFIABLE) });
        }
    };
    let fields = response.fields_mut();
    add_metadata(fields, entry, representation, settings);
    fields.append(header::LAST_MODIFIED, representation.last_modified.clone());
    fields.append(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(coding) = coding {
        fields.append(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    let piece_bytes = if request.version() == Version::HTTP_2 { STREAM_PIECE_BYTES } else { PIECE_BYTES };
    Ok(response.with_body(body(&representation.content, parts, reader, piece_bytes)))
}

/// Returns the response with the content of a file as the page of an error.
pub(super) fn error_page(status: StatusCode, entry: &Entry, reader: impl FnOnce() -> Reader) -> Response {
    let representation = &entry.plain;
    let parts = VecDeque::from([Part::File(0..representation.len_bytes())]);
    let body = body(&representation.content, parts, reader, STREAM_PIECE_BYTES);
    Response::typed(entry.content_type.clone(), body).with_status(status)
}

/// Chooses the file itself or a compressed one.
fn choose<'a>(request: &Request, entry: &'a Entry) -> Result<(Option<Coding>, &'a Representation), Refused> {
    if entry.coded.is_empty() {
        return Ok((None, &entry.plain));
    }
    let is_field = |name: &[u8]| name.eq_ignore_ascii_case(header::ACCEPT_ENCODING.as_str().as_bytes());
    let lines = request.header_pairs().filter(|(name, _)| is_field(name)).map(|(_, value)| value);
    let available: Vec<_> = entry.coded.iter().map(|(coding, _)| *coding).collect();
    match coding::choose(lines, &available) {
        Choice::Identity => Ok((None, &entry.plain)),
        Choice::NotAcceptable => Err(Refused::with(StatusCode::NOT_ACCEPTABLE)),
        Choice::Coded(coding) => {
            let chosen = entry.coded.iter().find(|(known, _)| *known == coding);
            Ok(chosen.map_or((None, &entry.plain), |(coding, file)| (Some(*coding), file)))
        }
    }
}

/// Adds the fields that a 200 and a 304 have in common (RFC 9110 §15.4.5).
fn add_metadata(fields: &mut Fields, entry: &Entry, representation: &Representation, settings: &Settings) {
    fields.append(header::ETAG, representation.validators.tag.clone());
    if let Some(value) = &entry.cache_control {
        fields.append(header::CACHE_CONTROL, value.clone());
    }
    if !entry.coded.is_empty() {
        fields.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    add_headers(fields, settings);
}

/// Adds the headers of the settings, which all responses of the route have.
pub(super) fn add_headers(fields: &mut Fields, settings: &Settings) {
    for (name, value) in &settings.headers {
        fields.append(name.clone(), value.clone());
    }
}

/// Sets the fields of a 206 and returns the parts of its body (RFC 9110 §15.3.7).
fn partial(response: &mut Response, entry: &Entry, ranges: Vec<Range<u64>>, len: u64) -> VecDeque<Part> {
    let content_range = |range: &Range<u64>| format!("bytes {}-{}/{len}", range.start, range.end - 1);
    let fields = response.fields_mut();
    if let [range] = ranges.as_slice() {
        if let Ok(value) = HeaderValue::try_from(content_range(range)) {
            fields.append(header::CONTENT_RANGE, value);
        }
        fields.append(header::CONTENT_TYPE, entry.content_type.clone());
        return VecDeque::from([Part::File(range.clone())]);
    }
    let boundary = boundary();
    let content_type = entry.content_type.to_str().unwrap_or("application/octet-stream");
    let mut parts = VecDeque::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let line_end = if parts.is_empty() { "" } else { "\r\n" };
        let content_range = content_range(&range);
        let head = format!(
            "{line_end}--{boundary}\r\ncontent-type: {content_type}\r\ncontent-range: {content_range}\r\n\r\n"
        );
        parts.extend([Part::Text(Bytes::from(head)), Part::File(range)]);
    }
    parts.push_back(Part::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    if let Ok(value) = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}")) {
        fields.append(header::CONTENT_TYPE, value);
    }
    parts
}

/// Returns a random boundary, which no file is made to contain.
fn boundary() -> String {
    let random = RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
}

fn body(
    content: &Content,
    parts: VecDeque<Part>,
    reader: impl FnOnce() -> Reader,
    piece_bytes: usize,
) -> Body {
    match content {
        Content::Cached(bytes) => cached_body(bytes, &parts).into(),
        Content::Open(file) => Body::source(FileSource::new(file.clone(), parts, reader(), piece_bytes)),
    }
}

/// Returns the parts of a cached file as one buffer, which is shared if it is one part.
fn cached_body(bytes: &Bytes, parts: &VecDeque<Part>) -> Bytes {
    let slice = |range: &Range<u64>| bytes.slice(index(range.start)..index(range.end));
    if let (Some(Part::File(range)), 1) = (parts.front(), parts.len()) {
        return slice(range);
    }
    let mut all = BytesMut::new();
    for part in parts {
        match part {
            Part::Text(text) => all.extend_from_slice(text),
            Part::File(range) => all.extend_from_slice(&slice(range)),
        }
    }
    all.freeze()
}

/// Converts a position in a cached file, which is in memory.
fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
