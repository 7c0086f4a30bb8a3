//! Functions as handlers: they are called with the arguments that they name.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::StatusCode;

use super::{HandlerKind, HandlerOutput, sealed::Sealed};
use crate::{
    extract::{FromRequest, FromRequestParts, RequiredState},
    request::Request,
    response::{IntoResponse, Response, plain},
};

/// Marker of functions that return a response.
#[derive(Debug)]
pub struct ReturnsResponse(());

/// Marker of functions that return a future of a response.
#[derive(Debug)]
pub struct ReturnsFuture(());

/// A handler whose future is not `Send`. [`local`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct LocalHandler<F>(F);

/// Makes a handler of an async function whose future is not `Send`. The future stays on the shard or worker
/// that created it.
///
/// Do not keep the guard of a blocking lock across an `await` in it: another future that locks it would block
/// the thread that has to release it.
///
/// ```
/// use std::rc::Rc;
/// use windlass::{Request, get, local};
///
/// async fn handler(mut request: Request) -> String {
///     let name = Rc::new(request.path().to_owned());
///     while request.body_mut().next().await.is_some() {}
///     name.to_string()
/// }
/// let route = get("/", local(handler));
/// ```
pub fn local<F>(function: F) -> LocalHandler<F> {
    LocalHandler(function)
}

/// Returns the states that a handler requires, given what each of its arguments requires.
fn states(of_arguments: &[Option<RequiredState>]) -> Vec<RequiredState> {
    of_arguments.iter().flatten().copied().collect()
}

/// Polls a future once and returns its output if it is ready.
fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Returns 500 for a request with an argument that was not ready when it was first polled, and logs `reason`.
fn cannot_wait(reason: &str) -> Response {
    tracing::error!("an argument of a handler was not ready, answering 500: {reason}");
    plain(StatusCode::INTERNAL_SERVER_ERROR, "The server failed to handle this request.\n")
}

const PLAIN: &str =
    "a plain fn cannot wait for an argument: make the handler an async fn, or do not stream the body";
const BROKEN: &str =
    "the type of the argument sets IMMEDIATE, but its future was pending: set IMMEDIATE to false";

/// A future of the arguments as a tuple, or as `Err` of the response of the first one that rejects the
/// request.
macro_rules! arguments {
    ($request:ident; $($arg:ident),*; $($last:ident)?) => {
        async move {
            #[allow(unused_mut, unused_variables, reason = "the request of a function without arguments")]
            let mut request = $request;
            $(let $arg = $arg::from_request_parts(&mut request).await.map_err(IntoResponse::into_response)?;)*
            $(let $last = $last::from_request(request).await.map_err(IntoResponse::into_response)?;)?
            Ok::<_, Response>(($($arg,)* $($last,)?))
        }
    };
}

/// Calls an async function: at once if all arguments are immediate, otherwise from a future that first waits
/// for the arguments.
macro_rules! call_async {
    ($function:ident, $request:ident, |$f:ident| $callee:expr; $($arg:ident),*; $($last:ident)?) => {{
        if const { true $(&& $arg::IMMEDIATE)* $(&& $last::IMMEDIATE)? } {
            let arguments = match poll_once(arguments!($request; $($arg),*; $($last)?)) {
                Some(Ok(arguments)) => arguments,
                Some(Err(response)) => return HandlerOutput::Ready(response),
                None => return HandlerOutput::Ready(cannot_wait(BROKEN)),
            };
            let ($($arg,)* $($last,)?) = arguments;
            let $f = $function;
            let future = ($callee)($($arg,)* $($last)?);
            return HandlerOutput::Future(Box::pin(async move { future.await.into_response() }));
        }
        let $f = $function.clone();
        HandlerOutput::Future(Box::pin(async move {
            match arguments!($request; $($arg),*; $($last)?).await {
                Ok(($($arg,)* $($last,)?)) => ($callee)($($arg,)* $($last)?).await.into_response(),
                Err(response) => response,
            }
        }))
    }};
}

/// Implements handlers for functions of these arguments, of which only the last may take the body.
macro_rules! functions {
    ($($arg:ident),* ; $($last:ident $marker:ident)?) => {
        #[allow(non_snake_case, reason = "arguments have the names of their types")]
        impl<Fun, Out, $($marker,)? $($arg,)* $($last)?>
            Sealed<(ReturnsResponse, $($marker,)? $($arg,)* $($last,)?)> for Fun
        where
            Fun: Fn($($arg,)* $($last)?) -> Out + Send + Sync + 'static,
            Out: IntoResponse,
            $($arg: FromRequestParts,)*
            $($last: FromRequest<$marker>,)?
        {
            const KIND: HandlerKind = HandlerKind::Sync;

            fn call(function: &Arc<Self>, request: Request) -> HandlerOutput {
                HandlerOutput::Ready(match poll_once(arguments!(request; $($arg),*; $($last)?)) {
                    Some(Ok(($($arg,)* $($last,)?))) => function($($arg,)* $($last)?).into_response(),
                    Some(Err(response)) => response,
                    None => cannot_wait(PLAIN),
                })
            }

            fn required_state() -> Vec<RequiredState> {
                states(&[$($arg::required_state(),)* $($last::required_state(),)?])
            }
        }

        #[allow(non_snake_case, reason = "arguments have the names of their types")]
        impl<Fun, Fut, $($marker,)? $($arg,)* $($last)?>
            Sealed<(ReturnsFuture, $($marker,)? $($arg,)* $($last,)?)> for Fun
        where
            Fun: Fn($($arg,)* $($last)?) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoResponse> + Send + 'static,
            $($arg: FromRequestParts + Send + 'static,)*
            $($last: FromRequest<$marker> + Send + 'static,)?
        {
            const KIND: HandlerKind = HandlerKind::Async;

            fn call(function: &Arc<Self>, request: Request) -> HandlerOutput {
                call_async!(function, request, |function| function; $($arg),*; $($last)?)
            }

            fn required_state() -> Vec<RequiredState> {
                states(&[$($arg::required_state(),)* $($last::required_state(),)?])
            }
        }

        #[allow(non_snake_case, reason = "arguments have the names of their types")]
        impl<Fun, Fut, $($marker,)? $($arg,)* $($last)?>
            Sealed<(ReturnsFuture, $($marker,)? $($arg,)* $($last,)?)> for LocalHandler<Fun>
        where
            Fun: Fn($($arg,)* $($last)?) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoResponse> + 'static,
            $($arg: FromRequestParts + 'static,)*
            $($last: FromRequest<$marker> + 'static,)?
        {
            const KIND: HandlerKind = HandlerKind::Async;

            fn call(function: &Arc<Self>, request: Request) -> HandlerOutput {
                call_async!(function, request, |function| function.0; $($arg),*; $($last)?)
            }

            fn required_state() -> Vec<RequiredState> {
                states(&[$($arg::required_state(),)* $($last::required_state(),)?])
            }
        }
    };
}

functions!(;);
functions!(; Last M);
functions!(A1; Last M);
functions!(A1, A2; Last M);
functions!(A1, A2, A3; Last M);
functions!(A1, A2, A3, A4; Last M);
functions!(A1, A2, A3, A4, A5; Last M);
functions!(A1, A2, A3, A4, A5, A6; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8, A9; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14; Last M);
functions!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15; Last M);
