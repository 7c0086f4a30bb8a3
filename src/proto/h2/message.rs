//! Messages (RFC 9113 §8): takes the field lines of a header section as they are decoded, and judges the whole.
//!
//! There are three verdicts. A request that HTTP/2 calls malformed is reset. One that HTTP/1.1 would refuse in the
//! same words is answered with a status: the rules for methods, targets, authorities, lengths and values are those of
//! [`semantics`](crate::proto::semantics). Any other is served.

use super::{Head, Limits, Priority, StreamFault, hpack::Line, hpack::Name};
use crate::proto::semantics::{
    Expectation, Field, Form, Method, Reject, Span, content_length, expectation, is_authority,
    is_forbidden_trailer, is_same_authority, is_token, parse_target,
};

/// Header lists that are so many times larger than allowed end the connection: the peer was told the limit.
const EXCESS_FACTOR: usize = 4;

/// Bytes that each field counts beyond its name and value (RFC 9113 §6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Bytes around a name and a value of HTTP/1.1: `: ` and a line end.
const LINE_OVERHEAD_BYTES: usize = 4;

/// What a header section has shown so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Size of the header list.
    list_bytes: usize,
    has_method: bool,
    scheme: Option<Scheme>,
    target: Option<Span>,
    host: Option<Span>,
    /// A field came that is no pseudo-header field.
    regular: bool,
    cookies: u32,
    malformed: Option<&'static str>,
    reject: Option<Reject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    /// One that this server is no origin for.
    Other,
}

/// A header list so large that the connection ends.
pub(super) struct Excess;

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its stream is reset.
    Malformed(StreamFault),
    /// It is answered.
    Reject(Reject),
}

impl Head {
    /// Begins a header section.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.method = Method::Get;
        self.path = Span::default();
        self.query = None;
        self.authority = None;
        self.protocol = None;
        self.is_asterisk = false;
        self.length = None;
        self.expects_continue = false;
        self.priority = None;
        self.seen = Seen::default();
    }

    /// Takes a field line of a request.
    ///
    /// # Errors
    ///
    /// The header list is larger than any that is answered.
    #[inline]
    pub(super) fn take(&mut self, line: Line, limits: &Limits) -> Result<(), Excess> {
        if !self.fits(line, limits)? {
            return Ok(());
        }
        let value = Span::new(line.value, line.end);
        if line.kind.is_pseudo() {
            self.take_pseudo(line.kind, value);
            return Ok(());
        }
        self.seen.regular = true;
        if line.kind != Name::Other {
            self.note(line.kind, value);
        }
        self.push(line, limits);
        Ok(())
    }

    /// Takes a field line of trailers.
    ///
    /// # Errors
    ///
    /// The header list is larger than any that is answered.
    pub(super) fn take_trailer(&mut self, line: Line, limits: &Limits) -> Result<(), Excess> {
        if !self.fits(line, limits)? {
            return Ok(());
        }
        match line.kind {
            kind if kind.is_pseudo() => self.malformed("trailers hold a pseudo-header field"),
            Name::Invalid => self.malformed("a field name is not valid"),
            Name::ConnectionSpecific | Name::Te => self.malformed("trailers hold a connection-specific field"),
            _ => self.push(line, limits),
        }
        Ok(())
    }

    /// Counts a line; `false` for one that is beyond the limit and not kept.
    #[inline]
    fn fits(&mut self, line: Line, limits: &Limits) -> Result<bool, Excess> {
        self.seen.list_bytes += line.end - line.name + FIELD_OVERHEAD_BYTES;
        if self.seen.list_bytes <= limits.header_list_bytes {
            return Ok(true);
        }
        self.bytes.truncate(line.name);
        self.reject(Reject::HeadTooLong);
        if self.seen.list_bytes > limits.header_list_bytes * EXCESS_FACTOR { Err(Excess) } else { Ok(false) }
    }

    #[inline]
    fn push(&mut self, line: Line, limits: &Limits) {
        if !line.is_valid {
            self.reject(Reject::FieldValue);
        }
        if self.fields.len() == limits.headers {
            return self.reject(Reject::TooManyHeaders);
        }
        self.fields.push(Field { name: Span::new(line.name, line.value), value: Span::new(line.value, line.end) });
    }

    fn take_pseudo(&mut self, name: Name, value: Span) {
        if self.seen.regular {
            return self.malformed("a pseudo-header field stands behind a field");
        }
        let is_repeated = match name {
            Name::Method => {
                let token = value.of(&self.bytes);
                self.method = Method::from_bytes(token);
                if self.method == Method::Other && !is_token(token) {
                    self.reject(Reject::Method);
                }
                self.method_at = value;
                std::mem::replace(&mut self.seen.has_method, true)
            }
            Name::Scheme => {
                let scheme = match value.of(&self.bytes) {
                    scheme if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
                    scheme if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
                    _ => Scheme::Other,
                };
                self.seen.scheme.replace(scheme).is_some()
            }
            Name::Authority => self.authority.replace(value).is_some(),
            Name::Path => self.seen.target.replace(value).is_some(),
            Name::Protocol => self.protocol.replace(value).is_some(),
            _ => return self.malformed("a pseudo-header field is not one of a request"),
        };
        if is_repeated {
            self.malformed("a pseudo-header field is repeated");
        }
    }

    /// Takes note of a field that concerns the message itself.
    fn note(&mut self, name: Name, value: Span) {
        let bytes = value.of(&self.bytes);
        match name {
            Name::Host => {
                if self.seen.host.replace(value).is_some() {
                    self.reject(Reject::HostRepeated);
                }
            }
            Name::Cookie => self.seen.cookies += 1,
            Name::ContentLength => match (content_length(bytes), self.length) {
                (None, _) => self.reject(Reject::LengthInvalid),
                (Some(_), Some(_)) => self.malformed("there is more than one content-length"),
                (length, None) => self.length = length,
            },
            Name::Expect => match expectation(bytes) {
                Expectation::Continue => self.expects_continue = true,
                Expectation::Unknown => self.reject(Reject::Expectation),
            },
            Name::Priority => {
                let priority = Priority::parse(bytes);
                self.priority = Some(priority);
            }
            Name::Te if bytes.eq_ignore_ascii_case(b"trailers") => {}
            Name::Te => self.malformed("TE holds something other than trailers"),
            Name::ConnectionSpecific => self.malformed("there is a connection-specific field"),
            Name::Invalid => self.malformed("a field name is not valid"),
            _ => {}
        }
    }

    /// Judges a request whose header section is complete; `ends`: it has no body.
    pub(super) fn finish(&mut self, ends: bool, limits: &Limits) -> Result<(), Refusal> {
        self.settle_control(limits);
        if ends && self.length.is_some_and(|length| length > 0) {
            self.malformed("there is no body of the declared length");
        }
        if let Some(text) = self.seen.malformed {
            return Err(Refusal::Malformed(StreamFault::malformed(text)));
        }
        if let Some(reject) = self.seen.reject {
            return Err(Refusal::Reject(reject));
        }
        self.expects_continue &= !ends;
        if self.seen.cookies > 1 {
            self.join_cookies();
        }
        Ok(())
    }

    /// Judges trailers that are complete, and drops those that no message may have.
    pub(super) fn finish_trailers(&mut self, limits: &Limits) -> Result<(), Refusal> {
        if let Some(text) = self.seen.malformed {
            return Err(Refusal::Malformed(StreamFault::malformed(text)));
        }
        let size = |field: &Field| field.name.len() + field.value.len() + LINE_OVERHEAD_BYTES;
        let is_long = self.fields.iter().map(size).sum::<usize>() > limits.trailer_bytes;
        match self.seen.reject {
            Some(Reject::HeadTooLong) => return Err(Refusal::Reject(Reject::TrailersTooLong)),
            Some(reject) => return Err(Refusal::Reject(reject)),
            None if is_long => return Err(Refusal::Reject(Reject::TrailersTooLong)),
            None => {}
        }
        let bytes = &self.bytes;
        self.fields.retain(|field| !is_forbidden_trailer(field.name.of(bytes)));
        Ok(())
    }

    /// Brings together what the pseudo-header fields say (RFC 9113 §8.3.1, §8.5).
    fn settle_control(&mut self, limits: &Limits) {
        let Seen { has_method, scheme, target, reject, .. } = self.seen;
        if reject == Some(Reject::HeadTooLong) {
            // What is missing may be what was not kept.
            return;
        }
        if !has_method {
            return self.malformed("there is no :method");
        }
        if self.protocol.is_some() && (self.method != Method::Connect || !limits.connect_protocol) {
            return self.malformed(":protocol comes without extended CONNECT");
        }
        if self.method == Method::Connect && self.protocol.is_none() {
            return match (scheme, target, self.authority) {
                (None, None, Some(_)) => {
                    self.path = Span::default();
                    self.settle_authority(None);
                }
                _ => self.malformed("CONNECT has a :scheme or :path, or no :authority"),
            };
        }
        let (Some(scheme), Some(target)) = (scheme, target) else {
            return self.malformed("there is no :scheme, or no :path");
        };
        if target.is_empty() {
            return self.malformed(":path is empty");
        }
        self.settle_target(target, limits);
        self.settle_authority(Some(scheme));
    }

    fn settle_target(&mut self, target: Span, limits: &Limits) {
        if target.len() > limits.target_bytes {
            return self.reject(Reject::LineTooLong);
        }
        // An extended CONNECT has a path as other methods have.
        let method = if self.method == Method::Connect { Method::Get } else { self.method };
        match parse_target(&self.bytes, target.start(), target.end(), method) {
            Ok(parsed) if matches!(parsed.form, Form::Origin | Form::Asterisk) => {
                self.path = parsed.path;
                self.query = parsed.query;
                self.is_asterisk = parsed.form == Form::Asterisk;
            }
            Ok(_) => self.reject(Reject::Target),
            Err(reject) => self.reject(reject),
        }
    }

    /// Decides who the request is for: `:authority`, else Host; both must mean the same.
    fn settle_authority(&mut self, scheme: Option<Scheme>) {
        let default_port: &[u8] = match scheme {
            Some(Scheme::Https) => b"443",
            _ => b"80",
        };
        if scheme == Some(Scheme::Other) {
            self.reject(Reject::Target);
        }
        let of = |span: Span| span.of(&self.bytes);
        let verdict = match (self.authority, self.seen.host) {
            (None, None) => Some(Reject::HostMissing),
            (Some(authority), Some(host)) if !is_same_authority(of(authority), of(host), default_port) => {
                Some(Reject::HostInvalid)
            }
            (authority, host) => {
                self.authority = authority.or(host);
                let is_valid = self.authority.is_some_and(|span| is_authority(of(span)));
                (!is_valid).then_some(Reject::HostInvalid)
            }
        };
        if let Some(reject) = verdict {
            self.reject(reject);
        }
    }

    /// Joins the parts that a client may split a Cookie into (RFC 9113 §8.2.3), behind all other bytes.
    #[cold]
    fn join_cookies(&mut self) {
        let start = self.bytes.len();
        let mut joined: Option<Field> = None;
        let (bytes, fields) = (&mut self.bytes, &mut self.fields);
        fields.retain(|field| {
            if Name::of(field.name.of(bytes)) != Name::Cookie {
                return true;
            }
            if joined.is_some() {
                bytes.extend_from_slice(b"; ");
            }
            bytes.extend_from_within(field.value.start()..field.value.end());
            joined.get_or_insert(*field);
            false
        });
        if let Some(field) = joined {
            fields.push(Field { value: Span::new(start, bytes.len()), ..field });
        }
    }

    fn malformed(&mut self, text: &'static str) {
        self.seen.malformed.get_or_insert(text);
    }

    /// Notes a reason to refuse the request; a list that is too long hides all others, as not all of it is there.
    fn reject(&mut self, reject: Reject) {
        if reject == Reject::HeadTooLong {
            self.seen.reject = Some(reject);
        }
        self.seen.reject.get_or_insert(reject);
    }
}
