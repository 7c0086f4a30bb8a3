//! Which streams of a connection have something to go on with.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// The list of streams that were woken. While the connection is at work it will look at the list by itself;
/// else a wake brings a message to it.
pub(super) struct Woken {
    ready: Mutex<Ready>,
    connection: Waker,
}

#[derive(Default)]
struct Ready {
    /// Each once: see [`StreamWaker::queued`].
    list: Vec<Arc<StreamWaker>>,
    at_work: bool,
    /// The connection is over: nothing is taken any more. What is on the list holds the list.
    closed: bool,
}

impl Woken {
    pub(super) fn new(connection: Waker) -> Arc<Self> {
        Arc::new(Self { ready: Mutex::default(), connection })
    }

    /// Makes the waker of a stream.
    pub(super) fn waker(self: &Arc<Self>, stream: u32) -> Waker {
        Waker::from(Arc::new(StreamWaker { woken: self.clone(), stream, queued: AtomicBool::new(false) }))
    }

    /// Notes that the connection works and will look at the list before it stops.
    pub(super) fn enter(&self) {
        self.lock().at_work = true;
    }

    /// Stops working unless the list has something; says whether it stopped.
    pub(super) fn leave(&self) -> bool {
        let mut ready = self.lock();
        ready.at_work = !ready.list.is_empty();
        !ready.at_work
    }

    /// Stops working for this turn; what is on the list brings a message.
    pub(super) fn pause(&self) {
        let mut ready = self.lock();
        ready.at_work = false;
        if !ready.list.is_empty() {
            drop(ready);
            self.connection.wake_by_ref();
        }
    }

    /// Takes and tells nothing any more.
    pub(super) fn close(&self) {
        let mut ready = self.lock();
        ready.closed = true;
        let list = mem::take(&mut ready.list);
        drop(ready);
        drop(list);
    }

    /// Returns `true` if the list is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().list.is_empty()
    }

    /// Takes what is on the list.
    pub(super) fn take(&self, streams: &mut Vec<u32>) {
        let list = mem::take(&mut self.lock().list);
        streams.extend(list.iter().map(|waker| {
            waker.queued.store(false, Ordering::Release);
            waker.stream
        }));
    }

    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StreamWaker {
    woken: Arc<Woken>,
    stream: u32,
    /// It is on the list.
    queued: AtomicBool,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let woken = self.woken.clone();
        let mut ready = woken.lock();
        if ready.closed {
            return;
        }
        ready.list.push(self);
        let at_work = ready.at_work;
        drop(ready);
        if !at_work {
            woken.connection.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(Mutex<usize>);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[test]
    fn a_stream_is_on_the_list_once_and_only_a_resting_connection_gets_a_message() {
        let told = Arc::new(Counted(Mutex::new(0)));
        let woken = Woken::new(told.clone().into());
        let waker = woken.waker(7);
        woken.enter();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(!woken.leave(), "something is on the list");
        let mut streams = Vec::new();
        woken.take(&mut streams);
        assert_eq!((streams.as_slice(), *told.0.lock().unwrap()), ([7].as_slice(), 0));
        assert!(woken.leave());
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(*told.0.lock().unwrap(), 1);
        woken.enter();
        woken.pause();
        assert_eq!(*told.0.lock().unwrap(), 2, "what was left over brings a message");
        woken.close();
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 1, "nothing holds a closed list");
    }
}
