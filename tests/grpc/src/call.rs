//! Methods of a service as routes: one message or a stream of them, either way.
//!
//! | in \ out | one message | a stream |
//! |---|---|---|
//! | one message | [`unary`] | [`each`], or [`stream`] that takes one |
//! | a stream | [`once`] | [`stream`] |
//!
//! A route runs inline on its connection's shard or async on the pool, as any other; its call ends when its deadline
//! (`grpc-timeout`) has passed, and is dropped where it stands when its client gives it up.

mod incoming;
mod outgoing;

use std::{
    future::Future,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use prost::Message;
use windlass::{
    Body, Frame, Request, Response, Route,
    http::{HeaderMap, StatusCode},
    post,
};

pub use incoming::Messages;
pub use outgoing::Replies;
use outgoing::{Iterated, Produced};

use crate::{
    timer::within,
    wire::{self, Code, PREFIX_BYTES, Status},
};

/// One call as its method sees it.
#[derive(Debug)]
pub struct Call<T> {
    /// The message, or the stream of them.
    pub content: T,
    /// The request: its headers are the metadata of the call. Its body was taken.
    pub request: Request,
    /// When the client stops waiting, if it said so.
    pub deadline: Option<Instant>,
}

/// What a method answers, and the metadata around it.
#[derive(Debug, Default)]
pub struct Reply<T> {
    /// The message, or what makes a stream of them.
    pub content: T,
    /// Sent before it, as headers.
    pub initial: HeaderMap,
    /// Sent behind it, as trailers beside the status.
    pub trailing: HeaderMap,
}

impl<T> Reply<T> {
    /// Makes a reply without metadata.
    pub fn new(content: T) -> Self {
        Self { content, initial: HeaderMap::new(), trailing: HeaderMap::new() }
    }

    /// Puts other content between the same metadata.
    pub fn with<R>(self, content: R) -> Reply<R> {
        Reply { content, initial: self.initial, trailing: self.trailing }
    }

    /// Begins the response; the body is still to come.
    fn head(initial: &HeaderMap) -> Response {
        let mut response = Response::typed(wire::CONTENT_TYPE, Body::empty());
        for (name, value) in initial {
            response.fields_mut().append(name.clone(), value.clone());
        }
        response
    }
}

impl<R: Message> Reply<R> {
    fn into_response(mut self) -> Result<Response, Status> {
        let mut out = BytesMut::with_capacity(PREFIX_BYTES + self.content.encoded_len());
        wire::push(&self.content, &mut out)?;
        Status::ok().write(&mut self.trailing);
        Ok(Self::head(&self.initial).with_body(Body::from(out.freeze()).with_trailers(self.trailing)))
    }
}

/// Makes a route of a method that takes one message and returns one.
///
/// The message is collected before the method runs: the cheapest there is. One larger than [`wire::MESSAGE_BYTES`] is
/// answered by the server itself, `413`, which clients report as `UNKNOWN`.
pub fn unary<M, R, F, Fut>(path: &str, method: F) -> Route
where
    M: Message + Default,
    R: Message,
    F: Fn(Call<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply<R>, Status>> + 'static,
{
    let route = post(path, move |request: Request| {
        let called = open(request).and_then(|call| whole(call).map_err(Status::into_response));
        let called = called.map(|call| (call.deadline, method(call)));
        async move {
            match called {
                Ok((deadline, running)) => answer(within(deadline, running).await),
                Err(refusal) => refusal,
            }
        }
    });
    route.body_limit(wire::MESSAGE_BYTES + PREFIX_BYTES)
}

/// Makes a route of a method that takes one message and returns as many as an iterator gives, without waiting.
pub fn each<M, R, I, F>(path: &str, method: F) -> Route
where
    M: Message + Default,
    R: Message + 'static,
    I: Iterator<Item = R> + Send + 'static,
    F: Fn(Call<M>) -> Result<Reply<I>, Status> + Send + Sync + 'static,
{
    let route = post(path, move |request: Request| {
        let called =
            open(request).and_then(|call| whole(call).and_then(&method).map_err(Status::into_response));
        let response = called.map(|Reply { content, initial, trailing }| {
            Reply::<()>::head(&initial).with_body(Body::source(Iterated::new(content, trailing)))
        });
        std::future::ready(response)
    });
    route.body_limit(wire::MESSAGE_BYTES + PREFIX_BYTES)
}

/// Makes a route of a method that takes a stream of messages and returns one.
pub fn once<M, R, F, Fut>(path: &str, method: F) -> Route
where
    M: Message + Default + 'static,
    R: Message,
    F: Fn(Call<Messages<M>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply<R>, Status>> + 'static,
{
    let route = post(path, move |request: Request| {
        let called = open(request).map(|call| (call.deadline, method(streamed(call))));
        async move {
            match called {
                Ok((deadline, running)) => answer(within(deadline, running).await),
                Err(refusal) => refusal,
            }
        }
    });
    route.streamed()
}

/// Makes a route of a method that takes a stream of messages and writes one.
///
/// The method says at once what precedes the stream; the future in its reply then reads, writes to the [`Replies`] it
/// was given, and ends the call.
pub fn stream<M, R, F, Fut>(path: &str, method: F) -> Route
where
    M: Message + Default + 'static,
    R: Message + 'static,
    F: Fn(Call<Messages<M>>, Replies<R>) -> Reply<Fut> + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Status>> + Send + 'static,
{
    let route = post(path, move |request: Request| {
        let response = open(request).map(|call| {
            let replies = Replies::default();
            let (deadline, buffer) = (call.deadline, replies.buffer());
            let Reply { content, initial, trailing } = method(streamed(call), replies);
            let source = Produced::new(content, deadline, buffer, trailing);
            Reply::<()>::head(&initial).with_body(Body::source(source))
        });
        // A future, so that the pool runs it beside others: what it leaves behind may wait.
        std::future::ready(response)
    });
    route.streamed()
}

/// Answers calls of methods that no route has; anything else is told that it is not here.
pub fn unknown(request: Request) -> Response {
    match request.content_type() {
        Some(content_type) if wire::is_grpc(content_type) => {
            let what = format!("there is no method {}", request.path());
            Status::new(Code::UNIMPLEMENTED, what).into_response()
        }
        _ => Response::text("There is nothing here.\n").with_status(StatusCode::NOT_FOUND),
    }
}

/// Looks at the head of a call; the error is the response to what is none.
fn open(mut request: Request) -> Result<Call<Body>, Response> {
    if !request.content_type().is_some_and(wire::is_grpc) {
        return Err(Response::status_only(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let deadline = match request.header("grpc-timeout").map(timeout) {
        None => None,
        Some(Some(timeout)) => Instant::now().checked_add(timeout),
        Some(None) => return Err(Status::new(Code::INTERNAL, "grpc-timeout is none").into_response()),
    };
    Ok(Call { content: request.take_body(), request, deadline })
}

/// Reads up to eight digits and their unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

fn whole<M: Message + Default>(call: Call<Body>) -> Result<Call<M>, Status> {
    let Call { mut content, request, deadline } = call;
    // The route has collected it: one piece, or none.
    let bytes = match content.poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(Frame::Data(bytes)))) => bytes,
        _ => Bytes::new(),
    };
    Ok(Call { content: wire::only(bytes)?, request, deadline })
}

fn streamed<M>(call: Call<Body>) -> Call<Messages<M>> {
    let Call { content, request, deadline } = call;
    Call { content: Messages::new(content), request, deadline }
}

fn answer<R: Message>(ended: Result<Reply<R>, Status>) -> Response {
    ended.and_then(Reply::into_response).unwrap_or_else(Status::into_response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        assert_eq!(timeout("1m"), Some(Duration::from_millis(1)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("0n"), Some(Duration::ZERO));
        for bad in ["", "m", "1", "-1S", "123456789S", "1s", "1 S", "1é", "é"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
