//! The handshake as an answer to a request.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc};

use http::{StatusCode, Version};

use super::{Settings, Socket};
use crate::{
    proto::ws::{self as proto, Opening, Refusal, deflate::Params},
    request::Request,
    response::{Response, plain},
};

/// A handler's future, polled by its connection.
pub(crate) type Running = Pin<Box<dyn Future<Output = Finished>>>;

/// What came of a handler: the error it ended with, as a text.
pub(crate) type Finished = Result<(), String>;

/// A handshake that succeeded, on its way to the connection, in the response that says so.
pub(crate) struct Upgrade {
    pub(super) protocol: Option<String>,
    pub(super) deflate: Option<Params>,
    pub(super) settings: Arc<Settings>,
    pub(super) start: Box<dyn FnOnce(Socket) -> Running + Send>,
}

/// What a handshake came to, as the connection finds it in a response.
pub(crate) enum Verdict {
    Opened(Box<Upgrade>),
    Refused(Refusal),
}

impl Verdict {
    /// Takes the verdict out of a response; `None` if it is an ordinary one, as when middleware made another of it.
    pub(crate) fn take(response: &mut Response, version: Version) -> Option<Self> {
        let successor: Box<dyn Any> = response.take_successor()?;
        match successor.downcast() {
            Ok(upgrade) => (response.status() == success(version)).then_some(Self::Opened(upgrade)),
            Err(successor) => successor.downcast().ok().map(|refusal| Self::Refused(*refusal)),
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// The status of a handshake that succeeded (RFC 6455 §4.2.2, RFC 8441 §5).
fn success(version: Version) -> StatusCode {
    if version >= Version::HTTP_2 { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS }
}

/// What a socket's handler may return: nothing, or a `Result`. An error is logged and closes the socket with 1011, a
/// return with 1000, unless it is closed already.
pub trait Finish: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        #[doc(hidden)]
        fn finished(self) -> Result<(), String>;
    }
}

impl sealed::Sealed for () {
    fn finished(self) -> Finished {
        Ok(())
    }
}

impl Finish for () {}

impl<E: fmt::Display> sealed::Sealed for Result<(), E> {
    fn finished(self) -> Finished {
        self.map_err(|error| error.to_string())
    }
}

impl<E: fmt::Display> Finish for Result<(), E> {}

/// Answers a request that opens a WebSocket; any other, and one that `settings` refuse, is answered with what is wrong.
///
/// The request is GET with `Upgrade: websocket`, over HTTP/2 an extended CONNECT, which GET routes get. The handler is
/// called, and its future polled, on the connection's shard, once this answer's head is written.
///
/// ```
/// use windlass::{Request, Response, get, ws};
/// let route = get("/rooms/{room}", |request: Request| -> Response {
///     let room = request.param("room").unwrap_or_default().into_owned();
///     ws::upgrade(&request, &ws::Settings::new(), move |mut socket: ws::Socket| async move {
///         socket.send(format!("welcome to {room}")).await
///     })
/// });
/// ```
pub fn upgrade<F, Fut>(request: &Request, settings: &Settings, handler: F) -> Response
where
    F: FnOnce(Socket) -> Fut + Send + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    answer(request, &Arc::new(settings.clone()), handler)
}

/// Answers a request that opens a WebSocket, with settings that are shared.
pub(crate) fn answer<F, Fut>(request: &Request, settings: &Arc<Settings>, handler: F) -> Response
where
    F: FnOnce(Socket) -> Fut + Send + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    use sealed::Sealed;
    if !request.body().is_empty() {
        return plain(StatusCode::BAD_REQUEST, "A request that opens a WebSocket has no body.\n");
    }
    let opening = Opening {
        method: request.method(),
        version: request.version(),
        authority: request.host().map(str::as_bytes),
        protocol: request.protocol(),
    };
    let accepted = match proto::accept(&opening, request.header_pairs(), &settings.policy) {
        Ok(accepted) => accepted,
        Err(refusal) => return refused(refusal, request.version()),
    };
    let mut response = Response::status_only(accepted.status);
    for (name, value) in &accepted.headers {
        response.fields_mut().append(name.clone(), value.clone());
    }
    response.with_successor(Box::new(Upgrade {
        protocol: accepted.protocol,
        deflate: accepted.deflate,
        settings: settings.clone(),
        // The handler is called in the first poll: a panic of its is contained there.
        start: Box::new(move |socket| Box::pin(async move { handler(socket).await.finished() })),
    }))
}

fn refused(refusal: Refusal, version: Version) -> Response {
    let mut response = Response::text(format!("{refusal}.\n")).with_status(refusal.status());
    for (name, value) in &refusal.headers(version) {
        response.fields_mut().append(name.clone(), value.clone());
    }
    response.with_successor(Box::new(refusal))
}
