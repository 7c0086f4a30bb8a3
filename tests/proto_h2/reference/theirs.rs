//! The crate `h2`, driven in memory.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context as TaskContext, Poll, Waker},
};

use ::h2::{
    RecvStream,
    server::{Builder, Connection as Reference, Handshake},
};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::step::{BODY, Request, Step, limits, note_sent, sorted};
use crate::common::frames::PREFACE;

/// A socket of two buffers.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<(Vec<u8>, Vec<u8>)>>);

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let input = &mut self.0.borrow_mut().0;
        if input.is_empty() {
            return Poll::Pending;
        }
        let len = input.len().min(into.remaining());
        into.put_slice(&input[..len]);
        input.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().1.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

enum Phase {
    Greeting(Handshake<Pipe, Bytes>),
    Open(Reference<Pipe, Bytes>),
    Over,
}

/// The crate.
pub(super) struct Theirs {
    pipe: Pipe,
    phase: Phase,
    bodies: Vec<(u32, RecvStream)>,
}

impl Theirs {
    pub(super) fn new() -> Self {
        let limits = limits();
        let pipe = Pipe::default();
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(limits.streams)
            .initial_window_size(limits.stream_window_bytes)
            .initial_connection_window_size(limits.connection_window_bytes)
            .max_header_list_size(limits.header_list_bytes as u32)
            .max_local_error_reset_streams(None)
            .max_concurrent_reset_streams(1000);
        Self { phase: Phase::Greeting(builder.handshake(pipe.clone())), pipe, bodies: Vec::new() }
    }

    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        self.pipe.0.borrow_mut().0.extend_from_slice(bytes);
        let mut step = Step::default();
        let mut cx = TaskContext::from_waker(Waker::noop());
        // What is read makes more to write, and the other way round.
        for _ in 0..4 {
            if let Phase::Greeting(handshake) = &mut self.phase {
                match Pin::new(handshake).poll(&mut cx) {
                    Poll::Ready(Ok(connection)) => self.phase = Phase::Open(connection),
                    Poll::Ready(Err(_)) => self.phase = Phase::Over,
                    Poll::Pending => {}
                }
            }
            let mut is_over = false;
            if let Phase::Open(connection) = &mut self.phase {
                loop {
                    match connection.poll_accept(&mut cx) {
                        Poll::Pending => break,
                        Poll::Ready(Some(Ok((request, mut respond)))) => {
                            let id = respond.stream_id().as_u32();
                            let (parts, body) = request.into_parts();
                            let stream = step.of(id);
                            stream.request = Some(Request {
                                method: parts.method.to_string(),
                                path: parts.uri.path().to_owned(),
                                fields: sorted(
                                    parts.headers.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes())),
                                ),
                            });
                            stream.ends = body.is_end_stream();
                            if let Ok(mut send) = respond.send_response(http::Response::new(()), false) {
                                let _ = send.send_data(Bytes::from_static(BODY), true);
                            }
                            self.bodies.push((id, body));
                        }
                        Poll::Ready(_) => {
                            is_over = true;
                            break;
                        }
                    }
                }
            }
            self.bodies.retain_mut(|(id, body)| read_body(&mut step, *id, body, &mut cx));
            if is_over {
                self.phase = Phase::Over;
            }
        }
        let sent = std::mem::take(&mut self.pipe.0.borrow_mut().1);
        note_sent(&mut step, sent.strip_prefix(PREFACE).unwrap_or(&sent));
        step
    }
}

/// Reads what is there of a body; says whether more may come.
fn read_body(step: &mut Step, id: u32, body: &mut RecvStream, cx: &mut TaskContext<'_>) -> bool {
    loop {
        let polled = body.poll_data(cx);
        match polled {
            Poll::Pending => return true,
            Poll::Ready(Some(Ok(data))) => {
                let stream = step.of(id);
                stream.body.extend_from_slice(&data);
                stream.ends |= body.is_end_stream();
                let _ = body.flow_control().release_capacity(data.len());
            }
            Poll::Ready(Some(Err(_))) => {
                step.of(id).gone = true;
                return false;
            }
            Poll::Ready(None) => {
                let stream = step.of(id);
                match body.poll_trailers(cx) {
                    Poll::Ready(Ok(trailers)) => {
                        stream.ends = true;
                        let trailers = trailers.unwrap_or_default();
                        stream.trailers =
                            sorted(trailers.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes())));
                    }
                    Poll::Ready(Err(_)) => stream.gone = true,
                    Poll::Pending => return true,
                }
                return false;
            }
        }
    }
}
