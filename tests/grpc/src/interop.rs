//! `grpc.testing.TestService`, as described by gRPC's interoperability tests.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use windlass::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue},
};

use crate::{
    call::{self, Call, Messages, Replies, Reply},
    messages::{
        EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
        StreamingOutputCallResponse,
    },
    timer::Timer,
    wire::{Code, MESSAGE_BYTES, Status},
};

/// Request metadata that is echoed as a response header.
pub const ECHO_INITIAL: HeaderName = HeaderName::from_static("x-grpc-test-echo-initial");

/// Request metadata that is echoed as a response trailer.
pub const ECHO_TRAILING: HeaderName = HeaderName::from_static("x-grpc-test-echo-trailing-bin");

/// The service. It counts its running calls.
#[derive(Clone, Debug, Default)]
pub struct TestService {
    running: Arc<AtomicUsize>,
}

impl TestService {
    /// Returns the number of streaming calls that have started and have not ended or been dropped.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Creates the routes of the service; other methods answer `UNIMPLEMENTED`.
    pub fn router(&self) -> Router {
        let (input, output, duplex) = (self.clone(), self.clone(), self.clone());
        Router::new()
            .group("/grpc.testing.TestService", move |service| {
                service
                    .route(call::unary("/EmptyCall", empty_call))
                    .route(call::unary("/UnaryCall", unary_call))
                    .route(call::client_streaming("/StreamingInputCall", move |call| {
                        input.counted(streaming_input(call))
                    }))
                    .route(call::bidirectional("/StreamingOutputCall", move |call, replies| {
                        let reply = reply_with_echo(&call, ());
                        reply.with(output.counted(streaming_output(call.content, replies)))
                    }))
                    .route(call::bidirectional("/FullDuplexCall", move |call, replies| {
                        let reply = reply_with_echo(&call, ());
                        reply.with(duplex.counted(full_duplex(call.content, replies)))
                    }))
            })
            .not_found(call::unknown)
    }

    /// Counts a call until it ends or is dropped.
    fn counted<T, F: Future<Output = T>>(&self, call: F) -> impl Future<Output = T> + use<T, F> {
        let running = Running::begin(&self.running);
        async move {
            let result = call.await;
            drop(running);
            result
        }
    }
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn empty_call(call: Call<Empty>) -> Result<Reply<Empty>, Status> {
    Ok(reply_with_echo(&call, Empty {}))
}

async fn unary_call(call: Call<SimpleRequest>) -> Result<Reply<SimpleResponse>, Status> {
    requested_status(call.content.response_status.as_ref())?;
    let payload = zeros(call.content.response_size)?;
    Ok(reply_with_echo(&call, SimpleResponse { payload: Some(payload) }))
}

async fn streaming_input(
    mut call: Call<Messages<StreamingInputCallRequest>>,
) -> Result<Reply<StreamingInputCallResponse>, Status> {
    let mut sum = 0_usize;
    while let Some(message) = call.content.next().await? {
        sum = sum.saturating_add(message.payload.map_or(0, |payload| payload.body.len()));
    }
    let aggregated_payload_size = i32::try_from(sum).unwrap_or(i32::MAX);
    Ok(Reply::new(StreamingInputCallResponse { aggregated_payload_size }))
}

async fn streaming_output(
    mut requests: Messages<StreamingOutputCallRequest>,
    mut replies: Replies<StreamingOutputCallResponse>,
) -> Result<(), Status> {
    let one =
        |request: Option<_>| request.ok_or_else(|| Status::new(Code::INTERNAL, "the call has no message"));
    let request = one(requests.next().await?)?;
    serve(request, &mut replies).await?;
    match requests.next().await? {
        None => Ok(()),
        Some(_) => Err(Status::new(Code::INTERNAL, "the call takes exactly one message")),
    }
}

async fn full_duplex(
    mut requests: Messages<StreamingOutputCallRequest>,
    mut replies: Replies<StreamingOutputCallResponse>,
) -> Result<(), Status> {
    while let Some(request) = requests.next().await? {
        serve(request, &mut replies).await?;
    }
    Ok(())
}

/// Writes the responses that a request describes.
async fn serve(
    request: StreamingOutputCallRequest,
    replies: &mut Replies<StreamingOutputCallResponse>,
) -> Result<(), Status> {
    requested_status(request.response_status.as_ref())?;
    for ResponseParameters { size, interval_us } in request.response_parameters {
        if let Ok(wait @ 1..) = u64::try_from(interval_us) {
            Timer::after(Duration::from_micros(wait)).await;
        }
        replies.send(&StreamingOutputCallResponse { payload: Some(zeros(size)?) }).await?;
    }
    Ok(())
}

/// Ends the call with the status that its request names, if any.
fn requested_status(status: Option<&EchoStatus>) -> Result<(), Status> {
    match status.map(|status| (u32::try_from(status.code), status.message.clone())) {
        None | Some((Ok(0), _)) => Ok(()),
        Some((Ok(code), message)) => Err(Status::new(Code(code), message)),
        Some((Err(_), _)) => Err(Status::new(Code::INVALID_ARGUMENT, "a status code must not be negative")),
    }
}

fn zeros(length: i32) -> Result<Payload, Status> {
    match usize::try_from(length) {
        Ok(length) if length < MESSAGE_BYTES => Ok(Payload::zeros(length)),
        _ => Err(Status::new(Code::INVALID_ARGUMENT, "invalid payload length")),
    }
}

/// Creates a reply with the metadata that the request asks to be echoed.
fn reply_with_echo<T, R>(call: &Call<T>, content: R) -> Reply<R> {
    let mut reply = Reply::new(content);
    for (name, into) in [(ECHO_INITIAL, &mut reply.initial), (ECHO_TRAILING, &mut reply.trailing)] {
        echo(call, &name, into);
    }
    reply
}

fn echo<T>(call: &Call<T>, name: &HeaderName, into: &mut HeaderMap) {
    let value = call.request.header_bytes(name).and_then(|value| HeaderValue::from_bytes(value).ok());
    if let Some(value) = value {
        into.insert(name.clone(), value);
    }
}
