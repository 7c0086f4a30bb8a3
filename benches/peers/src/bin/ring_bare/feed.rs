//! The topic: its subscribers and the events of a batch.

use std::rc::Rc;

use windlass_peers::bare::{self, Action, Encoding, Exchange};

/// Subscribers of the only topic, with the events to deliver.
#[derive(Default)]
pub(crate) struct Feed {
    subscribers: Vec<(usize, Encoding)>,
    /// Events published since the last [`take_events`](Self::take_events).
    events: Vec<Event>,
    published: u64,
}

/// One event in both encodings.
pub(crate) struct Event {
    chunks: Rc<[u8]>,
    frames: Rc<[u8]>,
}

impl Event {
    /// Returns the bytes for a subscriber with the given encoding.
    pub(crate) fn encoded(&self, encoding: Encoding) -> &Rc<[u8]> {
        match encoding {
            Encoding::Chunks => &self.chunks,
            Encoding::Frames => &self.frames,
        }
    }
}

impl Feed {
    /// Answers the complete requests of `input` like [`Exchange::serve`], and queues the events that they
    /// publish.
    pub(crate) fn serve(&mut self, exchange: &Exchange, input: &[u8], out: &mut Vec<u8>) -> (usize, Action) {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let (taken, then) = exchange.serve(rest, out);
            used += taken;
            let Action::Publish { start, end } = then else { return (used, then) };
            self.published += 1;
            let data = &rest[start..end];
            let chunks = bare::stream_event(self.published, data).into();
            self.events.push(Event { chunks, frames: bare::message_event(data).into() });
        }
    }

    /// Subscribes the connection in the given slot.
    pub(crate) fn subscribe(&mut self, slot: usize, encoding: Encoding) {
        self.subscribers.push((slot, encoding));
    }

    /// Unsubscribes the connection in the given slot, if it is subscribed.
    pub(crate) fn unsubscribe(&mut self, slot: usize) {
        self.subscribers.retain(|(subscriber, _)| *subscriber != slot);
    }

    /// Returns the slots of the subscribers and their encodings.
    pub(crate) fn subscribers(&self) -> &[(usize, Encoding)] {
        &self.subscribers
    }

    /// Returns the events of the batch and clears the queue.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
