//! Responses that the server sends by itself.

use http::{HeaderValue, StatusCode, header};

use super::telemetry::Telemetry;
use crate::{
    conn::{env::Env, io::Io, message::Outcome},
    response::{Response, plain},
    routing::{
        handler::{Answer, Asked, ErrorCause},
        table::Reason,
    },
    spread::spread,
};

/// Returns the answer to a request that no route serves: an error, or 204 to OPTIONS.
pub(in crate::conn) fn unserved(reason: Reason<'_>) -> Answer {
    let plain = |status, text: &'static str| plain(status, text);
    match reason {
        Reason::NotFound => {
            let response = plain(StatusCode::NOT_FOUND, "There is nothing at this path.\n");
            Answer::new(ErrorCause::NotFound, response)
        }
        Reason::NotAllowed(allow) => {
            let text = "This path does not accept this method.\n";
            let response =
                plain(StatusCode::METHOD_NOT_ALLOWED, text).with_header(header::ALLOW, allow.clone());
            Answer::new(ErrorCause::MethodNotAllowed, response)
        }
        Reason::Options(allow) => {
            let response = Response::status_only(StatusCode::NO_CONTENT);
            Answer::success(response.with_header(header::ALLOW, allow.clone()))
        }
        Reason::UnknownMethod => {
            let response = plain(StatusCode::NOT_IMPLEMENTED, "This server does not know this method.\n");
            Answer::new(ErrorCause::NotImplemented, response)
        }
        Reason::Tunnel => {
            let response = plain(StatusCode::NOT_IMPLEMENTED, "This server opens no tunnels.\n");
            Answer::new(ErrorCause::NotImplemented, response)
        }
    }
}

/// Returns an answer to a request that violates the protocol, exceeds a limit or arrives too slowly.
pub(in crate::conn) fn invalid(status: StatusCode, text: &'static str) -> Answer {
    Answer::new(ErrorCause::InvalidRequest, plain(status, text))
}

/// Returns 400 for a path parameter that is not valid text.
pub(in crate::conn) fn bad_parameter() -> Answer {
    invalid(StatusCode::BAD_REQUEST, "A path parameter is not valid UTF-8.\n")
}

/// Returns 413 for a request body above the route's limit.
pub(in crate::conn) fn too_large() -> Answer {
    let text = "The request body is larger than this path accepts.\n";
    Answer::new(ErrorCause::BodyTooLarge, plain(StatusCode::PAYLOAD_TOO_LARGE, text))
}

/// Returns 503 because the shard lags behind, and counts it.
pub(in crate::conn) fn shed(env: &Env, seq: u32) -> Answer {
    env.counters.refused.add("lag");
    busy(env, seq, "the shard lags behind")
}

/// Returns 503 because the server is overloaded; `error` is the reason, for the end hooks. Retry-After is one
/// to three seconds, spread so that clients do not all come back at once.
pub(in crate::conn) fn busy(env: &Env, seq: u32, error: &'static str) -> Answer {
    let seconds = 1 + spread(seq ^ env.now.elapsed().subsec_nanos(), 3);
    unavailable(ErrorCause::Overloaded, error, "The server is busy. Try again later.\n", seconds as u8)
}

/// Returns 503 for a request whose job on the pool was not done by its deadline.
pub(in crate::conn) fn late() -> Answer {
    let text = "The server did not finish this request in time.\n";
    unavailable(ErrorCause::TimedOut, "the job was not done by its deadline", text, 1)
}

/// Returns 503 for a request that the server will not run now. `error` is the reason, for the end hooks,
/// `text` the body, `retry_after` a number of seconds.
pub(in crate::conn) fn unavailable(
    cause: ErrorCause,
    error: &'static str,
    text: &'static str,
    retry_after: u8,
) -> Answer {
    let response = plain(StatusCode::SERVICE_UNAVAILABLE, text).with_error(error);
    let retry_after = HeaderValue::from(u16::from(retry_after));
    Answer::new(cause, response.with_header(header::RETRY_AFTER, retry_after))
}

/// Replaces a response with an interim (1xx) status by 500, and logs it: the client would wait for a final
/// response for ever (RFC 9110 §15.2). A 101 with a protocol to switch to is kept. `telemetry` is that of the
/// request.
pub(in crate::conn) fn without_interim(
    env: &Env,
    io: &Io,
    telemetry: &Telemetry,
    outcome: Outcome,
) -> Outcome {
    let switches =
        outcome.response.status() == StatusCode::SWITCHING_PROTOCOLS && outcome.response.has_handshake();
    if switches || !outcome.response.status().is_informational() {
        return outcome;
    }
    let (status, route) = (outcome.response.status(), telemetry.route_metrics(env).template());
    tracing::error!(%status, route, "handler returned an interim status, answering 500");
    let answer = || Answer::handler_failed("the handler returned an interim status");
    let asked = Asked { head: None, route: Some(route), peer: io.peer };
    let response = env.shaped(io.router, asked, answer());
    if response.status().is_informational() { answer().response.into() } else { response.into() }
}

/// Replaces the start of an event stream or a WebSocket by 503 if other active connections are nine tenths of
/// the server's limit, because long-lived replies must leave room for requests that end soon.
pub(in crate::conn) fn within_room(env: &Env, io: &Io, telemetry: &Telemetry, outcome: Outcome) -> Outcome {
    let (response, status) = (&outcome.response, outcome.response.status());
    let opens_socket =
        response.has_handshake() && (status == StatusCode::SWITCHING_PROTOCOLS || status.is_success());
    if !(opens_socket || response.body().is_endless()) || !env.balance.is_busy(u64::from(io.active)) {
        return outcome;
    }
    env.counters.refused.add("connections");
    let route = telemetry.route_metrics(env).template();
    let asked = Asked { head: None, route: Some(route), peer: io.peer };
    env.shaped(io.router, asked, busy(env, io.id.slot, "too many connections are active")).into()
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
