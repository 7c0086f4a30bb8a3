//! Heads: a request's from what the engine decoded, a response's from what a handler made.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts,
};

use crate::{
    body::Body,
    limits::Limits,
    proto::h1::{self, Reject, is_authority, origin_form},
    request::{Head, Span},
    response::{Fields, Response as Made},
};

/// Makes the head of a request; the engine has checked what makes it malformed (RFC 9113 §8.3).
///
/// # Errors
///
/// The same request would be refused over HTTP/1.1.
pub(super) fn request(parts: &Parts, limits: &Limits) -> Result<Head, Reject> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str()).as_bytes();
    if target.len() > limits.request_line_bytes {
        return Err(Reject::LineTooLong);
    }
    if parts.headers.len() > limits.headers {
        return Err(Reject::TooManyHeaders);
    }
    let is_asterisk = target == b"*" && parts.method == Method::OPTIONS;
    let (path, query) = if is_asterisk { (Span::new(0, 1), None) } else { spans(origin_form(target)?) };
    let mut head = Head::copy_from(target, parts.method.clone(), Version::HTTP_2);
    head.path = path;
    head.query = query;
    head.authority = Some(authority(parts, &mut head)?);
    fields(&parts.headers, &mut head);
    Ok(head)
}

fn spans((path, query): (h1::Span, Option<h1::Span>)) -> (Span, Option<Span>) {
    (path.into(), query.map(Span::from))
}

/// Returns who the request is for: `:authority`, else Host; both must mean the same (RFC 9113 §8.3.1).
fn authority(parts: &Parts, head: &mut Head) -> Result<Span, Reject> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Reject::HostRepeated);
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let authority = match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host.as_bytes()) => {
            return Err(Reject::HostInvalid);
        }
        (Some(authority), _) => authority,
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(Reject::HostMissing),
    };
    if is_authority(authority) { Ok(head.append(authority)) } else { Err(Reject::HostInvalid) }
}

fn fields(fields: &HeaderMap, head: &mut Head) {
    head.headers.reserve(fields.len());
    for (name, value) in fields {
        if *name != header::COOKIE {
            let name = head.append(name.as_str().as_bytes());
            let value = head.append(value.as_bytes());
            head.headers.push((name, value));
        }
    }
    if fields.contains_key(header::COOKIE) {
        cookies(fields, head);
    }
}

/// Joins the crumbs that clients may split a Cookie into (RFC 9113 §8.2.3).
fn cookies(fields: &HeaderMap, head: &mut Head) {
    let name = head.append(header::COOKIE.as_str().as_bytes());
    let crumbs: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let value = head.append(&crumbs.join(&b"; "[..]));
    head.headers.push((name, value));
}

/// A response's head, and whether a body follows it.
pub(super) struct Sent {
    pub(super) head: Response<()>,
    pub(super) has_body: bool,
    /// The handler asked that the connection ends behind it.
    pub(super) closes: bool,
}

/// Makes the head of a response.
///
/// Fields that describe the message itself are handled as over HTTP/1.1: see [`h1::encode::head`]. Fields
/// that belong to a connection are left out (RFC 9113 §8.2.2).
pub(super) fn response(made: &Made, body: &Body, is_head: bool, date: &HeaderValue) -> Sent {
    let status = made.status();
    let may_have_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut headers = HeaderMap::with_capacity(made.fields().len() + 2);
    let closes = copy(made.fields(), &mut headers);
    let told = headers.remove(header::CONTENT_LENGTH);
    let length = if is_head || status == StatusCode::NOT_MODIFIED { told.filter(is_number) } else { None };
    let known = || body.len().filter(|_| may_have_body).map(HeaderValue::from);
    if let Some(length) = length.or_else(known) {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    headers.entry(header::DATE).or_insert_with(|| date.clone());
    let mut head = Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers;
    Sent { head, has_body: !is_head && may_have_body && body.len() != Some(0), closes }
}

/// Copies the fields that may be sent; says whether one of the others ends the connection.
fn copy(fields: &Fields, headers: &mut HeaderMap) -> bool {
    let mut closes = false;
    for (name, value) in fields.iter() {
        if *name == header::CONNECTION {
            closes |= value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close"));
        } else if !(is_connections(name) || is_single(name) && headers.contains_key(name)) {
            headers.append(name.clone(), value.clone());
        }
    }
    closes
}

/// Returns `true` if a field belongs to one connection. `te` is a request field.
fn is_connections(name: &HeaderName) -> bool {
    matches!(*name, header::TRANSFER_ENCODING | header::UPGRADE | header::TE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Returns `true` if only the first of several such fields is kept.
fn is_single(name: &HeaderName) -> bool {
    matches!(*name, header::DATE | header::CONTENT_LENGTH)
}

fn is_number(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}
