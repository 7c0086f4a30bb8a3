//! Receiving and sending on connections.

use std::{io, os::fd::AsFd};

use rustix::{
    io::Errno,
    net::{RecvFlags, sockopt},
};

use super::{Epoll, poller::Source, readiness::Socket};
use crate::net::{
    engine::{Closed, Connection, EventHandler},
    slots::ConnId,
};

impl<T: Connection> Epoll<T> {
    /// Reads a connection once, and a second time if a FIN or an error follows the bytes. Returns the number
    /// of bytes.
    ///
    /// A connection that may have more bytes goes to the end of the read queue.
    pub(super) fn read<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) -> usize {
        let Some(socket) = self.sockets.get_mut(id) else { return 0 };
        socket.io.in_read_queue = false;
        if !socket.io.readable {
            return 0;
        }
        if !socket.wants_bytes() {
            self.check_failure(handler, id);
            return 0;
        }
        let read = self.read_once(handler, id);
        let may_read_end =
            |socket: &mut Socket<T>| socket.io.readable && socket.io.hung_up && socket.wants_bytes();
        if (1..self.buffer.len()).contains(&read) && self.sockets.get_mut(id).is_some_and(may_read_end) {
            return read + self.read_once(handler, id);
        }
        read
    }

    /// Reads a connection once and passes the bytes to the handler. Returns the number of bytes.
    fn read_once<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) -> usize {
        let Some(socket) = self.sockets.get_mut(id) else { return 0 };
        match rustix::net::recv(&socket.fd, &mut *self.buffer, RecvFlags::empty()) {
            Ok((0, _)) => self.fin_received(handler, id),
            Ok((read, _)) => {
                // If the buffer is not full, all bytes are read, and the next ones cause a new event.
                socket.io.readable = read == self.buffer.len() || socket.io.hung_up;
                self.received(handler, id, read);
                return read;
            }
            Err(Errno::AGAIN) => socket.io.readable = false,
            Err(Errno::INTR) => self.queue_read(id),
            Err(error) => self.close(handler, id, Closed::Failed(error.into())),
        }
        0
    }

    /// Passes the bytes in the buffer to the handler, or discards them.
    ///
    /// All flags and lists are updated before the handler is called, because it may panic.
    fn received<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId, read: usize) {
        self.mark_dirty(id);
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.io.readable && !std::mem::replace(&mut socket.io.in_read_queue, true) {
            self.read_queue.push_back(id);
        }
        if socket.delivers() {
            self.pool.supply(socket.conn.outbox());
            handler.received(id, &mut socket.conn, &self.buffer[..read]);
            return;
        }
        let lifts = handler.discarded(id, &mut socket.conn, read);
        if socket.count_discarded(read, lifts) && socket.is_lingering() {
            self.close(handler, id, Closed::Lingered);
        }
    }

    /// Reads and writes a connection once, whatever the kernel has reported so far.
    pub(super) fn transfer_unannounced<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.wants_bytes() {
            socket.io.readable = true;
            self.read(handler, id);
        }
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if !socket.is_drained() {
            socket.io.writable = true;
            self.write(handler, id);
        }
        self.mark_dirty(id);
    }

    /// Handles the peer's FIN.
    fn fin_received<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        self.mark_dirty(id);
        let Some(socket) = self.sockets.get_mut(id) else { return };
        (socket.io.readable, socket.io.hung_up, socket.fin_received) = (false, false, true);
        if socket.delivers() {
            self.pool.supply(socket.conn.outbox());
            handler.fin_received(id, &mut socket.conn);
        }
    }

    /// Closes a connection that is not read and has an error: its peer takes no more bytes.
    fn check_failure<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if !std::mem::replace(&mut socket.io.failed, false) {
            return;
        }
        if let Ok(Err(error)) = sockopt::socket_error(&socket.fd) {
            self.close(handler, id, Closed::Failed(error.into()));
        }
    }

    /// Sends queued bytes with one call. An empty outbox returns its buffer to the pool.
    pub(super) fn write<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if !socket.is_drained() {
            if !socket.io.writable {
                return;
            }
            let last = socket.conn.ending().follows_last_bytes();
            let sent = socket.io.outgoing.send(socket.fd.as_fd(), socket.conn.outbox(), &mut self.pool, last);
            match sent {
                Ok(sent) if sent.bytes > 0 => self.sent(handler, id, sent.bytes, sent.whole),
                Ok(_) => return self.close(handler, id, Closed::Failed(io::ErrorKind::WriteZero.into())),
                Err(Errno::AGAIN) => self.await_writable(handler, id),
                Err(Errno::INTR) => return self.mark_dirty(id),
                Err(error) => return self.close(handler, id, Closed::Failed(error.into())),
            }
        }
        let Some(socket) = self.sockets.get_mut(id) else { return };
        self.pool.reclaim(socket.conn.outbox());
        if socket.io.writable && !socket.is_drained() {
            self.mark_dirty(id);
        }
    }

    /// Reports sent bytes to the handler. `whole` is `false` if the kernel took fewer bytes than it was
    /// offered.
    fn sent<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId, bytes: usize, whole: bool) {
        self.skip_wait = true;
        if !whole {
            self.await_writable(handler, id);
        }
        let Some(socket) = self.sockets.get_mut(id) else { return };
        while let Some(buffer) = self.pool.pop_lent() {
            handler.buffer_sent(buffer);
        }
        let drained = socket.is_drained();
        self.pool.supply(socket.conn.outbox());
        handler.sent(id, &mut socket.conn, bytes, drained);
    }

    /// Pauses sending until the kernel reports room in the send buffer.
    fn await_writable<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.io.writable = false;
        if std::mem::replace(&mut socket.io.watches_writable, true) {
            return;
        }
        if let Err(error) = self.poller.watch_writable(socket.fd.as_fd(), Source::Conn(id)) {
            self.close(handler, id, Closed::Failed(error));
        }
    }
}
