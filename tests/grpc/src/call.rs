//! Routes for the methods of a gRPC service: one message or a stream in each direction.
//!
//! | request | one response message | response stream |
//! |---|---|---|
//! | one message | [`unary`] | [`server_streaming`], or [`bidirectional`] with one message |
//! | stream | [`client_streaming`] | [`bidirectional`] |
//!
//! A method runs inline or async, as any route. Its call ends at its deadline (`grpc-timeout`) and is dropped
//! if its client cancels it.

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
use outgoing::{IteratorSource, MethodSource};

use crate::{
    timer::with_deadline,
    wire::{self, Code, PREFIX_BYTES, Status},
};

/// A call, as its method receives it.
#[derive(Debug)]
pub struct Call<T> {
    /// The request message or the stream of messages.
    pub content: T,
    /// The request without its body; its headers are the metadata of the call.
    pub request: Request,
    /// Time at which the client stops waiting, if the client set a deadline.
    pub deadline: Option<Instant>,
}

/// Response of a method with its metadata.
#[derive(Debug, Default)]
pub struct Reply<T> {
    /// The response message, or the future or iterator that produces the stream.
    pub content: T,
    /// Metadata sent before the content, as headers.
    pub initial: HeaderMap,
    /// Metadata sent after the content, as trailers next to the status.
    pub trailing: HeaderMap,
}

impl<T> Reply<T> {
    /// Creates a reply without metadata.
    pub fn new(content: T) -> Self {
        Self { content, initial: HeaderMap::new(), trailing: HeaderMap::new() }
    }

    /// Replaces the content and keeps the metadata.
    pub fn with<R>(self, content: R) -> Reply<R> {
        Reply { content, initial: self.initial, trailing: self.trailing }
    }

    /// Builds the response head; the body follows.
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

/// Creates the route of a method that takes one message and returns one.
///
/// The message is collected before the method runs, which is the cheapest way. The server answers a message
/// over [`wire::MESSAGE_BYTES`] with 413, which clients report as `UNKNOWN`.
pub fn unary<M, R, F, Fut>(path: &str, method: F) -> Route
where
    M: Message + Default,
    R: Message,
    F: Fn(Call<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply<R>, Status>> + Send + 'static,
{
    let route = post(path, move |request: Request| {
        let called = open(request).and_then(|call| single_message(call).map_err(Status::into_response));
        let called = called.map(|call| (call.deadline, method(call)));
        async move {
            match called {
                Ok((deadline, running)) => response_of(with_deadline(deadline, running).await),
                Err(refusal) => refusal,
            }
        }
    });
    route.body_limit(wire::MESSAGE_BYTES + PREFIX_BYTES)
}

/// Creates the route of a method that takes one message and returns a stream from an iterator, without
/// waiting.
pub fn server_streaming<M, R, I, F>(path: &str, method: F) -> Route
where
    M: Message + Default,
    R: Message + 'static,
    I: Iterator<Item = R> + Send + 'static,
    F: Fn(Call<M>) -> Result<Reply<I>, Status> + Send + Sync + 'static,
{
    let route = post(path, move |request: Request| {
        let called = open(request)
            .and_then(|call| single_message(call).and_then(&method).map_err(Status::into_response));
        let response = called.map(|Reply { content, initial, trailing }| {
            Reply::<()>::head(&initial).with_body(Body::source(IteratorSource::new(content, trailing)))
        });
        std::future::ready(response)
    });
    route.body_limit(wire::MESSAGE_BYTES + PREFIX_BYTES)
}

/// Creates the route of a method that takes a stream of messages and returns one.
pub fn client_streaming<M, R, F, Fut>(path: &str, method: F) -> Route
where
    M: Message + Default + 'static,
    R: Message,
    F: Fn(Call<Messages<M>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply<R>, Status>> + Send + 'static,
{
    let route = post(path, move |request: Request| {
        let called = open(request).map(|call| (call.deadline, method(message_stream(call))));
        async move {
            match called {
                Ok((deadline, running)) => response_of(with_deadline(deadline, running).await),
                Err(refusal) => refusal,
            }
        }
    });
    route.streamed()
}

/// Creates the route of a method that takes a stream of messages and writes one.
///
/// The method returns the initial metadata at once. The future in its reply then reads messages, writes to
/// its [`Replies`], and ends the call.
pub fn bidirectional<M, R, F, Fut>(path: &str, method: F) -> Route
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
            let Reply { content, initial, trailing } = method(message_stream(call), replies);
            let source = MethodSource::new(content, deadline, buffer, trailing);
            Reply::<()>::head(&initial).with_body(Body::source(source))
        });
        // A ready future, so that the pool runs the route as an async one: the body may wait later.
        std::future::ready(response)
    });
    route.streamed()
}

/// Answers calls of unknown methods with `UNIMPLEMENTED`, and other requests with 404.
pub fn unknown(request: Request) -> Response {
    match request.content_type() {
        Some(content_type) if wire::is_grpc(content_type) => {
            let what = format!("unknown method {}", request.path());
            Status::new(Code::UNIMPLEMENTED, what).into_response()
        }
        _ => Response::text("There is nothing here.\n").with_status(StatusCode::NOT_FOUND),
    }
}

/// Checks the head of a call. The error is the response to a request that is not a valid call.
fn open(mut request: Request) -> Result<Call<Body>, Response> {
    if !request.content_type().is_some_and(wire::is_grpc) {
        return Err(Response::status_only(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let deadline = match request.header("grpc-timeout").map(timeout) {
        None => None,
        Some(Some(timeout)) => Instant::now().checked_add(timeout),
        Some(None) => return Err(Status::new(Code::INTERNAL, "invalid grpc-timeout").into_response()),
    };
    Ok(Call { content: request.take_body(), request, deadline })
}

/// Parses a timeout: up to eight digits and a unit.
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

fn single_message<M: Message + Default>(call: Call<Body>) -> Result<Call<M>, Status> {
    let Call { mut content, request, deadline } = call;
    // The route has collected the body, so it is a single piece or empty.
    let bytes = match content.poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(Frame::Data(bytes)))) => bytes,
        _ => Bytes::new(),
    };
    Ok(Call { content: wire::only(bytes)?, request, deadline })
}

fn message_stream<M>(call: Call<Body>) -> Call<Messages<M>> {
    let Call { content, request, deadline } = call;
    Call { content: Messages::new(content), request, deadline }
}

fn response_of<R: Message>(ended: Result<Reply<R>, Status>) -> Response {
    ended.and_then(Reply::into_response).unwrap_or_else(Status::into_response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(timeout("1m"), Some(Duration::from_millis(1)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("0n"), Some(Duration::ZERO));
        for bad in ["", "m", "1", "-1S", "123456789S", "1s", "1 S", "1é", "é"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
