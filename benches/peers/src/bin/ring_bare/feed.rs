//! The topic: who subscribed, and the events of a batch.

use std::rc::Rc;

use windlass_peers::bare::{self, Carrier, Exchange, Then};

/// The subscribers of the only topic.
#[derive(Default)]
pub(crate) struct Feed {
    subscribers: Vec<(usize, Carrier)>,
    /// Events published since [`take`](Self::take).
    events: Vec<Event>,
    published: u64,
}

/// One event in the forms that it is sent in.
pub(crate) struct Event {
    chunks: Rc<[u8]>,
    frames: Rc<[u8]>,
}

impl Event {
    /// Returns what a subscriber gets.
    pub(crate) fn form(&self, carrier: Carrier) -> &Rc<[u8]> {
        match carrier {
            Carrier::Chunks => &self.chunks,
            Carrier::Frames => &self.frames,
        }
    }
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
            let data = &rest[start..end];
            let chunks = bare::stream_event(self.published, data).into();
            self.events.push(Event { chunks, frames: bare::message_event(data).into() });
        }
    }

    /// Adds the connection in this slot.
    pub(crate) fn subscribe(&mut self, slot: usize, carrier: Carrier) {
        self.subscribers.push((slot, carrier));
    }

    /// Takes the connection in this slot out, if it subscribed.
    pub(crate) fn leave(&mut self, slot: usize) {
        self.subscribers.retain(|(subscriber, _)| *subscriber != slot);
    }

    /// Returns the slots of the subscribers and what they get.
    pub(crate) fn subscribers(&self) -> &[(usize, Carrier)] {
        &self.subscribers
    }

    /// Takes the events of the batch.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
