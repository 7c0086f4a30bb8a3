//! The replies a connection owes, in the order of their requests.

use std::{collections::VecDeque, time::Instant};

use crate::{
    body::Body,
    conn::{Outcome, account::Account, run::Task},
    proto::h1::{Exchange, encode::Framing},
};

/// What is kept of a request until its reply is written.
pub(super) struct Meta {
    pub(super) exchange: Exchange,
    pub(super) account: Account,
}

/// Where a reply stands.
pub(super) enum State {
    /// Its handler runs.
    Waiting(Task),
    /// It is there, and earlier ones are not.
    Ready(Outcome),
    /// Its head is written, its body is coming.
    Streaming(Streaming),
}

impl State {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Waiting(task) => task.deadline(),
            Self::Ready(_) | Self::Streaming(_) => None,
        }
    }
}

/// A reply whose body is being written.
pub(super) struct Streaming {
    pub(super) body: Body,
    pub(super) framing: Framing,
    /// Bytes still due, where the head declared a length.
    pub(super) left: Option<u64>,
    pub(super) status: http::StatusCode,
    pub(super) written: u64,
    /// The body was not asked because too much waited for the peer.
    pub(super) held_back: bool,
    /// The body may accept a tap.
    pub(super) may_tap: bool,
}

/// One reply that is owed.
pub(super) struct Slot {
    pub(super) meta: Meta,
    pub(super) state: State,
}

/// The replies that are owed, oldest first.
#[derive(Default)]
pub(super) struct Slots {
    list: VecDeque<Slot>,
    /// Number of the first in the list; counts up for the life of the connection.
    first: u32,
}

impl Slots {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Says whether a request is in flight that others must not overlap.
    pub(super) fn has_unsafe(&self) -> bool {
        self.list.iter().any(|slot| !slot.meta.exchange.method.is_safe())
    }

    /// Returns the number the next slot will have.
    pub(super) fn next_seq(&self) -> u32 {
        self.first.wrapping_add(self.list.len() as u32)
    }

    pub(super) fn push(&mut self, meta: Meta, state: State) {
        self.list.push_back(Slot { meta, state });
    }

    /// Puts a reply in its slot; false when nobody waits for it.
    pub(super) fn fill(&mut self, seq: u32, outcome: Outcome) -> bool {
        let index = seq.wrapping_sub(self.first) as usize;
        match self.list.get_mut(index) {
            Some(slot) if matches!(slot.state, State::Waiting(_)) => {
                slot.state = State::Ready(outcome);
                true
            }
            _ => false,
        }
    }

    /// Returns when the first of the running handlers has to have answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.list.iter().filter_map(|slot| slot.state.deadline()).min()
    }

    /// Answers for handlers whose time is up, and cancels them.
    pub(super) fn expire(&mut self, now: Instant, answer: impl Fn() -> Outcome) {
        for slot in &mut self.list {
            if slot.state.deadline().is_some_and(|deadline| deadline <= now) {
                let late = std::mem::replace(&mut slot.state, State::Ready(answer()));
                if let State::Waiting(task) = late {
                    task.cancel();
                }
            }
        }
    }

    pub(super) fn front(&self) -> Option<&Slot> {
        self.list.front()
    }

    /// Returns the oldest reply if it is being written.
    pub(super) fn streaming(&mut self) -> Option<&mut Streaming> {
        match &mut self.list.front_mut()?.state {
            State::Streaming(streaming) => Some(streaming),
            State::Waiting(_) | State::Ready(_) => None,
        }
    }

    /// Says whether the oldest reply goes on when its body does and not before.
    pub(super) fn awaits_body(&self) -> bool {
        matches!(self.front(), Some(Slot { state: State::Streaming(streaming), .. }) if !streaming.held_back)
    }

    /// Takes the oldest slot out.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let slot = self.list.pop_front()?;
        self.first = self.first.wrapping_add(1);
        Some(slot)
    }

    /// Takes the oldest slot if its reply is there.
    pub(super) fn pop_ready(&mut self) -> Option<(Meta, Outcome)> {
        self.list.front().filter(|slot| matches!(slot.state, State::Ready(_)))?;
        match self.pop()? {
            Slot { meta, state: State::Ready(outcome) } => Some((meta, outcome)),
            Slot { .. } => None,
        }
    }

    /// Puts a reply that is being written to the front, whose slot, if it had one, was taken out.
    pub(super) fn unpop(&mut self, meta: Meta, streaming: Streaming) {
        self.first = self.first.wrapping_sub(1);
        self.list.push_front(Slot { meta, state: State::Streaming(streaming) });
    }
}
