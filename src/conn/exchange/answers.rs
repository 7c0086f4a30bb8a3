//! Responses that the server sends by itself.

use http::{HeaderValue, StatusCode, header};

use crate::{
    conn::{env::Env, message::Outcome},
    response::{Response, plain},
    spread::spread,
};

/// Returns 405 for a known path without a route for the request's method.
pub(in crate::conn) fn method_not_allowed(allow: &HeaderValue) -> Response {
    let response = plain(StatusCode::METHOD_NOT_ALLOWED, "This path does not accept this method.\n");
    response.with_header(header::ALLOW, allow.clone())
}

/// Returns 204 for an OPTIONS request without a route of its own.
pub(in crate::conn) fn options(allow: &HeaderValue) -> Response {
    Response::status_only(StatusCode::NO_CONTENT).with_header(header::ALLOW, allow.clone())
}

/// Returns 404.
pub(in crate::conn) fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "There is nothing at this path.\n")
}

/// Returns 400 for a path parameter that is not valid text.
pub(in crate::conn) fn bad_parameter() -> Response {
    plain(StatusCode::BAD_REQUEST, "A path parameter is not valid UTF-8.\n")
}

/// Returns 413 for a request body above the route's limit.
pub(in crate::conn) fn too_large() -> Outcome {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "The request body is larger than this path accepts.\n").into()
}

/// Returns 500 for a handler that panicked.
pub(in crate::conn) fn panicked() -> Outcome {
    handler_failed("the handler panicked")
}

/// Returns 503 because the shard lags behind, and counts it.
pub(in crate::conn) fn shed(env: &Env, seq: u32) -> Outcome {
    env.counters.refused.add("lag");
    busy(env, seq, "the shard lags behind")
}

/// Returns 503 because the server is overloaded. Retry-After is spread over one to three seconds, so that
/// clients do not all come back at once.
pub(in crate::conn) fn busy(env: &Env, seq: u32, error: &'static str) -> Outcome {
    let seconds = 1 + spread(seq ^ env.now.elapsed().subsec_nanos(), 3);
    unavailable(error, "The server is busy.\n", seconds as u8)
}

/// Returns 503 for a request whose job was not done in time.
pub(in crate::conn) fn late() -> Outcome {
    unavailable("the job was late", "The server did not finish this request in time.\n", 1)
}

/// Returns 503 for a request that the server will not run now. `retry_after` is in seconds.
pub(in crate::conn) fn unavailable(error: &'static str, text: &'static str, retry_after: u8) -> Outcome {
    let response: Response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    let response = response.with_header(header::RETRY_AFTER, HeaderValue::from(u16::from(retry_after)));
    Outcome { response, error: Some(error) }
}

/// Replaces a response with an interim (1xx) status by 500: the client would wait for a final response for
/// ever (RFC 9110 §15.2). A 101 with a protocol to switch to is kept.
pub(in crate::conn) fn without_interim(outcome: Outcome) -> Outcome {
    let switches =
        outcome.response.status() == StatusCode::SWITCHING_PROTOCOLS && outcome.response.has_handshake();
    if switches || !outcome.response.status().is_informational() {
        return outcome;
    }
    tracing::error!(status = %outcome.response.status(), "handler returned an interim status, answering 500");
    handler_failed("the handler returned an interim status")
}

/// Replaces a successful response to an extended CONNECT that opened no WebSocket by 501: the client would
/// take success for the start of a tunnel.
#[cfg(feature = "http2")]
pub(in crate::conn) fn without_tunnel(response: Response) -> Response {
    if !response.status().is_success() {
        return response;
    }
    plain(StatusCode::NOT_IMPLEMENTED, "This path does not open a WebSocket.\n")
}

fn handler_failed(error: &'static str) -> Outcome {
    let response = plain(StatusCode::INTERNAL_SERVER_ERROR, "The server failed to handle this request.\n");
    Outcome { response, error: Some(error) }
}
