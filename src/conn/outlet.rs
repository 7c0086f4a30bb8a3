//! The outlet of one stream: the direct way of an event to its connection, past the queue of its subscriber.
//!
//! Usually an event reaches its stream through the queue: the connection is woken, polls the source of the
//! stream, and the source polls the queue. A stream that has nothing to send opens its outlet. The relay of
//! the shard then puts the next event there, and the connection gets a turn in which it takes the event and
//! sends it. Neither the source nor the queue is touched.
//!
//! Each stream has an outlet of its own: the streaming reply of an HTTP/1.1 connection, each stream of an
//! HTTP/2 connection, each WebSocket with one source, with TLS or without. [`windlass_actors::Outlet`] has
//! the states, and the argument why no event overtakes another. It asks three things of a stream:
//!
//! - It opens the outlet only directly after a poll in which its source had nothing more.
//! - It takes the event in the outlet before it polls its source.
//! - It shuts the outlet when there is no room for another event. Events then wait in the queue, within its
//!   bounds. The poll that empties the queue opens the outlet again. Over HTTP/2 the windows of stream and
//!   connection count as room, beside the outbox.

use std::time::Instant;

use windlass_actors::{Outlet, OutletEvent, OutletKey};

use super::env::Env;
use crate::{body::OutletAnswer, net::ConnId};

/// Label of the stream of a connection that has only one. HTTP/2 gives no stream this number.
pub(crate) const ONLY_STREAM: u32 = 0;

/// Outlet of one stream. `T` is what the stream sends for an event.
pub(super) enum StreamOutlet<T: 'static> {
    /// No outlet is connected yet; the source may connect one.
    Unconnected,
    Connected(ConnectedOutlet<T>),
    /// The source never connects one.
    Unused,
}

pub(super) struct ConnectedOutlet<T: 'static> {
    outlet: Outlet,
    /// Returns what to send for an event.
    read: fn(&OutletEvent) -> Option<&T>,
    /// Time of the last event taken, while the source has not been told of it.
    last_event: Option<Instant>,
}

impl<T> StreamOutlet<T> {
    /// Opens the outlet. If there is none yet, has the source connect one, unless the server drains. Called
    /// directly after a poll in which the source had nothing more. `label` names the stream on its
    /// connection.
    pub(super) fn open(
        &mut self,
        env: &Env,
        id: ConnId,
        label: u32,
        connect: impl FnOnce(OutletKey) -> OutletAnswer<T>,
    ) {
        match self {
            Self::Connected(connected) => connected.outlet.open(),
            Self::Unconnected if !env.is_draining() => {
                let outlet = env.local.outlet(id.token(), label);
                *self = match connect(outlet.key()) {
                    OutletAnswer::Connected(read) => {
                        Self::Connected(ConnectedOutlet { outlet, read, last_event: None })
                    }
                    OutletAnswer::Later => Self::Unconnected,
                    OutletAnswer::Never => Self::Unused,
                };
            }
            Self::Unconnected | Self::Unused => {}
        }
    }

    /// Removes the event in the outlet and returns the result of `write` for it; `None` if there is no event,
    /// or none that this stream sends.
    pub(super) fn take<R>(&mut self, now: Instant, write: impl FnOnce(&T) -> R) -> Option<R> {
        let Self::Connected(connected) = self else { return None };
        let event = connected.outlet.take()?;
        connected.last_event = Some(now);
        (connected.read)(&event).map(write)
    }

    /// Shuts the outlet, because there is no room for another event.
    pub(super) fn shut(&self) {
        if let Self::Connected(connected) = self {
            connected.outlet.shut();
        }
    }

    /// Returns and clears the time of the last event taken since the last call. The caller tells the source
    /// of it before it polls the source.
    pub(super) fn take_last_event(&mut self) -> Option<Instant> {
        match self {
            Self::Connected(connected) => connected.last_event.take(),
            Self::Unconnected | Self::Unused => None,
        }
    }
}
