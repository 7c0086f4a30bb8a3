//! Every state of an HTTP/1.1 connection, and every transition between states.
//!
//! A connection has two sides that move independently. [`Reading`] is the state of the reading side: it says
//! what the peer's next bytes are. [`Replies`] is the state of the writing side: the replies that are owed.
//! [`ending`] decides from both when the connection closes, and how. This file neither parses nor writes
//! bytes.
//!
//! # Reading side
//!
//! The loop that reads one request after the other:
//!
//! ```text
//!  Preamble ──► FirstHead ──► Head ──┬── request with a body ───────────────► Body ────────────┐
//!                              ▲     ├── request that must not overlap ─────► HeldHead ────────┤
//!                              │     └── request that offers an upgrade ────► UpgradeOffered ──┤
//!                              └───────────────────────────────────────────────────────────────┘
//!                                     body complete / a reply was sent / all replies were sent
//! ```
//!
//! The ways out. A connection that has left the loop reads no further request:
//!
//! ```text
//!  FirstHead ──► Preface ──────────────────────────────► Switched (HTTP/2)
//!  Head, UpgradeOffered ── reply 101 ──────────────────► Switched (WebSocket)
//!  Head ── request that asks for HTTP/2 ───────────────► Switched (HTTP/2)
//!  Head ── last request, as the peer announced ────────► LastRequest ── further bytes ──► Discard
//!  any state ── a reply or a refusal closes ───────────► Discard
//!  Preamble, FirstHead, Preface, Head ── FIN ──────────► Ended
//! ```
//!
//! The same as a list, with the transitions by the names of their methods:
//!
//! | state | next bytes | left by | to |
//! |---|---|---|---|
//! | `Preamble` | PROXY preamble | [`preamble_parsed`](Reading::preamble_parsed) | `FirstHead` |
//! | `FirstHead` | head, or HTTP/2's preface | [`head_parsed`](Reading::head_parsed) | `Head` |
//! | | | [`preface_begun`](Reading::preface_begun) | `Preface` |
//! | `Preface` | rest of HTTP/2's preface | [`switch_to`](Reading::switch_to) | `Switched` |
//! | `Head` | head | [`body_follows`](Reading::body_follows) | `Body` |
//! | | | [`head_held`](Reading::head_held) | `HeldHead` |
//! | | | [`upgrade_offered`](Reading::upgrade_offered) | `UpgradeOffered` |
//! | | | [`last_request_parsed`](Reading::last_request_parsed) | `LastRequest` |
//! | | | [`switch_to`](Reading::switch_to) | `Switched` |
//! | `HeldHead` | head, kept in the input | [`reply_sent`](Reading::reply_sent) | `Head` |
//! | `UpgradeOffered` | head, or another protocol | the last [`reply_sent`](Reading::reply_sent) | `Head` |
//! | | | [`switch_to`](Reading::switch_to) | `Switched` |
//! | `Body` | body | [`take_body`](Reading::take_body) | `Head`, or `Discard` if the connection closes |
//! | `Switched` | another protocol | [`take_switch`](Reading::take_switch) | the other protocol |
//! | `LastRequest` | nothing | [`discarded`](Reading::discarded) | `Discard` |
//! | `Discard` | anything | the end of the connection | |
//! | `Ended` | nothing | the end of the connection | |
//!
//! [`stop`](Reading::stop) leads to `Discard` from every state,
//! [`close_after_replies`](Reading::close_after_replies) from every state in which a reply can be owed. The
//! latter lets a body finish first. [`switch_to`](Reading::switch_to) leads to `Switched` from `LastRequest`
//! and `Discard` as well: the request that switches protocols may have asked to close the connection.
//!
//! The peer's FIN is not a state but the last item of the input. When everything before it is parsed,
//! [`fin_reached`](Reading::fin_reached) leads to `Ended`, or from `Body` to `Discard`.
//!
//! # Writing side
//!
//! The states of one reply, from the start of its handler to its last byte:
//!
//! ```text
//!  Running ── the handler replies, or is late ──► Ready ── oldest ────┬── whole body ──► sent
//!                                                                     └──► Streaming ── body ends ──► sent
//! ```
//!
//! Replies are written in the order of the requests. Only the oldest reply can be streaming, so it has a
//! place of its own beside the queue of the others. A reply that is ready while no other is owed is written
//! at once, without a place in the queue.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Instant};

use super::{context::ReplyContext, incoming::Incoming, streaming::Streaming};
#[cfg(feature = "http2")]
use crate::conn::h2::Upgraded;
#[cfg(feature = "ws")]
use crate::conn::ws::Handover;
use crate::{
    conn::{message::Outcome, run::RunningHandler},
    net::Ending,
};

use Reading::{
    Body, Discard, Ended, FirstHead, Head, HeldHead, LastRequest, Preamble, Preface, Switched, UpgradeOffered,
};

/// Meaning of the next bytes that the peer sends.
pub(super) enum Reading {
    /// PROXY preamble.
    Preamble,
    /// Head of the first request, or the preface of HTTP/2.
    FirstHead,
    /// Rest of what has so far looked like the preface of HTTP/2.
    Preface,
    /// Head of the next request.
    Head,
    /// Head of a request that must not overlap the requests in progress. It is complete and parsed again when
    /// one of them is done.
    HeldHead,
    /// Bytes of HTTP/1.1 or of the protocol that the last request offered to switch to: its reply decides.
    UpgradeOffered,
    /// Body of the last request, and what follows it.
    Body(Box<Incoming>, AfterBody),
    /// Bytes of another protocol.
    Switched(NextProtocol),
    /// Nothing: the peer announced that the last request is its last, and has kept to it so far.
    LastRequest,
    /// Bytes that no handler reads, because the connection closes after the replies that are owed. Holds the
    /// number of bytes discarded so far.
    Discard(usize),
    /// Nothing: the peer sent FIN outside a body, or another protocol has taken over.
    Ended,
}

/// State of the reading side after a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterBody {
    /// The head of the next request follows.
    Head,
    /// The connection closes.
    Discard,
}

/// Protocol that takes over the connection.
pub(in crate::conn) enum NextProtocol {
    /// HTTP/2. Its preface is at the start of the unparsed bytes (RFC 9113 §3.3).
    Http2,
    /// HTTP/2, which a request asked for. The request is complete and not answered yet.
    #[cfg(feature = "http2")]
    UpgradedHttp2(Box<Upgraded>),
    /// WebSocket, after its handshake.
    #[cfg(feature = "ws")]
    Ws(Box<Handover>),
}

/// Transitions of the reading side.
impl Reading {
    pub(super) fn new(is_proxied: bool) -> Self {
        if is_proxied { Preamble } else { FirstHead }
    }

    /// Moves from `Preamble` to `FirstHead`: the PROXY preamble was parsed.
    pub(super) fn preamble_parsed(&mut self) {
        match self {
            Preamble => *self = FirstHead,
            FirstHead | Preface | Head | HeldHead | UpgradeOffered | Body(..) | Switched(_) | LastRequest
            | Discard(_) | Ended => self.impossible("preamble_parsed"),
        }
    }

    /// Moves to `Preface`: the bytes so far look like the preface of HTTP/2.
    pub(super) fn preface_begun(&mut self) {
        match self {
            FirstHead | Preface => *self = Preface,
            Preamble | Head | HeldHead | UpgradeOffered | Body(..) | Switched(_) | LastRequest
            | Discard(_) | Ended => self.impossible("preface_begun"),
        }
    }

    /// Moves from `FirstHead` to `Head`: a request head was parsed and its request may start.
    pub(super) fn head_parsed(&mut self) {
        match self {
            FirstHead => *self = Head,
            Head => {}
            Preamble | Preface | HeldHead | UpgradeOffered | Body(..) | Switched(_) | LastRequest
            | Discard(_) | Ended => self.impossible("head_parsed"),
        }
    }

    /// Moves from `Head` to `HeldHead`: a request head was parsed, but its request must not overlap those in
    /// progress.
    pub(super) fn head_held(&mut self) {
        match self {
            Head => *self = HeldHead,
            Preamble | FirstHead | Preface | HeldHead | UpgradeOffered | Body(..) | Switched(_)
            | LastRequest | Discard(_) | Ended => self.impossible("head_held"),
        }
    }

    /// Moves from `Head` to `LastRequest`: the peer announced that the request that was just parsed, which
    /// has no body, is its last.
    pub(super) fn last_request_parsed(&mut self) {
        match self {
            Head => *self = LastRequest,
            Preamble | FirstHead | Preface | HeldHead | UpgradeOffered | Body(..) | Switched(_)
            | LastRequest | Discard(_) | Ended => self.impossible("last_request_parsed"),
        }
    }

    /// Moves from `Head` to `Body`: the request that was just parsed has a body. If the connection closes,
    /// the body is dropped unread.
    pub(super) fn body_follows(&mut self, incoming: Box<Incoming>) {
        match self {
            Head => *self = Body(incoming, AfterBody::Head),
            Discard(_) => {}
            Preamble | FirstHead | Preface | HeldHead | UpgradeOffered | Body(..) | Switched(_)
            | LastRequest | Ended => self.impossible("body_follows"),
        }
    }

    /// Moves from `Head` to `UpgradeOffered`: a request that offers to switch protocols was started and its
    /// reply is owed. Has no effect if a body is still to be read or the connection closes.
    pub(super) fn upgrade_offered(&mut self) {
        match self {
            Head => *self = UpgradeOffered,
            Body(..) | LastRequest | Discard(_) => {}
            Preamble | FirstHead | Preface | HeldHead | UpgradeOffered | Switched(_) | Ended => {
                self.impossible("upgrade_offered")
            }
        }
    }

    /// Moves from `HeldHead`, or from `UpgradeOffered` unless other replies are owed (`owes_more`), to
    /// `Head`: a reply was written.
    pub(super) fn reply_sent(&mut self, owes_more: bool) {
        match self {
            HeldHead => *self = Head,
            UpgradeOffered if !owes_more => *self = Head,
            UpgradeOffered | Preamble | FirstHead | Preface | Head | Body(..) | Switched(_) | LastRequest
            | Discard(_) | Ended => {}
        }
    }

    /// Moves from `Body` to the state after it, and returns the body: it is complete, or is not read any
    /// further. Returns `None` in other states.
    pub(super) fn take_body(&mut self) -> Option<Box<Incoming>> {
        let Body(_, then) = self else { return None };
        let next = match then {
            AfterBody::Head => Head,
            AfterBody::Discard => Discard(0),
        };
        match std::mem::replace(self, next) {
            Body(incoming, _) => Some(incoming),
            _ => None,
        }
    }

    /// Moves to `Discard`, after the body if one is being read: the connection closes after the replies that
    /// are owed.
    pub(super) fn close_after_replies(&mut self) {
        match self {
            Body(_, then) => *then = AfterBody::Discard,
            FirstHead | Head | HeldHead | UpgradeOffered => {
                *self = Discard(0);
            }
            LastRequest | Discard(_) | Ended => {}
            Preamble | Preface | Switched(_) => self.impossible("close_after_replies"),
        }
    }

    /// Moves to `Discard` from every state, and drops a body that is being read.
    pub(super) fn stop(&mut self) {
        match self {
            Discard(_) => {}
            Preamble | FirstHead | Preface | Head | HeldHead | UpgradeOffered | Body(..) | Switched(_)
            | LastRequest | Ended => *self = Discard(0),
        }
    }

    /// Counts bytes that no handler reads. Moves from `LastRequest` to `Discard`.
    pub(super) fn discarded(&mut self, count: usize) {
        match self {
            LastRequest => *self = Discard(count),
            Discard(bytes) => *bytes = bytes.saturating_add(count),
            Ended => {}
            Preamble | FirstHead | Preface | Head | HeldHead | UpgradeOffered | Body(..) | Switched(_) => {
                self.impossible("discarded")
            }
        }
    }

    /// Moves to `Ended`, or from `Body` to `Discard`: the peer sent FIN and everything before it was parsed.
    /// Returns the body that it cut short, if there was one.
    pub(super) fn fin_reached(&mut self) -> Option<Box<Incoming>> {
        match self {
            Preamble | FirstHead | Preface | Head => *self = Ended,
            Body(_, then) => {
                *then = AfterBody::Discard;
                return self.take_body();
            }
            LastRequest | Discard(_) | Ended => {}
            HeldHead | UpgradeOffered | Switched(_) => self.impossible("fin_reached"),
        }
        None
    }

    /// Moves to `Switched`: another protocol takes over.
    pub(super) fn switch_to(&mut self, next: NextProtocol) {
        match self {
            FirstHead | Preface | Head | UpgradeOffered | LastRequest | Discard(_) => *self = Switched(next),
            Preamble | HeldHead | Body(..) | Switched(_) | Ended => self.impossible("switch_to"),
        }
    }

    /// Moves from `Switched` to `Ended` and returns the protocol that takes over; `None` in other states.
    pub(super) fn take_switch(&mut self) -> Option<NextProtocol> {
        if !matches!(self, Switched(_)) {
            return None;
        }
        match std::mem::replace(self, Ended) {
            Switched(next) => Some(next),
            _ => None,
        }
    }

    /// Returns `true` if the connection closes after the replies that are owed.
    pub(super) fn is_closing(&self) -> bool {
        match self {
            LastRequest | Discard(_) | Body(_, AfterBody::Discard) => true,
            Preamble
            | FirstHead
            | Preface
            | Head
            | HeldHead
            | UpgradeOffered
            | Body(_, AfterBody::Head)
            | Switched(_)
            | Ended => false,
        }
    }

    /// Panics in a debug build, because of a transition that the diagram does not have. In other builds it
    /// has no effect and the state stays as it is.
    #[cold]
    fn impossible(&self, transition: &str) {
        debug_assert!(false, "no transition `{transition}` from state `{}`", self.name());
    }

    /// Returns the name of the state.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Preamble => "Preamble",
            FirstHead => "FirstHead",
            Preface => "Preface",
            Head => "Head",
            HeldHead => "HeldHead",
            UpgradeOffered => "UpgradeOffered",
            Body(_, AfterBody::Head) => "Body{Head}",
            Body(_, AfterBody::Discard) => "Body{Discard}",
            Switched(_) => "Switched",
            LastRequest => "LastRequest",
            Discard(_) => "Discard",
            Ended => "Ended",
        }
    }
}

/// Replies that are owed, in the order of their requests.
#[derive(Default)]
pub(super) struct Replies {
    /// The oldest reply, if its head was written and its body was not.
    streaming: Option<Box<Streaming>>,
    /// The other replies, oldest first.
    queue: VecDeque<QueuedReply>,
    /// Sequence number of the first reply in `queue`. Numbers rise for the life of the connection.
    first_seq: u32,
}

/// Reply of which nothing was written.
struct QueuedReply {
    context: ReplyContext,
    state: ReplyState,
}

/// State of a reply of which nothing was written.
enum ReplyState {
    /// The handler runs.
    Running(RunningHandler),
    /// The response waits until earlier replies are written.
    Ready(Outcome),
}

/// Transitions of the writing side.
impl Replies {
    /// Queues the place of a reply whose handler runs on.
    pub(super) fn push_running(&mut self, context: ReplyContext, task: RunningHandler) {
        self.queue.push_back(QueuedReply { context, state: ReplyState::Running(task) });
    }

    /// Queues a reply that is ready behind earlier ones.
    pub(super) fn push_ready(&mut self, context: ReplyContext, outcome: Outcome) {
        self.queue.push_back(QueuedReply { context, state: ReplyState::Ready(outcome) });
    }

    /// Stores the reply of the handler of request number `seq`. Returns `false`, and drops the reply, if none
    /// is awaited from it.
    pub(super) fn ready(&mut self, seq: u32, outcome: Outcome) -> bool {
        let index = seq.wrapping_sub(self.first_seq) as usize;
        match self.queue.get_mut(index).map(|reply| &mut reply.state) {
            Some(state @ ReplyState::Running(_)) => {
                *state = ReplyState::Ready(outcome);
                true
            }
            Some(ReplyState::Ready(_)) | None => false,
        }
    }

    /// Cancels handlers whose deadline has passed and puts the server's answers in the place of their
    /// replies.
    pub(super) fn expire(&mut self, now: Instant) {
        for QueuedReply { state, .. } in &mut self.queue {
            if let ReplyState::Running(task) = state
                && task.deadline().is_some_and(|deadline| deadline <= now)
            {
                task.expire();
                *state = ReplyState::Ready(task.late());
            }
        }
    }

    /// Removes the reply that is to be written now: the oldest, if it is ready and no earlier one is
    /// streaming.
    pub(super) fn pop_ready(&mut self) -> Option<(ReplyContext, Outcome)> {
        if self.streaming.is_some() || !matches!(self.queue.front()?.state, ReplyState::Ready(_)) {
            return None;
        }
        match self.pop_queued()? {
            QueuedReply { context, state: ReplyState::Ready(outcome) } => Some((context, outcome)),
            QueuedReply { .. } => None,
        }
    }

    /// Makes a reply the streaming one: its head was written and its body is not complete.
    pub(super) fn start_streaming(&mut self, streaming: Streaming) {
        debug_assert!(self.streaming.is_none(), "two replies are streaming");
        self.streaming = Some(Box::new(streaming));
    }

    /// Removes and returns the streaming reply, if there is one: its body is complete, or it is given up.
    pub(super) fn end_streaming(&mut self) -> Option<Box<Streaming>> {
        self.streaming.take()
    }

    /// Removes the oldest reply of which nothing was written, and cancels its handler. Returns `None` if
    /// there is none.
    pub(super) fn cancel_next(&mut self) -> Option<ReplyContext> {
        let QueuedReply { context, state } = self.pop_queued()?;
        if let ReplyState::Running(task) = state {
            task.cancel();
        }
        Some(context)
    }

    fn pop_queued(&mut self) -> Option<QueuedReply> {
        let reply = self.queue.pop_front()?;
        self.first_seq = self.first_seq.wrapping_add(1);
        Some(reply)
    }
}

impl Replies {
    /// Returns `true` if no reply is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.streaming.is_none() && self.queue.is_empty()
    }

    /// Returns how many replies are owed.
    pub(super) fn len(&self) -> usize {
        usize::from(self.streaming.is_some()) + self.queue.len()
    }

    /// Returns the sequence number of the next reply that is pushed.
    pub(super) fn next_seq(&self) -> u32 {
        self.first_seq.wrapping_add(self.queue.len() as u32)
    }

    /// Returns the reply whose body is being written, if there is one.
    pub(super) fn streaming(&self) -> Option<&Streaming> {
        self.streaming.as_deref()
    }

    /// Returns the reply whose body is being written, if there is one.
    pub(super) fn streaming_mut(&mut self) -> Option<&mut Streaming> {
        self.streaming.as_deref_mut()
    }

    /// Returns `true` if the oldest reply waits for its handler.
    pub(super) fn awaits_handler(&self) -> bool {
        let oldest = self.queue.front().map(|reply| &reply.state);
        self.streaming.is_none() && matches!(oldest, Some(ReplyState::Running(_)))
    }

    /// Returns `true` if a request is in progress that others must not overlap.
    pub(super) fn has_unsafe(&self) -> bool {
        let queued = self.queue.iter().map(|reply| &reply.context);
        let streaming = self.streaming.iter().map(|streaming| &streaming.context);
        streaming.chain(queued).any(|context| !context.exchange.method.is_safe())
    }

    /// Returns the earliest deadline of the running handlers; `None` if none has one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadline = |reply: &QueuedReply| match &reply.state {
            ReplyState::Running(task) => task.deadline(),
            ReplyState::Ready(_) => None,
        };
        self.queue.iter().filter_map(deadline).min()
    }
}

/// Returns how the connection ends and the cause as a metric label; `None` while it continues.
///
/// - The peer announced its last request: it closes its side as well, so the socket is closed without
///   waiting.
/// - A reply or a refusal closes the connection: the peer may still be sending, so the write side is shut
///   down first and the rest is read and discarded. A socket closed at once would reset the connection, and
///   the peer might not get the reply.
/// - The peer sent FIN: the write side is shut down in answer.
pub(super) fn ending(reading: &Reading, replies: &Replies) -> Option<(Ending, &'static str)> {
    if !replies.is_empty() {
        return None;
    }
    match reading {
        LastRequest => Some((Ending::Close, "done")),
        Discard(_) | Body(_, AfterBody::Discard) => Some((Ending::Finish, "done")),
        Ended => Some((Ending::Finish, "peer")),
        Preamble
        | FirstHead
        | Preface
        | Head
        | HeldHead
        | UpgradeOffered
        | Body(_, AfterBody::Head)
        | Switched(_) => None,
    }
}
