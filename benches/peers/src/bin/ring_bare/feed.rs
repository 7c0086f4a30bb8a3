//! The topic: who subscribed, and the events of a batch.

use std::rc::Rc;

use windlass_peers::bare::{self, Exchange, Then};

/// The subscribers of the only topic.
#[derive(Default)]
pub(crate) struct Feed {
    subscribers: Vec<usize>,
    /// Events published since [`take`](Self::take).
    events: Vec<Rc<[u8]>>,
    published: u64,
}

impl Feed {
    /// Answers the requests that `input` holds whole, as [`Exchange::serve`], and keeps the events among them.
    pub(crate) fn serve(&mut self, exchange: &Exchange, input: &[u8], out: &mut Vec<u8>) -> (usize, Then) {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let (taken, then) = exchange.serve(rest, out);
            used += taken;
            let Then::Publish { start, end } = then else { return (used, then) };
            self.published += 1;
            self.events.push(bare::stream_event(self.published, &rest[start..end]).into());
        }
    }

    /// Adds the connection in this slot.
    pub(crate) fn subscribe(&mut self, slot: usize) {
        self.subscribers.push(slot);
    }

    /// Takes the connection in this slot out, if it subscribed.
    pub(crate) fn leave(&mut self, slot: usize) {
        self.subscribers.retain(|subscriber| *subscriber != slot);
    }

    /// Returns the slots of the subscribers.
    pub(crate) fn subscribers(&self) -> &[usize] {
        &self.subscribers
    }

    /// Takes the events of the batch.
    pub(crate) fn take(&mut self) -> Vec<Rc<[u8]>> {
        std::mem::take(&mut self.events)
    }
}
