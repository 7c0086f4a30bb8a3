//! One turn: look at what changed, wait once, read, write.

use std::{io, os::fd::AsFd};

use super::{
    Epoll,
    conn::Conn,
    poller::{Event, Source},
};
use crate::net::{Accepted, Closed, ConnId, Connection, Ending, EventHandler, Wait, accept::Taken};

impl<L: Connection> Epoll<L> {
    /// Runs a turn.
    pub(super) fn run<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, wait: Wait) -> io::Result<()> {
        self.settle_dirty(handler);
        let wait = self.prepare_wait(wait)?;
        self.poller.poll(wait)?;
        self.take_events();
        handler.batch_started();
        self.read_ready(handler);
        self.open_accepted(handler);
        self.settle_dirty(handler);
        self.called = false;
        Ok(())
    }

    /// Arms the deadline and says whether to wait at all.
    fn prepare_wait(&mut self, wait: Wait) -> io::Result<bool> {
        let waiting = !self.readable.is_empty() || !self.dirty.is_empty() || self.may_open();
        if wait == Wait::Poll || self.called || waiting {
            return Ok(false);
        }
        let until = if let Wait::Until(until) = wait { Some(until) } else { None };
        if let Some(deadline) = until.into_iter().chain(self.acceptor.retry()).min() {
            self.timer.arm(deadline)?;
        }
        Ok(true)
    }

    /// Notes everything that happened before the handler is called: no edge is told twice.
    fn take_events(&mut self) {
        for event in self.poller.events() {
            match event.source {
                Source::Conn(id) => {
                    let Some(conn) = self.slots.find(id) else { continue };
                    conn.note(event);
                    let Event { readable, writable, .. } = event;
                    if readable && !std::mem::replace(&mut conn.queued, true) {
                        self.readable.push_back(id);
                    }
                    if writable && !std::mem::replace(&mut conn.dirty, true) {
                        self.dirty.push_back(id);
                    }
                }
                Source::Listener(index) => self.acceptor.rung(index),
                Source::Timer => self.timer.fired(),
                Source::Doorbell => {}
            }
        }
        self.acceptor.look();
    }

    /// Reads each connection that has something, once, as far as the turn's share of bytes goes.
    fn read_ready<C: EventHandler<Conn = L>>(&mut self, handler: &mut C) {
        let mut share = usize::from(self.options.buffers).max(1) * self.options.buffer_bytes;
        for _ in 0..self.readable.len().min(self.options.batch) {
            let Some(id) = self.readable.pop_front() else { return };
            let read = self.read(handler, id);
            if read >= share {
                return;
            }
            share -= read;
        }
    }

    /// Acts on what connections want since they were last looked at. One that has more to send after that is
    /// looked at again in the next pass, so that none holds the others.
    fn settle_dirty<C: EventHandler<Conn = L>>(&mut self, handler: &mut C) {
        for _ in 0..self.dirty.len() {
            let Some(id) = self.dirty.pop_front() else { return };
            self.settle(handler, id);
        }
    }

    fn settle<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        conn.dirty = false;
        if conn.link.ending() == Ending::Abort {
            self.close(handler, id, Closed::Aborted);
            return;
        }
        self.write(handler, id);
        let Some(conn) = self.slots.find(id) else { return };
        match conn.link.ending() {
            Ending::Open => {}
            Ending::Finish | Ending::Close => self.finish(handler, id),
            Ending::Abort => return self.close(handler, id, Closed::Aborted),
        }
        self.resume(id);
    }

    /// Puts a connection that wants bytes back on the list of those to read, if it was not read to its end.
    fn resume(&mut self, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if conn.readable && conn.wants_bytes() {
            self.queue(id);
        }
    }

    /// Shows a live connection to `f` with a buffer in its outbox, then looks at it later. False when it is gone.
    pub(super) fn show(&mut self, id: ConnId, f: impl FnOnce(&mut L)) -> bool {
        let Some(conn) = self.slots.find(id) else { return false };
        self.pool.lend(conn.link.outbox());
        f(&mut conn.link);
        self.pool.reclaim(conn.link.outbox());
        self.mark(id);
        true
    }

    /// Puts a connection on the list of those to look at.
    pub(super) fn mark(&mut self, id: ConnId) {
        if let Some(conn) = self.slots.find(id)
            && !std::mem::replace(&mut conn.dirty, true)
        {
            self.dirty.push_back(id);
        }
    }

    /// Puts a connection on the list of those to read.
    pub(super) fn queue(&mut self, id: ConnId) {
        if let Some(conn) = self.slots.find(id)
            && !std::mem::replace(&mut conn.queued, true)
        {
            self.readable.push_back(id);
        }
    }

    /// Says whether a connection may wait to be accepted and there is a slot for it.
    pub(super) fn may_open(&self) -> bool {
        self.acceptor.may_have_one() && (self.has_slot() || self.elsewhere)
    }

    fn has_slot(&self) -> bool {
        self.slots.len() < self.options.max_connections
    }

    /// Opens connections: a bounded number, so that a storm of them does not starve others.
    fn open_accepted<C: EventHandler<Conn = L>>(&mut self, handler: &mut C) {
        self.elsewhere = !self.has_slot() && handler.can_hand_over();
        for _ in 0..self.options.accepts_per_turn {
            if !self.may_open() {
                return;
            }
            let opened = match self.acceptor.next() {
                Ok(None) => return,
                Ok(Some(taken)) => self.place(handler, taken),
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                self.called = true;
                handler.accept_failed(&error);
            }
        }
    }

    /// Opens a connection here, or lets another shard have it.
    fn place<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, taken: Taken) -> io::Result<()> {
        let Some(taken) = taken.unless_handed_over(handler) else { return Ok(()) };
        if self.has_slot() {
            return self.open(handler, taken);
        }
        self.elsewhere = false;
        self.acceptor.put_back(taken);
        Ok(())
    }

    fn open<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, taken: Taken) -> io::Result<()> {
        let Taken { fd, listener, is_adopted } = taken;
        let id = self.slots.next_id();
        if let Err(error) = self.poller.watch(fd.as_fd(), Source::Conn(id)) {
            self.acceptor.back_off(listener, &error);
            return Err(error);
        }
        let link = handler.open(id, Accepted { fd: fd.as_fd(), listener, is_adopted });
        self.slots.insert(Conn::new(link, fd, self.options.linger_bytes));
        self.mark(id);
        Ok(())
    }
}
