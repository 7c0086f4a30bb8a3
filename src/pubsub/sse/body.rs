//! The event stream of a handler: stored events first, then the handler's own events and those of its topics,
//! which alternate.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use windlass_actors::{Local, TaskHandle};

use super::{
    Client,
    queue::{Queue, QueueItem},
    recorder::Recorder,
};
use crate::{
    proto::sse,
    pubsub::{
        broker::TopicStream,
        event::{ServerSent, unknown_id},
        stream::{EventStream, History, HistoryItem, PollNext, ResumePoint},
    },
};

/// The future of a handler.
pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Creates the future of a handler, on the connection's shard.
pub(super) type StartHandler = Box<dyn FnOnce(Client) -> HandlerFuture + Send>;

/// Phase of a [`HandlerStream`]. The phases follow one another in this order. `Replaying` is skipped without
/// a store.
enum Phase {
    /// Not polled yet.
    New(Option<ResumePoint>),
    /// Sends the events that the client missed.
    Replaying(History<ServerSent>),
    /// The handler runs.
    Running,
}

/// The stream of one client. Dropping it cancels the handler.
pub(super) struct HandlerStream {
    queue: Arc<Queue>,
    recorder: Option<Arc<Recorder>>,
    phase: Phase,
    /// Client and handler; `None` once the handler has started.
    start: Option<(Client, StartHandler)>,
    handler: Option<TaskHandle>,
    topics: Vec<TopicStream<ServerSent>>,
    /// The source to poll first: 0 is the handler's queue, the others are the topics.
    next_source: usize,
    server_drains: bool,
    final_retry_sent: bool,
}

impl HandlerStream {
    pub(super) fn new(
        queue: Arc<Queue>,
        recorder: Option<Arc<Recorder>>,
        last_event_id: Option<&[u8]>,
        client: Client,
        start: StartHandler,
    ) -> Self {
        Self {
            queue,
            recorder,
            phase: Phase::New(last_event_id.and_then(ResumePoint::parse)),
            start: Some((client, start)),
            handler: None,
            topics: Vec::new(),
            next_source: 0,
            server_drains: false,
            final_retry_sent: false,
        }
    }

    /// Starts to read the history, or starts the handler. Returns the first output, if any: the reconnection
    /// delay, and a reset if the client's last event id is unknown.
    fn begin(&mut self, resume: Option<ResumePoint>) -> Option<Bytes> {
        let mut first = Vec::new();
        if let Some(retry) = self.queue.settings.retry {
            sse::append_retry(&mut first, u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
        }
        if resume == Some(ResumePoint::UnknownId) {
            first.extend_from_slice(&unknown_id::<ServerSent>());
        }
        let history = resume.zip(self.recorder.as_ref());
        match history.and_then(|(resume, recorder)| recorder.history(resume)) {
            Some(history) => self.phase = Phase::Replaying(history),
            None => self.run(),
        }
        (!first.is_empty()).then(|| first.into())
    }

    /// Starts the handler on the current shard.
    fn run(&mut self) {
        self.phase = Phase::Running;
        let Some((client, start)) = self.start.take() else { return };
        let Some(local) = Local::current() else {
            return self.queue.fail("the event stream is not on a shard".into());
        };
        let queue = self.queue.clone();
        self.handler = Some(local.spawn(async move {
            // The call of the handler can panic too.
            match catch_unwind(AssertUnwindSafe(|| start(client))) {
                Ok(handler) => run_to_end(&queue, handler).await,
                Err(payload) => queue.handler_panicked(&*payload),
            }
        }));
    }

    /// Polls the handler's queue and the topics, beginning with another one after each output.
    fn poll_sources(&mut self, cx: &mut Context<'_>) -> PollNext<Bytes> {
        self.queue.take_subscriptions(&mut self.topics);
        let sources = self.topics.len() + 1;
        for step in 0..sources {
            let source = (self.next_source + step) % sources;
            let topic = source.checked_sub(1);
            let polled = match topic {
                None => self.poll_queue(cx),
                Some(topic) => self.topics[topic].poll_next(cx),
            };
            if let (Some(topic), Poll::Ready(None)) = (topic, &polled) {
                // The stream ends with its topic, after the events in the handler's queue.
                drop(self.topics.swap_remove(topic));
                self.queue.close();
                return self.poll_sources(cx);
            }
            if polled.is_ready() {
                self.next_source = source + 1;
                return polled;
            }
        }
        Poll::Pending
    }

    fn poll_queue(&mut self, cx: &Context<'_>) -> PollNext<Bytes> {
        match self.queue.pop(cx.waker()) {
            QueueItem::Event(event) => Poll::Ready(Some(Ok(event))),
            QueueItem::Empty => Poll::Pending,
            QueueItem::Failed(reason) => Poll::Ready(Some(Err(reason.into()))),
            QueueItem::Closed
                if self.server_drains && !std::mem::replace(&mut self.final_retry_sent, true) =>
            {
                Poll::Ready(Some(Ok(self.queue.final_retry())))
            }
            QueueItem::Closed => Poll::Ready(None),
        }
    }
}

/// Runs a handler to its end and closes the queue.
async fn run_to_end(queue: &Queue, mut handler: HandlerFuture) {
    let outcome = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    });
    match outcome.await {
        Ok(()) => queue.close(),
        Err(payload) => queue.handler_panicked(&*payload),
    }
}

impl EventStream for HandlerStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> PollNext<Bytes> {
        if let Phase::New(resume) = self.phase
            && let Some(first) = self.begin(resume)
        {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Phase::Replaying(history) = &mut self.phase {
            match ready!(history.poll_next(cx)) {
                Ok(HistoryItem::Output(events)) => return Poll::Ready(Some(Ok(events))),
                Ok(HistoryItem::End(_)) => self.run(),
                Err(error) => {
                    self.queue.count_store_error(&error);
                    tracing::error!(%error, "failed to read the stored events, ending the stream");
                    return Poll::Ready(Some(Err(Box::new(error))));
                }
            }
        }
        self.poll_sources(cx)
    }

    fn drain(&mut self) {
        if !std::mem::replace(&mut self.server_drains, true) {
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
