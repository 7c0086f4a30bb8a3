//! One turn of the engine: act on changed connections, wait once, read, write.

use std::{io, os::fd::AsFd};

use windlass_actors::Wait;

use super::{
    Epoll,
    poller::{Event, Source},
    readiness::{Readiness, Socket},
};
use crate::net::{
    accept::PendingSocket,
    engine::{Accepted, Closed, Connection, Ending, EventHandler},
    slots::ConnId,
};

impl<T: Connection> Epoll<T> {
    /// Runs one turn, as [`Engine::turn`](crate::net::Engine::turn) describes.
    pub(super) fn run<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, wait: Wait) -> io::Result<()> {
        self.drive_dirty(handler);
        let wait = self.prepare_wait(wait)?;
        self.poller.poll(wait)?;
        self.record_events();
        handler.batch_started();
        self.read_queued(handler);
        self.open_accepted(handler);
        self.drive_dirty(handler);
        self.skip_wait = false;
        Ok(())
    }

    /// Arms the timer. Returns `true` if the turn may wait.
    fn prepare_wait(&mut self, wait: Wait) -> io::Result<bool> {
        let has_work = !self.read_queue.is_empty() || !self.dirty.is_empty() || self.can_open();
        if wait == Wait::Poll || self.skip_wait || has_work {
            return Ok(false);
        }
        let until = if let Wait::Until(until) = wait { Some(until) } else { None };
        if let Some(deadline) = until.into_iter().chain(self.acceptor.retry_at()).min() {
            self.timer.arm(deadline)?;
        }
        Ok(true)
    }

    /// Records all events before the handler is called. It may panic, and the kernel reports no edge twice.
    fn record_events(&mut self) {
        for event in self.poller.events() {
            match event.source {
                Source::Conn(id) => {
                    let Some(socket) = self.sockets.get_mut(id) else { continue };
                    socket.io.add(event);
                    let Event { readable, writable, .. } = event;
                    if readable && !std::mem::replace(&mut socket.io.in_read_queue, true) {
                        self.read_queue.push_back(id);
                    }
                    if writable && !std::mem::replace(&mut socket.dirty, true) {
                        self.dirty.push_back(id);
                    }
                }
                Source::Listener(index) => self.acceptor.mark_ready(index),
                Source::Timer => self.timer.fired(),
                Source::Doorbell => {}
            }
        }
        self.acceptor.expire_backoffs();
    }

    /// Reads the connections in the read queue, each once, until the turn has used up its share of bytes.
    fn read_queued<H: EventHandler<Conn = T>>(&mut self, handler: &mut H) {
        let mut share = usize::from(self.options.buffers).max(1) * self.options.buffer_bytes;
        for _ in 0..self.read_queue.len().min(self.options.batch) {
            let Some(id) = self.read_queue.pop_front() else { return };
            let read = self.read(handler, id);
            if read >= share {
                return;
            }
            share -= read;
        }
    }

    /// Handles the connections whose state may have changed, each once. A connection that has more to send is
    /// marked again for the next pass, so that it does not delay the others.
    fn drive_dirty<H: EventHandler<Conn = T>>(&mut self, handler: &mut H) {
        for _ in 0..self.dirty.len() {
            let Some(id) = self.dirty.pop_front() else { return };
            self.drive(handler, id);
        }
    }

    /// Aborts, sends, ends or reads, as the connection's state requests.
    fn drive<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.dirty = false;
        if socket.conn.ending() == Ending::Abort {
            self.close(handler, id, Closed::Aborted);
            return;
        }
        self.write(handler, id);
        let Some(socket) = self.sockets.get_mut(id) else { return };
        match socket.conn.ending() {
            Ending::Open => {}
            Ending::Finish | Ending::Close => self.finish(handler, id),
            Ending::Abort => return self.close(handler, id, Closed::Aborted),
        }
        self.resume_reading(id);
    }

    /// Queues a connection that wants bytes and was not read to its end.
    fn resume_reading(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.io.readable && socket.wants_bytes() {
            self.queue_read(id);
        }
    }

    /// Calls `f` with an open connection whose outbox has a buffer, and marks it. Returns `false` if the
    /// connection is gone.
    pub(super) fn with_conn(&mut self, id: ConnId, f: impl FnOnce(&mut T)) -> bool {
        let Some(socket) = self.sockets.get_mut(id) else { return false };
        self.pool.supply(socket.conn.outbox());
        f(&mut socket.conn);
        self.pool.reclaim(socket.conn.outbox());
        self.mark_dirty(id);
        true
    }

    /// Marks a connection whose state may have changed.
    pub(super) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && !std::mem::replace(&mut socket.dirty, true)
        {
            self.dirty.push_back(id);
        }
    }

    /// Adds a connection to the read queue.
    pub(super) fn queue_read(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && !std::mem::replace(&mut socket.io.in_read_queue, true)
        {
            self.read_queue.push_back(id);
        }
    }

    /// Returns `true` if there may be a connection that can be opened here or handed over.
    pub(super) fn can_open(&self) -> bool {
        self.acceptor.may_have_next() && (self.has_free_slot() || self.can_hand_over)
    }

    fn has_free_slot(&self) -> bool {
        self.sockets.len() < self.options.max_connections
    }

    /// Accepts connections and opens them or hands them over, up to the limit of one turn.
    fn open_accepted<H: EventHandler<Conn = T>>(&mut self, handler: &mut H) {
        self.can_hand_over = !self.has_free_slot() && handler.can_hand_over();
        for _ in 0..self.options.accepts_per_turn {
            if !self.can_open() {
                return;
            }
            let opened = match self.acceptor.next() {
                Ok(None) => return,
                Ok(Some(pending)) => self.open_or_hand_over(handler, pending),
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                self.skip_wait = true;
                handler.accept_failed(&error);
            }
        }
    }

    fn open_or_hand_over<H>(&mut self, handler: &mut H, pending: PendingSocket) -> io::Result<()>
    where
        H: EventHandler<Conn = T>,
    {
        let Some(pending) = pending.keep_or_hand_over(handler) else { return Ok(()) };
        if self.has_free_slot() {
            return self.open(handler, pending);
        }
        self.can_hand_over = false;
        self.acceptor.queue.put_back(pending);
        Ok(())
    }

    fn open<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, pending: PendingSocket) -> io::Result<()> {
        let PendingSocket { fd, listener, is_adopted } = pending;
        let id = self.sockets.next_id();
        if let Err(error) = self.poller.watch(fd.as_fd(), Source::Conn(id)) {
            self.acceptor.back_off(listener, &error);
            return Err(error);
        }
        let conn = handler.open(id, Accepted { fd: fd.as_fd(), listener, is_adopted });
        self.sockets.insert(Socket::new(conn, fd, Readiness::new(), self.options.linger_bytes));
        self.mark_dirty(id);
        Ok(())
    }
}
