//! What the server answers by itself, and when. The same for every protocol.

use http::{HeaderValue, StatusCode, header};

use super::{Env, Io, Outcome};
use crate::response::{Response, plain};

/// The answer where the path is known and the method is not.
pub(super) fn not_allowed(allow: &HeaderValue) -> Response {
    let response = plain(StatusCode::METHOD_NOT_ALLOWED, "This path does not answer that method.\n");
    response.with_header(header::ALLOW, allow.clone())
}

/// The answer to OPTIONS where no route answers it.
pub(super) fn options(allow: &HeaderValue) -> Response {
    Response::status_only(StatusCode::NO_CONTENT).with_header(header::ALLOW, allow.clone())
}

/// The answer where there is no such path.
pub(super) fn nothing() -> Response {
    plain(StatusCode::NOT_FOUND, "There is nothing at this path.\n")
}

/// The answer to a path parameter that is no text.
pub(super) fn bad_parameter() -> Response {
    plain(StatusCode::BAD_REQUEST, "A path parameter is not valid UTF-8.\n")
}

/// The answer to a body beyond its limit.
pub(super) fn too_large() -> Outcome {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "The request body is larger than this route takes.\n").into()
}

/// Replaces an interim status: the peer would wait for another answer for ever (RFC 9110 §15.2).
pub(super) fn final_answer(outcome: Outcome) -> Outcome {
    let switches =
        outcome.response.status() == StatusCode::SWITCHING_PROTOCOLS && outcome.response.has_successor();
    if switches || !outcome.response.status().is_informational() {
        return outcome;
    }
    tracing::error!(status = %outcome.response.status(), "a handler answered with an interim status; answering 500");
    let response = plain(StatusCode::INTERNAL_SERVER_ERROR, "The handler of this path failed.\n");
    Outcome { response, error: Some("the handler answered with an interim status") }
}

/// Answers an extended CONNECT that nothing of came: a success would be the beginning of a tunnel.
#[cfg(feature = "http2")]
pub(super) fn no_tunnel(response: Response) -> Response {
    if !response.status().is_success() {
        return response;
    }
    plain(StatusCode::NOT_IMPLEMENTED, "Nothing is opened at this path.\n")
}

/// Says whether the connection has reached its age; spread over a tenth so that not all end together.
pub(super) fn is_old(env: &Env, io: &Io) -> bool {
    let Some(age) = env.timeouts.age else { return false };
    let spread = u32::from(io.id.slot.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]);
    env.now.saturating_duration_since(io.opened) >= age - age / 10 * spread / 256
}
