//! The four forms of a request target (RFC 9112 §3.2).

use super::{Method, Reject, Span, host};

/// Which form a request target has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`; its host rules over Host.
    Absolute,
    /// `host:port`, with CONNECT only.
    Authority,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// A request target taken apart; spans count from its first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub(super) form: Form,
    pub(super) authority: Option<Span>,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
}

/// Takes a target apart. httparse has refused control characters and spaces.
pub(super) fn parse(target: &[u8], method: Method) -> Result<Target, Reject> {
    if !target.is_ascii() {
        return Err(Reject::TargetNonAscii);
    }
    match (method, target) {
        (Method::Connect, authority) => connect(authority),
        (_, [b'/', ..]) => path_and_query(target, 0),
        (Method::Options, b"*") => Ok(Target { form: Form::Asterisk, path: Span::new(0, 1), ..Target::default() }),
        _ => absolute(target),
    }
}

fn connect(authority: &[u8]) -> Result<Target, Reject> {
    if !host::is_host_and_port(authority) {
        return Err(Reject::Target);
    }
    let authority = Some(Span::new(0, authority.len()));
    Ok(Target { form: Form::Authority, authority, ..Target::default() })
}

fn path_and_query(target: &[u8], start: usize) -> Result<Target, Reject> {
    let part = &target[start..];
    let (path_len, query) = match memchr::memchr2(b'?', b'#', part) {
        None => (part.len(), None),
        Some(at) if part[at] == b'#' || memchr::memchr(b'#', &part[at..]).is_some() => {
            return Err(Reject::TargetFragment);
        }
        Some(at) => (at, Some(Span::new(start + at + 1, target.len()))),
    };
    Ok(Target { form: Form::Origin, authority: None, path: Span::new(start, start + path_len), query })
}

fn absolute(target: &[u8]) -> Result<Target, Reject> {
    let start = scheme_len(target).ok_or(Reject::Target)?;
    let len = target[start..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let end = len.map_or(target.len(), |len| start + len);
    if !host::is_authority(&target[start..end]) {
        return Err(Reject::HostInvalid);
    }
    let rest = path_and_query(target, end)?;
    Ok(Target { form: Form::Absolute, authority: Some(Span::new(start, end)), ..rest })
}

/// Returns the length of `http://` or `https://` in front: the only schemes an HTTP server is an origin for.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let front = target.get(..scheme.len())?;
        front.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })
}
