//! Bytes in and bytes out of connections.

use std::{io, os::fd::AsFd};

use rustix::{
    io::Errno,
    net::{RecvFlags, sockopt},
};

use super::{Epoll, conn::Conn, poller::Source};
use crate::net::{Closed, ConnId, Connection, EventHandler};

impl<L: Connection> Epoll<L> {
    /// Reads a connection once, and once more where a FIN or an error follows the bytes. Returns the bytes read.
    ///
    /// One that may have more goes to the end of the line.
    pub(super) fn read<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) -> usize {
        let Some(conn) = self.slots.find(id) else { return 0 };
        conn.queued = false;
        if !conn.readable {
            return 0;
        }
        if !conn.wants_bytes() {
            self.look_for_failure(handler, id);
            return 0;
        }
        let read = self.read_once(handler, id);
        let goes_on = |conn: &mut Conn<L>| conn.readable && conn.hung_up && conn.wants_bytes();
        if (1..self.buffer.len()).contains(&read) && self.slots.find(id).is_some_and(goes_on) {
            return read + self.read_once(handler, id);
        }
        read
    }

    /// Reads once and hands over what came.
    fn read_once<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) -> usize {
        let Some(conn) = self.slots.find(id) else { return 0 };
        match rustix::net::recv(&conn.fd, &mut *self.buffer, RecvFlags::empty()) {
            Ok((0, _)) => self.ended(handler, id),
            Ok((read, _)) => {
                // What comes after a read that was not filled is a new edge.
                conn.readable = read == self.buffer.len() || conn.hung_up;
                self.received(handler, id, read);
                return read;
            }
            Err(Errno::AGAIN) => conn.readable = false,
            Err(Errno::INTR) => self.queue(id),
            Err(error) => self.close(handler, id, Closed::Failed(error.into())),
        }
        0
    }

    /// Hands over what the buffer holds. All is in order before the handler is called, should it panic.
    fn received<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId, read: usize) {
        self.mark(id);
        let Some(conn) = self.slots.find(id) else { return };
        if conn.readable && !std::mem::replace(&mut conn.queued, true) {
            self.readable.push_back(id);
        }
        if conn.listens() {
            self.pool.lend(conn.link.outbox());
            handler.received(id, &mut conn.link, &self.buffer[..read]);
            return;
        }
        conn.linger_bytes = conn.linger_bytes.saturating_sub(read);
        if conn.linger_bytes == 0 && conn.lingering {
            self.close(handler, id, Closed::Lingered);
        }
    }

    /// Notes the peer's FIN.
    fn ended<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        self.mark(id);
        let Some(conn) = self.slots.find(id) else { return };
        (conn.readable, conn.hung_up, conn.ended) = (false, false, true);
        if conn.listens() {
            self.pool.lend(conn.link.outbox());
            handler.fin_received(id, &mut conn.link);
        }
    }

    /// Closes a connection that is not read and has failed: the peer takes no answer any more.
    fn look_for_failure<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if !std::mem::replace(&mut conn.failed, false) {
            return;
        }
        if let Ok(Err(error)) = sockopt::socket_error(&conn.fd) {
            self.close(handler, id, Closed::Failed(error.into()));
        }
    }

    /// Sends what is queued, once; an empty outbox gives its buffer up.
    pub(super) fn write<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if !conn.drained() {
            if !conn.writable {
                return;
            }
            let last = conn.link.ending().follows_last_bytes();
            let sent = conn.flight.send(conn.fd.as_fd(), conn.link.outbox(), &mut self.pool, last);
            match sent {
                Ok(sent) if sent.bytes > 0 => self.sent(handler, id, sent.bytes, sent.whole),
                Ok(_) => return self.close(handler, id, Closed::Failed(io::ErrorKind::WriteZero.into())),
                Err(Errno::AGAIN) => self.await_room(handler, id),
                Err(Errno::INTR) => return self.mark(id),
                Err(error) => return self.close(handler, id, Closed::Failed(error.into())),
            }
        }
        let Some(conn) = self.slots.find(id) else { return };
        self.pool.reclaim(conn.link.outbox());
        if conn.writable && !conn.drained() {
            self.mark(id);
        }
    }

    /// Tells what the kernel took.
    fn sent<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId, bytes: usize, whole: bool) {
        self.called = true;
        if !whole {
            self.await_room(handler, id);
        }
        let Some(conn) = self.slots.find(id) else { return };
        while let Some(buffer) = self.pool.lent() {
            handler.buffer_sent(buffer);
        }
        let drained = conn.drained();
        self.pool.lend(conn.link.outbox());
        handler.sent(id, &mut conn.link, bytes, drained);
    }

    /// Waits for the peer to make room.
    fn await_room<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        conn.writable = false;
        if std::mem::replace(&mut conn.writing_watched, true) {
            return;
        }
        if let Err(error) = self.poller.watch_writing(conn.fd.as_fd(), Source::Conn(id)) {
            self.close(handler, id, Closed::Failed(error));
        }
    }
}
