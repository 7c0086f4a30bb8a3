//! A lane: a bounded queue of jobs and the threads that serve it.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

use tokio::sync::watch;

use super::queue::Queue;
use super::{
    counters::Tally,
    job::{Kind, Refusal, Rejected},
    queued_job::{Running, Ticket},
};
use crate::error::TellError;

pub(super) struct Lane<J: ?Sized + Kind> {
    /// Holds cancelled tickets too, so it is twice as long as jobs may wait; see `purge`.
    pub(super) tickets: Queue<Arc<Ticket<J>>>,
    capacity: usize,
    pub(super) tally: Arc<Tally>,
    purging: Mutex<()>,
    /// Turns true when workers shall drop what they run.
    leave: watch::Sender<bool>,
    threads: Mutex<usize>,
    thread_left: Condvar,
}

impl<J: ?Sized + Kind> Lane<J> {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        Arc::new(Self {
            tickets: Queue::new(2 * capacity),
            capacity,
            tally: Arc::default(),
            purging: Mutex::new(()),
            leave: watch::Sender::new(false),
            threads: Mutex::new(0),
            thread_left: Condvar::new(),
        })
    }

    pub(super) fn submit(
        self: &Arc<Self>,
        job: Box<J>,
        start_by: Option<Instant>,
    ) -> Result<Arc<Ticket<J>>, Rejected<J>> {
        let room = |queued: usize| (queued < self.capacity).then_some(queued + 1);
        if self.tally.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            self.tally.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(Rejected { job, reason: Refusal::Full });
        }
        self.tally.submitted.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket::new(Arc::clone(&self.tally), job, start_by);
        match self.push(Arc::clone(&ticket)) {
            Ok(()) => Ok(ticket),
            Err(ticket) => Err(self.give_back(&ticket)),
        }
    }

    fn give_back(&self, ticket: &Ticket<J>) -> Rejected<J> {
        self.tally.queued.fetch_sub(1, Ordering::Relaxed);
        self.tally.submitted.fetch_sub(1, Ordering::Relaxed);
        // Nobody else has seen the ticket, so the job is in it.
        let job =
            ticket.take().unwrap_or_else(|| unreachable!("a ticket that was never queued keeps its job"));
        Rejected { job, reason: Refusal::Stopped }
    }

    /// Queues a ticket; it comes back when the lane is closed.
    fn push(&self, mut ticket: Arc<Ticket<J>>) -> Result<(), Arc<Ticket<J>>> {
        loop {
            match self.tickets.try_push(ticket) {
                Ok(()) => return Ok(()),
                Err(TellError::Closed(back)) => return Err(back),
                Err(TellError::Full(back)) => ticket = back,
            }
            self.purge();
        }
    }

    /// Throws cancelled tickets out of a queue that is full. At least half of them are, so the cost for each
    /// cancelled job stays constant, and peers that cancel cannot keep the queue full.
    fn purge(&self) {
        let _one_at_a_time = self.purging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut living = VecDeque::new();
        for _ in 0..self.tickets.len() {
            living.extend(self.tickets.pop().filter(|ticket| ticket.is_waiting()));
        }
        while let Some(ticket) = living.pop_front() {
            match self.tickets.try_push(ticket) {
                Ok(()) => {}
                Err(TellError::Full(ticket)) => {
                    // Others were quicker to fill the room: the queue holds cancelled tickets again.
                    living.push_front(ticket);
                    living.extend(self.tickets.pop().filter(|ticket| ticket.is_waiting()));
                }
                Err(TellError::Closed(ticket)) => self.refuse_ticket(&ticket),
            }
        }
    }

    /// Takes the job of a ticket to run it. `None`: it was cancelled before, or is refused for being late.
    pub(super) fn start(&self, ticket: &Arc<Ticket<J>>) -> Option<(Box<J>, Running<J>)> {
        let job = ticket.take()?;
        if ticket.start_by.is_some_and(|at| at <= Instant::now()) {
            self.tally.refuse(job, Refusal::Expired);
            return None;
        }
        Some((job, ticket.run()))
    }

    fn refuse_ticket(&self, ticket: &Ticket<J>) {
        if let Some(job) = ticket.take() {
            self.tally.refuse(job, Refusal::Stopped);
        }
    }

    /// Refuses every job that waits.
    pub(super) fn refuse_all(&self) {
        while let Some(ticket) = self.tickets.pop() {
            self.refuse_ticket(&ticket);
        }
    }

    /// Has workers drop what they run and end.
    pub(super) fn dismiss(&self) {
        self.leave.send_replace(true);
    }

    /// Returns what turns true when workers shall end.
    pub(super) fn dismissal(&self) -> watch::Receiver<bool> {
        self.leave.subscribe()
    }

    /// Counts a thread of this lane in until what is returned is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Presence<J> {
        *self.threads.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Presence(Arc::clone(self))
    }

    /// Waits until all threads have ended or `until` has come, and returns how many have not.
    pub(super) fn remaining(&self, until: Instant) -> usize {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if *threads == 0 || left.is_zero() {
                return *threads;
            }
            threads = self.thread_left.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A thread of a lane.
pub(super) struct Presence<J: ?Sized + Kind>(Arc<Lane<J>>);

impl<J: ?Sized + Kind> Drop for Presence<J> {
    fn drop(&mut self) {
        *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.thread_left.notify_all();
    }
}
