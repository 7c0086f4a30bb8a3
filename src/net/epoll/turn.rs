//! One turn: look at what changed, wait once, read, write.

use std::{io, os::fd::AsFd};

use super::{
    Epoll,
    conn::Conn,
    poller::{Event, Source},
};
use crate::net::{Accepted, Carrier, Closed, ConnId, Ending, Link, Wait, accepting::Taken};

impl<L: Link> Epoll<L> {
    /// Runs a turn.
    pub(super) fn run<C: Carrier<Conn = L>>(&mut self, carrier: &mut C, wait: Wait) -> io::Result<()> {
        self.settle_dirty(carrier);
        let wait = self.prepare_wait(wait)?;
        self.poller.poll(wait)?;
        self.take_events();
        carrier.resumed();
        self.read_ready(carrier);
        self.open_accepted(carrier);
        self.settle_dirty(carrier);
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
            self.deadline.arm(deadline)?;
        }
        Ok(true)
    }

    /// Notes everything that happened before the carrier is called: no edge is told twice.
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
                Source::Timer => self.deadline.fired(),
                Source::Doorbell => {}
            }
        }
        self.acceptor.look();
    }

    /// Reads each connection that has something, once, as far as the turn's share of bytes goes.
    fn read_ready<C: Carrier<Conn = L>>(&mut self, carrier: &mut C) {
        let mut share = usize::from(self.options.buffers).max(1) * self.options.buffer_bytes;
        for _ in 0..self.readable.len().min(self.options.batch) {
            let Some(id) = self.readable.pop_front() else { return };
            let read = self.read(carrier, id);
            if read >= share {
                return;
            }
            share -= read;
        }
    }

    /// Acts on what connections want since they were last looked at. One that has more to send after that is
    /// looked at again in the next pass, so that none holds the others.
    fn settle_dirty<C: Carrier<Conn = L>>(&mut self, carrier: &mut C) {
        for _ in 0..self.dirty.len() {
            let Some(id) = self.dirty.pop_front() else { return };
            self.settle(carrier, id);
        }
    }

    fn settle<C: Carrier<Conn = L>>(&mut self, carrier: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        conn.dirty = false;
        if conn.link.ending() == Ending::Abort {
            self.close(carrier, id, Closed::Aborted);
            return;
        }
        self.write(carrier, id);
        let Some(conn) = self.slots.find(id) else { return };
        match conn.link.ending() {
            Ending::Open => {}
            Ending::Finish | Ending::Close => self.finish(carrier, id),
            Ending::Abort => return self.close(carrier, id, Closed::Aborted),
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
        self.spares.lend(conn.link.outbox());
        f(&mut conn.link);
        self.spares.reclaim(conn.link.outbox());
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
    fn open_accepted<C: Carrier<Conn = L>>(&mut self, carrier: &mut C) {
        self.elsewhere = !self.has_slot() && carrier.has_room_elsewhere();
        for _ in 0..self.options.accepts_per_turn {
            if !self.may_open() {
                return;
            }
            let opened = match self.acceptor.next() {
                Ok(None) => return,
                Ok(Some(taken)) => self.place(carrier, taken),
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                self.called = true;
                carrier.accept_failed(&error);
            }
        }
    }

    /// Opens a connection here, or lets another shard have it.
    fn place<C: Carrier<Conn = L>>(&mut self, carrier: &mut C, taken: Taken) -> io::Result<()> {
        let Some(taken) = taken.unless_handed_over(carrier) else { return Ok(()) };
        if self.has_slot() {
            return self.open(carrier, taken);
        }
        self.elsewhere = false;
        self.acceptor.put_back(taken);
        Ok(())
    }

    fn open<C: Carrier<Conn = L>>(&mut self, carrier: &mut C, taken: Taken) -> io::Result<()> {
        let Taken { fd, listener, is_adopted } = taken;
        let id = self.slots.next_id();
        if let Err(error) = self.poller.watch(fd.as_fd(), Source::Conn(id)) {
            self.acceptor.back_off(listener, &error);
            return Err(error);
        }
        let link = carrier.open(id, Accepted { fd: fd.as_fd(), listener, is_adopted });
        self.slots.insert(Conn::new(link, fd, self.options.linger_bytes));
        self.mark(id);
        Ok(())
    }
}
