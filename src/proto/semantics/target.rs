//! The four forms of a request target (RFC 9112 §3.2).

use super::{Method, Reject, Span, authority, scan};

/// Form of a request target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`; its host takes precedence over Host.
    Absolute,
    /// `host:port`, with CONNECT only.
    Authority,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// Parts of a request target; spans count from the start of the bytes that it was parsed from.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proto) struct Target {
    pub(in crate::proto) form: Form,
    pub(in crate::proto) authority: Option<Span>,
    pub(in crate::proto) path: Span,
    pub(in crate::proto) query: Option<Span>,
}

/// Parses the target `bytes[start..end]` of a request with this method, reading each byte once. A target that
/// is not valid, or not for this method, is an error.
pub(in crate::proto) fn parse(
    bytes: &[u8],
    start: usize,
    end: usize,
    method: Method,
) -> Result<Target, Reject> {
    let target = &bytes[start..end];
    match (target, method) {
        (target, Method::Connect) if authority::is_host_and_port(target) => {
            let authority = Some(Span::new(start, end));
            Ok(Target { form: Form::Authority, authority, ..Target::default() })
        }
        (_, Method::Connect) => Err(Reject::Target),
        ([b'/', ..], _) => path_and_query(target, start),
        (b"*", Method::Options) => {
            Ok(Target { form: Form::Asterisk, path: Span::new(start, end), ..Target::default() })
        }
        _ => absolute(target, start),
    }
}

/// Parses a target in origin form, `/path?query`, which HTTP/2 sends as `:path` (RFC 9113 §8.3.1). Returns
/// the positions of the path and of the query, which is `None` without a `?`.
///
/// # Errors
///
/// The target does not begin with `/`, or holds a byte that is not allowed in a target.
pub fn origin_form(target: &[u8]) -> Result<(Span, Option<Span>), Reject> {
    match target {
        [b'/', ..] => path_and_query(target, 0).map(|target| (target.path, target.query)),
        _ => Err(Reject::Target),
    }
}

fn path_and_query(part: &[u8], start: usize) -> Result<Target, Reject> {
    let path_len = scan::plain_len(part, &PATH);
    let path = Span::new(start, start + path_len);
    let query = match &part[path_len..] {
        [] => None,
        [b'?', query @ ..] => match query[scan::plain_len(query, &QUERY)..] {
            [byte, ..] => return Err(fault(byte)),
            [] => Some(Span::new(start + path_len + 1, start + part.len())),
        },
        [byte, ..] => return Err(fault(*byte)),
    };
    Ok(Target { form: Form::Origin, authority: None, path, query })
}

fn absolute(target: &[u8], start: usize) -> Result<Target, Reject> {
    let host_at = scheme_len(target).ok_or(Reject::Target)?;
    let host_len = target[host_at..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let host_end = host_len.map_or(target.len(), |len| host_at + len);
    if !authority::is_authority(&target[host_at..host_end]) {
        return Err(Reject::HostInvalid);
    }
    let rest = path_and_query(&target[host_end..], start + host_end)?;
    let authority = Some(Span::new(start + host_at, start + host_end));
    Ok(Target { form: Form::Absolute, authority, ..rest })
}

/// Returns the length of `http://` or `https://` in front: the only schemes an HTTP server is an origin for.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let front = target.get(..scheme.len())?;
        front.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })
}

#[cold]
fn fault(byte: u8) -> Reject {
    match byte {
        b'#' => Reject::TargetFragment,
        0x80.. => Reject::TargetNonAscii,
        _ => Reject::Target,
    }
}

/// Byte classes of a path: visible ASCII, without `?`, which ends the path, and `#`, which is refused.
const PATH: [u8; 256] = classes(b"?#");

/// Byte classes of a query: visible ASCII without `#`.
const QUERY: [u8; 256] = classes(b"#");

/// Returns a table with class 0 for visible ASCII and 1 for `others` and everything else.
const fn classes(others: &[u8]) -> [u8; 256] {
    let mut table = [1; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = 0;
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = 1;
        index += 1;
    }
    table
}
