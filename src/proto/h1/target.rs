//! The four forms of a request target (RFC 9112 §3.2).

use super::{Method, Reject, Span, host, scan};

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

/// A request target taken apart; spans count from the start of the line it was parsed from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub(super) form: Form,
    pub(super) authority: Option<Span>,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
}

/// Takes apart the target that is `bytes[start..end]`, looking at each byte once.
pub(super) fn parse(bytes: &[u8], start: usize, end: usize, method: Method) -> Result<Target, Reject> {
    let target = &bytes[start..end];
    match (target, method) {
        (target, Method::Connect) if host::is_host_and_port(target) => {
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

/// Takes apart a target in origin form, `/path?query`: what HTTP/2 sends as `:path` (RFC 9113 §8.3.1).
///
/// # Errors
///
/// It does not begin with `/`, or holds a byte that no target may.
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
    if !host::is_authority(&target[host_at..host_end]) {
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

/// The bytes of a path: visible ASCII without `?`, which ends it, and `#`, which is refused.
const PATH: [u8; 256] = classes(b"?#");

/// The bytes of a query: visible ASCII without `#`.
const QUERY: [u8; 256] = classes(b"#");

/// Gives visible ASCII the class 0, and 1 to these and all other bytes.
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
