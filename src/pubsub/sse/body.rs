//! The body of a handler's stream: what was missed, then what the handler sends and its topics give, by turns.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use windlass_actors::{Local, TaskHandle};

use super::{
    Client,
    queue::{Next, Queue},
    replay::Keeper,
    respond::{Running, Start},
};
use crate::{
    proto::sse,
    pubsub::broker::{From, History, Pieces, Polled, ServerSent, Stream, unknown_id},
};

/// Milliseconds over which clients come back after the server ended.
const FAREWELL: std::ops::Range<u64> = 500..4500;

enum Phase {
    /// Nobody has polled it.
    New(Option<From>),
    /// What the client missed is sent.
    Behind(History<ServerSent>),
    /// The handler runs.
    Running,
}

/// One client's stream. Dropped, its handler is cancelled.
pub(super) struct HandlerStream {
    queue: Arc<Queue>,
    keeper: Option<Arc<Keeper>>,
    phase: Phase,
    /// Taken when the handler starts.
    start: Option<(Client, Start)>,
    handler: Option<TaskHandle>,
    topics: Vec<Stream<ServerSent>>,
    /// Whose turn it is: 0 the handler's, then the topics'.
    turn: usize,
    /// The server ends.
    ending: bool,
    farewell: bool,
}

impl HandlerStream {
    pub(super) fn new(
        queue: Arc<Queue>,
        keeper: Option<Arc<Keeper>>,
        last: Option<&[u8]>,
        client: Client,
        start: Start,
    ) -> Self {
        Self {
            queue,
            keeper,
            phase: Phase::New(last.map(From::parse)),
            start: Some((client, start)),
            handler: None,
            topics: Vec::new(),
            turn: 0,
            ending: false,
            farewell: false,
        }
    }

    /// Begins with history, or with the handler; the first piece says when to come back, and what cannot be had.
    fn begin(&mut self, from: Option<From>) -> Option<Bytes> {
        let mut first = Vec::new();
        if let Some(retry) = self.queue.settings.retry {
            sse::append_retry(&mut first, u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
        }
        if from == Some(From::Unknown) {
            first.extend_from_slice(&unknown_id::<ServerSent>());
        }
        match from.zip(self.keeper.as_ref()).and_then(|(from, keeper)| keeper.history(from)) {
            Some(history) => self.phase = Phase::Behind(history),
            None => self.run(),
        }
        (!first.is_empty()).then(|| first.into())
    }

    /// Starts the handler on this shard.
    fn run(&mut self) {
        self.phase = Phase::Running;
        let Some((client, start)) = self.start.take() else { return };
        let Some(local) = Local::current() else { return self.queue.fail() };
        let queue = self.queue.clone();
        self.handler = Some(local.spawn(async move {
            // The handler's own first step is contained too.
            match catch_unwind(AssertUnwindSafe(|| start(client))) {
                Ok(running) => supervise(&queue, running).await,
                Err(_) => queue.handler_panicked(),
            }
        }));
    }

    /// Asks the handler's queue and the topics in turn.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Polled<Bytes> {
        self.queue.take_joining(&mut self.topics);
        let places = self.topics.len() + 1;
        for step in 0..places {
            let place = (self.turn + step) % places;
            let polled = match place.checked_sub(1) {
                None => self.poll_own(cx),
                Some(topic) => self.topics[topic].poll_piece(cx),
            };
            if let (Some(topic), Poll::Ready(None)) = (place.checked_sub(1), &polled) {
                // The stream ends with its topic, behind what its handler has sent.
                drop(self.topics.swap_remove(topic));
                self.queue.close();
                return self.poll_running(cx);
            }
            if polled.is_ready() {
                self.turn = place + 1;
                return polled;
            }
        }
        Poll::Pending
    }

    fn poll_own(&mut self, cx: &Context<'_>) -> Polled<Bytes> {
        match self.queue.next(cx.waker()) {
            Next::Piece(piece) => Poll::Ready(Some(Ok(piece))),
            Next::Nothing => Poll::Pending,
            Next::Failed => Poll::Ready(Some(Err("the stream's handler panicked".into()))),
            Next::Ended if self.ending && !std::mem::replace(&mut self.farewell, true) => {
                Poll::Ready(Some(Ok(self.queue.farewell(FAREWELL))))
            }
            Next::Ended => Poll::Ready(None),
        }
    }
}

/// Runs a handler to its end.
async fn supervise(queue: &Queue, mut running: Running) {
    let outcome = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(())),
    });
    match outcome.await {
        Ok(()) => queue.close(),
        Err(()) => queue.handler_panicked(),
    }
}

impl Pieces for HandlerStream {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Polled<Bytes> {
        if let Phase::New(from) = self.phase
            && let Some(first) = self.begin(from)
        {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Phase::Behind(history) = &mut self.phase {
            match ready!(history.poll_piece(cx)) {
                Ok(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(Err(_)) => self.run(),
                Err(error) => {
                    self.queue.store_failed(&error);
                    tracing::error!(%error, "a stream's history cannot be read; the stream ends");
                    return Poll::Ready(Some(Err(Box::new(error))));
                }
            }
        }
        self.poll_running(cx)
    }

    fn drain(&mut self) {
        if !std::mem::replace(&mut self.ending, true) {
            self.queue.close();
        }
    }
}

impl Drop for HandlerStream {
    fn drop(&mut self) {
        if let Some(handler) = &self.handler {
            handler.cancel();
        }
        self.queue.abandon();
    }
}
