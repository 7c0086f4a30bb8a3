//! A `tracing` span around each request, connected to the trace of its client (W3C Trace Context).

use std::fmt;

use tracing::{Instrument, field};

use super::random;
use crate::{
    request::{Request, RequestId},
    routing::handler::{Middleware, Next, ResponseFuture},
};

/// Name of the header field with the trace.
const FIELD: &str = "traceparent";

/// Runs each request in a `tracing` span named `request`, at level INFO.
///
/// The span has the fields `method`, `route` (the path template), `status`, `request_id`, `trace_id`,
/// `span_id` and `parent_id`. Trace and parent come from the header `traceparent` of the request (W3C Trace
/// Context); without a valid one the request begins a trace. The request gets a [`TraceContext`] as an
/// extension, whose [header](TraceContext::header) a handler passes on to other services.
///
/// ```
/// use windlass::{Router, extract::Extension, get, middleware::{Trace, TraceContext}};
///
/// let handler = |Extension(trace): Extension<TraceContext>| format!("traceparent: {}", trace.header());
/// let router = Router::new().with(Trace::new()).route(get("/", handler));
/// # let _ = router;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace(());

/// The place of a request in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    parent_id: Option<u64>,
    flags: u8,
}

impl TraceContext {
    /// Creates the context of a request whose `traceparent` has this value. Begins a trace, without the flag
    /// `sampled`, if there is no valid value.
    fn of(value: Option<&str>) -> Self {
        let span_id = random::number().max(1);
        match value.and_then(parse) {
            Some((trace_id, parent_id, flags)) => {
                Self { trace_id, span_id, parent_id: Some(parent_id), flags }
            }
            None => {
                let trace_id = (u128::from(random::number()) << 64) | u128::from(random::number());
                Self { trace_id: trace_id.max(1), span_id, parent_id: None, flags: 0 }
            }
        }
    }

    /// Returns the identifier of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// Returns the identifier of this request's span: 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Returns the value of `traceparent` for requests to other services.
    pub fn header(&self) -> String {
        let Self { trace_id, span_id, flags, .. } = self;
        format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

impl Trace {
    /// Creates the middleware.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Middleware for Trace {
    fn wrap(&self, mut request: Request, next: Next) -> ResponseFuture {
        let context = TraceContext::of(request.header(FIELD));
        let span = tracing::info_span!(
            "request",
            method = %request.method(),
            route = next.route(),
            request_id = request.id().as_ref().map(RequestId::as_str),
            trace_id = %Hex(context.trace_id, 32),
            span_id = %Hex(context.span_id.into(), 16),
            parent_id = context.parent_id.map(|id| field::display(Hex(id.into(), 16))),
            status = field::Empty,
        );
        request.extensions_mut().insert(context);
        let recorded = span.clone();
        let answer = async move {
            let response = next.run(request).await;
            recorded.record("status", response.status().as_u16());
            response
        };
        Box::pin(answer.instrument(span))
    }
}

/// A number as hexadecimal digits, with leading zeros.
struct Hex(u128, usize);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.0, width = self.1)
    }
}

/// Parses a `traceparent` (W3C Trace Context §3.2): trace, parent and flags. Of a later version the known
/// part is used.
fn parse(value: &str) -> Option<(u128, u64, u8)> {
    let mut parts = value.split('-');
    let (version, trace) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
    let (parent, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
    let has_more = parts.next().is_some();
    let is_valid = version != 0xff && trace != 0 && parent != 0 && !(version == 0 && has_more);
    // Of the flags only `sampled` is defined.
    is_valid.then_some((trace, parent as u64, flags as u8 & 1))
}

/// Parses exactly this number of lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_valid = text.len() == digits && text.bytes().all(is_digit);
    u128::from_str_radix(text, 16).ok().filter(|_| is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_continued_and_an_invalid_one_is_not() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::of(Some(valid));
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent_id, Some(0x00f0_67aa_0ba9_02b7));
        assert!(context.header().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{}", context.header());
        assert!(context.header().ends_with("-01") && !context.header().contains("00f067aa0ba902b7"));
        assert!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-future").is_some());
        for invalid in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(invalid), None, "{invalid}");
            assert_eq!(TraceContext::of(Some(invalid)).parent_id, None);
        }
        assert_ne!(TraceContext::of(None).trace_id, TraceContext::of(None).trace_id);
    }
}
