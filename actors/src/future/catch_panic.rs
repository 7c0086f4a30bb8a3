//! Catching panics of user code.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// Payload of a caught panic.
pub(crate) type PanicPayload = Box<dyn Any + Send>;

/// Calls `f` and returns its panic, if any, as an error.
pub(crate) fn catch_panic<T>(f: impl FnOnce() -> T) -> Result<T, PanicPayload> {
    // After a panic the callers drop or rebuild whatever `f` touched, so nobody reads a half-changed value.
    catch_unwind(AssertUnwindSafe(f))
}

/// Runs `future` and returns a panic in one of its polls, or in its drop, as an error.
///
/// # Cancel safety
///
/// Dropping the returned future drops `future`; a panic in that drop is not caught.
pub(crate) async fn catch_panic_async<F: Future>(future: F) -> Result<F::Output, PanicPayload> {
    let mut slot = pin!(Some(future));
    let outcome = poll_fn(|cx| {
        let Some(future) = slot.as_mut().as_pin_mut() else { return Poll::Pending };
        match catch_panic(|| future.poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await;
    let dropped = catch_panic(|| slot.set(None));
    outcome.and_then(|output| dropped.map(|()| output))
}

/// Returns the message of a caught panic, or a fixed text if its payload is no text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "the panic payload is not text".to_owned())
}
