//! HTTP routes for operators: disconnecting a subject.

use std::sync::Arc;

use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::{
    access::{has_token, unauthorized},
    json,
};
use crate::{
    identity::Subjects,
    pubsub::event::from_json,
    request::Request,
    response::{Response, plain},
    routing::{route::post, router::Router},
};

/// Longest subject, bytes.
const SUBJECT_BYTES: usize = 1024;

/// Adds the routes for operators to a router. Each request needs `token` as `Authorization: Bearer TOKEN`.
///
/// - `POST /admin/disconnect` with the body `{"subject":"alice"}` ends all streams of this subject, and
///   refuses its tokens that were issued until now: see [`Subjects::disconnect`]. The response is
///   `{"subject":"alice","streams":2}`, with the number of streams that end.
///
/// Give `subjects` to [`TopicAccess::subjects`](crate::TopicAccess::subjects) too.
pub fn admin_routes(router: Router, subjects: &Subjects, token: impl Into<String>) -> Router {
    let (subjects, token) = (subjects.clone(), Arc::new(token.into()));
    router.route(post("/admin/disconnect", move |request: Request| disconnect(&request, &subjects, &token)))
}

/// The body of a request to disconnect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect {
    subject: String,
}

/// The answer to a request to disconnect.
#[derive(Serialize)]
struct Disconnected {
    subject: String,
    streams: usize,
}

fn disconnect(request: &Request, subjects: &Subjects, token: &str) -> Response {
    if !has_token(request, token, None) {
        return unauthorized("Access denied: this needs the admin token.\n", "Bearer");
    }
    // A page of another origin cannot send the token, so no other check is needed.
    let body = request.body().as_bytes().unwrap_or_default();
    let subject = match from_json::<Disconnect>(body) {
        Ok(Disconnect { subject }) if (1..=SUBJECT_BYTES).contains(&subject.len()) => subject,
        Ok(_) => return plain(StatusCode::BAD_REQUEST, "Invalid subject: use 1 to 1024 bytes.\n"),
        Err(_) => {
            let text = "Invalid body: send a JSON object such as {\"subject\":\"alice\"}.\n";
            return plain(StatusCode::BAD_REQUEST, text);
        }
    };
    let done = subjects.disconnect(&subject);
    let counters = request.counters();
    counters.auth_disconnects.add("done");
    if done.forgot_another {
        counters.auth_disconnects.add("forgot_another");
        tracing::warn!("table of disconnected subjects is full, forgetting the earliest");
    }
    tracing::info!(subject, streams = done.streams, "subject disconnected");
    json(&Disconnected { subject, streams: done.streams }).with_header(header::CACHE_CONTROL, "no-store")
}
