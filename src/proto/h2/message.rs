//! Messages (RFC 9113 §8): takes the field lines of a header section as they are decoded, and checks the
//! whole.
//!
//! There are three verdicts. A request that is malformed by HTTP/2 is reset. One that HTTP/1.1 would refuse
//! for the same reason is answered with a status: the rules for methods, targets, authorities, lengths and
//! values are those of [`semantics`](crate::proto::semantics). Any other is served.

use super::{
    Head, Limits, Priority, StreamFault,
    field::{Name, Scheme, Value},
    hpack::{Line, Short},
    seen::Seen,
};
use crate::proto::semantics::{
    Expectation, Field, Method, Reject, Span, content_length, expectation, is_forbidden_trailer,
    is_same_authority,
};

/// Multiple of the allowed size beyond which a header list ends the connection. The peer knows the limit from
/// SETTINGS_MAX_HEADER_LIST_SIZE.
const EXCESS_FACTOR: usize = 4;

/// Bytes that each field counts beyond its name and value (RFC 9113 §6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Bytes that a trailer field counts beyond its name and value: `: ` and a line end, as in HTTP/1.1, so that
/// `trailer_bytes` means the same for both.
const LINE_OVERHEAD_BYTES: usize = 4;

/// A header list so large that the connection ends.
pub(super) struct Excess;

/// Reason why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request is malformed, and its stream is reset.
    Malformed(StreamFault),
    /// The request is answered with the status of this reason.
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
        if !self.fits(line.end - line.name, limits)? {
            self.bytes.truncate(line.name);
            return Ok(());
        }
        if line.kind.is_pseudo() {
            self.take_pseudo(line.kind, line.verdict, Span::new(line.value, line.end));
            return Ok(());
        }
        self.seen.regular = true;
        if line.kind != Name::Other {
            self.note(line.kind, line.verdict, Span::new(line.value, line.end));
        }
        self.push(line, limits);
        Ok(())
    }

    /// Takes a line of a request that is one byte on the wire, as [`take`](Self::take) would.
    ///
    /// # Errors
    ///
    /// The header list is larger than any that is answered.
    #[inline]
    pub(super) fn take_short(&mut self, short: Short, limits: &Limits) -> Result<(), Excess> {
        let (bytes, name, verdict) = match short {
            Short::Get => (":methodGET".len(), Name::Method, Value::Method(Method::Get)),
            Short::Post => (":methodPOST".len(), Name::Method, Value::Method(Method::Post)),
            Short::Http => (":schemehttp".len(), Name::Scheme, Value::Scheme(Scheme::Http)),
            Short::Https => (":schemehttps".len(), Name::Scheme, Value::Scheme(Scheme::Https)),
        };
        if self.fits(bytes, limits)? {
            self.take_pseudo(name, verdict, Span::default());
        }
        Ok(())
    }

    /// Takes a field line of trailers. A line beyond `header_list_bytes` is dropped, and the trailers are
    /// refused.
    ///
    /// # Errors
    ///
    /// The header list is larger than [`EXCESS_FACTOR`] times that limit: the connection ends.
    pub(super) fn take_trailer(&mut self, line: Line, limits: &Limits) -> Result<(), Excess> {
        if !self.fits(line.end - line.name, limits)? {
            self.bytes.truncate(line.name);
            return Ok(());
        }
        match line.kind {
            kind if kind.is_pseudo() => self.malformed("trailers hold a pseudo-header field"),
            Name::Invalid => self.malformed("a field name is not valid"),
            Name::ConnectionSpecific | Name::Te => {
                self.malformed("trailers hold a connection-specific field")
            }
            _ => self.push(line, limits),
        }
        Ok(())
    }

    /// Counts the bytes of a line. Returns `false` if it is beyond the limit and must not be kept.
    #[inline]
    fn fits(&mut self, bytes: usize, limits: &Limits) -> Result<bool, Excess> {
        self.seen.list_bytes += bytes + FIELD_OVERHEAD_BYTES;
        if self.seen.list_bytes <= limits.header_list_bytes {
            return Ok(true);
        }
        self.reject(Reject::HeadTooLong);
        if self.seen.list_bytes > limits.header_list_bytes * EXCESS_FACTOR { Err(Excess) } else { Ok(false) }
    }

    #[inline]
    fn push(&mut self, line: Line, limits: &Limits) {
        if let Value::Refused(reject @ Reject::FieldValue) = line.verdict {
            self.reject(reject);
        }
        if self.fields.len() == limits.headers {
            return self.reject(Reject::TooManyHeaders);
        }
        self.fields
            .push(Field { name: Span::new(line.name, line.value), value: Span::new(line.value, line.end) });
    }

    #[inline]
    fn take_pseudo(&mut self, name: Name, verdict: Value, value: Span) {
        if self.seen.regular {
            return self.malformed("a pseudo-header field follows a regular field");
        }
        let seen = &mut self.seen;
        let is_repeated = match (name, verdict) {
            (Name::Path, verdict) => seen.target.replace((value, verdict)).is_some(),
            (Name::Authority, verdict) => {
                self.authority = Some(value);
                seen.authority.replace(verdict).is_some()
            }
            (Name::Method, Value::Method(method)) => {
                (self.method, self.method_at) = (method, value);
                std::mem::replace(&mut seen.has_method, true)
            }
            (Name::Method, _) => {
                self.method = Method::Other;
                seen.reject.get_or_insert(Reject::Method);
                std::mem::replace(&mut seen.has_method, true)
            }
            (Name::Scheme, Value::Scheme(scheme)) => seen.scheme.replace(scheme).is_some(),
            (Name::Protocol, _) => self.protocol.replace(value).is_some(),
            _ => return self.malformed("a pseudo-header field is not defined for requests"),
        };
        if is_repeated {
            self.malformed("a pseudo-header field is repeated");
        }
    }

    /// Records a field that describes the message itself, such as Host or Content-Length.
    fn note(&mut self, name: Name, verdict: Value, value: Span) {
        let bytes = value.of(&self.bytes);
        match name {
            Name::Host if self.seen.host.is_some() => self.reject(Reject::HostRepeated),
            Name::Host => self.seen.host = Some((value, verdict)),
            Name::Cookie => self.seen.cookies += 1,
            Name::ContentLength => match (content_length(bytes), self.length) {
                (None, _) => self.reject(Reject::LengthInvalid),
                (Some(_), Some(_)) => self.malformed("there is more than one content-length"),
                (length, None) => self.length = length,
            },
            Name::Expect => match expectation(bytes) {
                Expectation::None => {}
                Expectation::Continue => self.expects_continue = true,
                Expectation::Unknown => self.reject(Reject::Expectation),
            },
            Name::Priority => {
                let priority = Priority::parse(bytes);
                self.priority = Some(priority);
            }
            Name::Te if bytes.eq_ignore_ascii_case(b"trailers") => {}
            Name::Te => self.malformed("TE holds something other than trailers"),
            Name::ConnectionSpecific => self.malformed("the request holds a connection-specific field"),
            Name::Invalid => self.malformed("a field name is not valid"),
            _ => {}
        }
    }

    /// Returns the verdict on a request whose header section is complete, and joins its Cookie fields.
    /// `ends`: it has no body.
    pub(super) fn finish(&mut self, ends: bool, limits: &Limits) -> Result<(), Refusal> {
        self.judge_control(limits);
        if ends && self.length.is_some_and(|length| length > 0) {
            self.malformed("the request declares a length but has no body");
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

    /// Returns the verdict on trailers that are complete, and drops fields that may not be trailers.
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

    /// Checks the pseudo-header fields together, and sets path and query (RFC 9113 §8.3.1, §8.5).
    #[inline]
    fn judge_control(&mut self, limits: &Limits) {
        let Seen { has_method, scheme, target, reject, .. } = self.seen;
        if reject == Some(Reject::HeadTooLong) {
            // What is missing may be what was not kept.
            return;
        }
        if !has_method {
            return self.malformed("the request has no :method");
        }
        if self.method == Method::Connect || self.protocol.is_some() {
            return self.judge_connect(limits);
        }
        match (scheme, target) {
            (Some(scheme), Some(target)) => self.judge_target(scheme, target, limits),
            _ => self.malformed("the request has no :scheme, or no :path"),
        }
    }

    fn judge_connect(&mut self, limits: &Limits) {
        let Seen { scheme, target, .. } = self.seen;
        let is_extended = self.protocol.is_some();
        if is_extended && (self.method != Method::Connect || !limits.connect_protocol) {
            return self.malformed(
                ":protocol needs the method CONNECT and a server that has extended CONNECT enabled",
            );
        }
        match (is_extended, scheme, target) {
            (true, Some(scheme), Some(target)) => self.judge_target(scheme, target, limits),
            (false, None, None) if self.authority.is_some() => self.choose_authority(Scheme::Http),
            _ => self.malformed("the pseudo-header fields are not those of CONNECT"),
        }
    }

    #[inline]
    fn judge_target(&mut self, scheme: Scheme, (target, verdict): (Span, Value), limits: &Limits) {
        match verdict {
            _ if target.len() > limits.target_bytes => self.reject(Reject::LineTooLong),
            Value::Origin { path_len } => {
                let end = target.start() + usize::from(path_len);
                self.path = Span::new(target.start(), end);
                self.query = (end < target.end()).then(|| Span::new(end + 1, target.end()));
            }
            Value::Asterisk if self.method == Method::Options => {
                self.path = target;
                self.is_asterisk = true;
            }
            Value::Refused(reject) => self.reject(reject),
            Value::Empty => self.malformed(":path is empty"),
            _ => self.reject(Reject::Target),
        }
        if scheme == Scheme::Other {
            self.reject(Reject::Target);
        }
        self.choose_authority(scheme);
    }

    /// Sets the authority to `:authority`, or else to Host. Refuses the request if both are there and differ,
    /// or none is.
    #[inline]
    fn choose_authority(&mut self, scheme: Scheme) {
        let verdict = match (self.seen.authority, self.seen.host) {
            (Some(verdict), None) => verdict,
            (Some(verdict), Some((host, _))) => match self.is_for(host, scheme) {
                true => verdict,
                false => Value::Refused(Reject::HostInvalid),
            },
            (None, Some((host, verdict))) => {
                self.authority = Some(host);
                verdict
            }
            (None, None) => Value::Refused(Reject::HostMissing),
        };
        if let Value::Refused(reject) = verdict {
            self.reject(reject);
        }
    }

    /// Returns `true` if `:authority` and a Host mean the same host and port.
    fn is_for(&self, host: Span, scheme: Scheme) -> bool {
        let default_port: &[u8] = if scheme == Scheme::Https { b"443" } else { b"80" };
        let authority = self.authority.unwrap_or_default().of(&self.bytes);
        is_same_authority(authority, host.of(&self.bytes), default_port)
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

    /// Notes a reason to refuse the request. The first one counts, but a list that is too long hides all
    /// others, as not all of it was kept.
    fn reject(&mut self, reject: Reject) {
        if reject == Reject::HeadTooLong {
            self.seen.reject = Some(reject);
        }
        self.seen.reject.get_or_insert(reject);
    }
}
