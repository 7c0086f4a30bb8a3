//! How connections, and the ring, come to their end.

use std::time::{Duration, Instant};

use rustix::net::Shutdown;

use super::{
    Ring,
    conn::{Phase, Receive},
    ops::{self, Kind, Tag},
};
use crate::net::{Closed, ConnId, Connection, Ending, EventHandler};

/// How long dropping a ring waits for the kernel at most. It needs microseconds.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

impl<L: Connection> Ring<L> {
    /// Ends a connection that is finishing, as far as it is: nothing while bytes are queued; then the write side;
    /// everything once the peer's FIN is there.
    pub(super) fn finish<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if !conn.drained() {
            return;
        }
        if conn.ended {
            // Closing sends the FIN.
            self.close(handler, id, Closed::Finished);
        } else if conn.link.ending() == Ending::Close {
            // Closing alone would, with bytes unread, take back what is not sent yet.
            conn.shutdown(Shutdown::Write);
            self.close(handler, id, Closed::Finished);
        } else if conn.linger_bytes == 0 {
            conn.shutdown(Shutdown::Write);
            self.close(handler, id, Closed::Lingered);
        } else if matches!(conn.phase, Phase::Open) {
            conn.phase = Phase::Lingering;
            conn.shutdown(Shutdown::Write);
        }
    }

    /// Closes a connection: at once if the kernel runs nothing for it, else when all that was cancelled.
    pub(super) fn close<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId, why: Closed) {
        let Some(conn) = self.slots.find(id).filter(|conn| !conn.closing()) else { return };
        // A lingering one has been sent whole: a reset would take back what the peer has not read yet.
        if matches!(why, Closed::Aborted) && !matches!(conn.phase, Phase::Lingering) {
            conn.reset_on_close();
        }
        conn.phase = Phase::Closing(why);
        if conn.sending {
            // SAFETY: names neither memory nor a descriptor.
            unsafe { self.queues.push(&ops::cancel(Tag::of(Kind::Send, id))) }
        }
        if conn.receive == Receive::Armed {
            self.cancel_receive(id);
        }
        self.free_if_done(handler, id);
    }

    /// Frees the slot of a closing connection once the kernel owes it no completion.
    pub(super) fn free_if_done<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        if self.slots.find(id).is_none_or(|conn| conn.outstanding() > 0) {
            return;
        }
        let Some(mut conn) = self.slots.remove(id) else { return };
        drop(conn.fd);
        conn.flight.recycle(&mut self.pool);
        if let Phase::Closing(why) = conn.phase {
            self.called = true;
            handler.closed(id, conn.link, why);
        }
    }

    /// Takes everything out of the kernel. False when something stayed within the limit.
    fn drain(&mut self) -> bool {
        let until = Instant::now() + DRAIN_LIMIT;
        for conn in self.slots.values_mut() {
            conn.reset_on_close();
        }
        self.keep_accepted(self.next);
        // SAFETY: names neither memory nor a descriptor.
        unsafe { self.queues.push(&ops::cancel_all()) }
        while self.queues.in_flight() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.queues.enter_for(left).is_err() {
                return false;
            }
            self.batch.clear();
            self.queues.reap(&mut self.batch, usize::MAX);
            self.keep_accepted(0);
        }
        true
    }

    /// Takes the sockets that unhandled completions brought, so that they are closed with the queue.
    fn keep_accepted(&mut self, from: usize) {
        for &completion in &self.batch[from..] {
            if let Some(Tag { kind: Kind::Accept, id }) = Tag::unpack(completion.user_data) {
                let _ = self.acceptor.completed(id.slot as usize, completion);
            }
        }
    }
}

impl<L: Connection> Drop for Ring<L> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.drain() {
            return;
        }
        self.buffers.leak();
        for conn in self.slots.values_mut() {
            conn.shutdown(Shutdown::Both);
            conn.flight.leak();
        }
    }
}
