//! The WebSocket handshake as the response to a request.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc};

use http::{StatusCode, Version};

use super::{Settings, Socket};
use crate::{
    proto::ws::{self as proto, Opening, Refusal, deflate::Params},
    request::Request,
    response::{Response, plain},
};

/// The future of a socket's handler. The connection polls it.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult>>>;

/// Result of a socket's handler. The error is its text.
pub(crate) type HandlerResult = Result<(), String>;

/// An accepted handshake. Its response carries it to the connection.
pub(crate) struct Upgrade {
    pub(super) protocol: Option<String>,
    pub(super) deflate: Option<Params>,
    pub(super) settings: Arc<Settings>,
    pub(super) start: Box<dyn FnOnce(Socket) -> HandlerFuture + Send>,
}

/// Outcome of a handshake, which the connection takes out of the response.
pub(crate) enum Handshake {
    Accepted(Box<Upgrade>),
    Refused(Refusal),
}

impl Handshake {
    /// Takes the outcome of a handshake out of a response.
    ///
    /// Returns `None` for an ordinary response. Middleware that changes the status of an accepted handshake
    /// makes it an ordinary response.
    pub(crate) fn take(response: &mut Response, version: Version) -> Option<Self> {
        let handshake: Box<dyn Any> = response.take_handshake()?;
        match handshake.downcast() {
            Ok(upgrade) => (response.status() == success_status(version)).then_some(Self::Accepted(upgrade)),
            Err(handshake) => handshake.downcast().ok().map(|refusal| Self::Refused(*refusal)),
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Returns the status of an accepted handshake (RFC 6455 §4.2.2, RFC 8441 §5).
fn success_status(version: Version) -> StatusCode {
    if version >= Version::HTTP_2 { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS }
}

/// Return type of a socket's handler: `()`, or `Result<(), E>` with any error that implements `Display`.
///
/// When the handler returns, the socket is closed with code 1000. After an error it is closed with code 1011,
/// and the error is logged. A socket that is already closing is left alone.
pub trait Finish: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        #[doc(hidden)]
        fn into_result(self) -> Result<(), String>;
    }
}

impl sealed::Sealed for () {
    fn into_result(self) -> HandlerResult {
        Ok(())
    }
}

impl Finish for () {}

impl<E: fmt::Display> sealed::Sealed for Result<(), E> {
    fn into_result(self) -> HandlerResult {
        self.map_err(|error| error.to_string())
    }
}

impl<E: fmt::Display> Finish for Result<(), E> {}

/// Answers a request that opens a WebSocket. Use it in an ordinary GET handler, which has already seen the
/// request.
///
/// A valid request is a GET with `Upgrade: websocket`, or over HTTP/2 an extended CONNECT, which GET routes
/// receive too. An invalid request, and one that `settings` do not allow, gets an error response.
///
/// The server calls `handler` on the connection's shard after it has written the response head, and polls its
/// future there.
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
    respond(request, &Arc::new(settings.clone()), handler)
}

/// Like [`upgrade`], with shared settings.
pub(super) fn respond<F, Fut>(request: &Request, settings: &Arc<Settings>, handler: F) -> Response
where
    F: FnOnce(Socket) -> Fut + Send + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    if let Some(refused) = refuse_body(request) {
        return refused;
    }
    let opening = Opening {
        method: request.method(),
        version: request.version(),
        authority: request.original_host().map(str::as_bytes),
        protocol: request.protocol(),
    };
    answer(&opening, request.header_pairs(), settings, handler)
}

/// Returns the response to a request that has a body. `None` if it has none.
pub(super) fn refuse_body(request: &Request) -> Option<Response> {
    let text = "A request that opens a WebSocket must not have a body.\n";
    (!request.body().is_empty()).then(|| plain(StatusCode::BAD_REQUEST, text))
}

/// Answers an opening handshake with these header fields.
pub(super) fn answer<'a, F, Fut>(
    opening: &Opening<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    settings: &Arc<Settings>,
    handler: F,
) -> Response
where
    F: FnOnce(Socket) -> Fut + Send + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    use sealed::Sealed;
    let accepted = match proto::accept(opening, fields, &settings.policy) {
        Ok(accepted) => accepted,
        Err(refusal) => return refuse(refusal, opening.version),
    };
    let mut response = Response::status_only(accepted.status);
    for (name, value) in &accepted.headers {
        response.fields_mut().append(name.clone(), value.clone());
    }
    response.with_handshake(Box::new(Upgrade {
        protocol: accepted.protocol,
        deflate: accepted.deflate,
        settings: settings.clone(),
        // The handler is called in the first poll, which catches its panics.
        start: Box::new(move |socket| Box::pin(async move { handler(socket).await.into_result() })),
    }))
}

/// Returns the response that refuses a handshake.
pub(super) fn refuse(refusal: Refusal, version: Version) -> Response {
    let mut response =
        Response::text(format!("The WebSocket handshake failed: {refusal}.\n")).with_status(refusal.status());
    for (name, value) in &refusal.headers(version) {
        response.fields_mut().append(name.clone(), value.clone());
    }
    response.with_handshake(Box::new(refusal))
}
