//! Bytes in and bytes out of connections.

use std::{io, os::fd::AsFd};

use super::{
    Ring,
    conn::{Phase, Receive},
    ops::{self, Kind, Tag},
    queues::Completion,
};
use crate::net::{Closed, ConnId, Connection, EventHandler};

impl<L: Connection> Ring<L> {
    /// Takes what a receive completed with.
    pub(super) fn received<C: EventHandler<Conn = L>>(
        &mut self,
        handler: &mut C,
        id: ConnId,
        completion: Completion,
    ) {
        let len = usize::try_from(completion.result).unwrap_or(0);
        // Claimed whoever it was for: a buffer not given back is lost.
        let bytes = self.buffers.claim(completion);
        let Some(conn) = self.slots.find(id) else { return };
        if !completion.more() {
            conn.receive = Receive::Idle;
        }
        if conn.closing() {
            self.free_if_done(handler, id);
            return;
        }
        match completion.result {
            1.. if conn.listens() => {
                let paused = !conn.link.wants_read();
                if !std::mem::replace(&mut conn.dirty, true) {
                    self.dirty.push(id);
                }
                self.pool.lend(conn.link.outbox());
                handler.received(id, &mut conn.link, bytes);
                if paused {
                    self.pause(id);
                }
            }
            1.. => self.discard(handler, id, len),
            0 => self.ended(handler, id),
            error => self.receive_failed(handler, id, -error),
        }
    }

    /// Cancels the receive of a connection that still does not want to read. Bytes already on their way still
    /// come. Called only when bytes came although it did not: a pause that ends before costs nothing.
    fn pause(&mut self, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if conn.receive == Receive::Armed && !conn.wants_receive() {
            self.cancel_receive(id);
        }
    }

    /// Throws bytes away that a finishing connection received.
    fn discard<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId, bytes: usize) {
        let Some(conn) = self.slots.find(id) else { return };
        conn.linger_bytes = conn.linger_bytes.saturating_sub(bytes);
        if conn.linger_bytes > 0 {
            self.mark(id);
            return;
        }
        match conn.phase {
            Phase::Lingering => self.close(handler, id, Closed::Lingered),
            // What is queued may still leave; meanwhile the peer is not read.
            _ => self.pause(id),
        }
    }

    /// Notes the peer's FIN.
    fn ended<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        conn.ended = true;
        if conn.listens() {
            self.pool.lend(conn.link.outbox());
            handler.fin_received(id, &mut conn.link);
        }
        self.mark(id);
    }

    fn receive_failed<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId, errno: i32) {
        match errno {
            libc::ENOBUFS => {
                self.starvations += 1;
                if let Some(conn) = self.slots.find(id) {
                    conn.receive = Receive::Starved;
                    self.starved.push_back(id);
                }
            }
            // Our own cancellation, or nothing at all: armed again when wanted.
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => self.mark(id),
            _ => self.close(handler, id, Closed::Failed(io::Error::from_raw_os_error(errno))),
        }
    }

    /// Puts a receive into the kernel if one is wanted and none is there. The first one is for one time only: many a
    /// connection ends with its first request, and an armed receive would have to be cancelled then.
    pub(super) fn receive(&mut self, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if conn.receive == Receive::Idle && conn.wants_receive() {
            conn.receive = Receive::Armed;
            let receive =
                if std::mem::replace(&mut conn.fresh, false) { ops::receive_once } else { ops::receive };
            let entry = receive(conn.fd.as_fd(), super::buffers::GROUP, Tag::of(Kind::Receive, id));
            // SAFETY: the buffers live as long as the ring or longer; the socket is closed when the connection
            // leaves its slot, which `outstanding` forbids until the last completion.
            unsafe { self.queues.push(&entry) }
        }
    }

    /// Takes a receive out of the kernel; its last completion follows.
    pub(super) fn cancel_receive(&mut self, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if conn.receive == Receive::Armed {
            conn.receive = Receive::Cancelling;
            // SAFETY: names neither memory nor a descriptor.
            unsafe { self.queues.push(&ops::cancel(Tag::of(Kind::Receive, id))) }
        }
    }

    /// Sends what is left of the flight, or what the outbox holds; an empty outbox gives its buffer up.
    pub(super) fn send(&mut self, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if conn.flight.is_empty() {
            conn.flight.load(conn.link.outbox(), &mut self.pool);
        }
        let last = conn.link.ending().follows_last_bytes() && conn.link.outbox().is_empty();
        match conn.flight.entry(conn.fd.as_fd(), Tag::of(Kind::Send, id), last) {
            Some(entry) => {
                conn.sending = true;
                // SAFETY: the flight is not touched and the connection not freed while `sending`; see `Outgoing`.
                unsafe { self.queues.push(&entry) }
            }
            None => self.pool.reclaim(conn.link.outbox()),
        }
    }

    /// Takes what a send completed with.
    pub(super) fn sent<C: EventHandler<Conn = L>>(
        &mut self,
        handler: &mut C,
        id: ConnId,
        completion: Completion,
    ) {
        let Some(conn) = self.slots.find(id) else { return };
        conn.sending = false;
        if conn.closing() {
            self.free_if_done(handler, id);
            return;
        }
        match completion.result {
            taken @ 1.. => {
                conn.flight.advance(taken as usize, &mut self.pool);
                while let Some(buffer) = self.pool.lent() {
                    handler.buffer_sent(buffer);
                }
                let drained = conn.drained();
                self.pool.lend(conn.link.outbox());
                handler.sent(id, &mut conn.link, taken as usize, drained);
                // After most replies nothing is left to act on but the loan.
                if drained && conn.rests() {
                    self.pool.reclaim(conn.link.outbox());
                } else {
                    self.mark(id);
                }
            }
            0 => self.close(handler, id, Closed::Failed(io::ErrorKind::WriteZero.into())),
            error => match -error {
                libc::EINTR | libc::EAGAIN => self.mark(id),
                errno => self.close(handler, id, Closed::Failed(io::Error::from_raw_os_error(errno))),
            },
        }
    }
}
