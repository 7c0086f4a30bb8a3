//! List of the streams whose bodies or sockets have woken their connection.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use crate::proto::h2::Key;

/// List of the streams that were woken. While the connection is at work it looks at the list by itself;
/// otherwise the first wake-up of a stream wakes the connection.
pub(super) struct Woken {
    ready: Mutex<Ready>,
    connection: Waker,
}

#[derive(Default)]
struct Ready {
    /// Wakers of the woken streams, each once: see [`StreamWaker::queued`].
    list: Vec<Arc<StreamWaker>>,
    at_work: bool,
    /// The connection is over and no further stream is put on the list. Each entry would keep the list
    /// alive.
    closed: bool,
}

impl Woken {
    pub(super) fn new(connection: Waker) -> Arc<Self> {
        Arc::new(Self { ready: Mutex::default(), connection })
    }

    /// Makes the waker of a stream, which puts it on the list.
    pub(super) fn waker(self: &Arc<Self>, stream: Key) -> Waker {
        Waker::from(Arc::new(StreamWaker { woken: self.clone(), stream, queued: AtomicBool::new(false) }))
    }

    /// Records that the connection is at work: wake-ups of streams do not wake it until
    /// [`leave`](Self::leave) or [`pause`](Self::pause).
    pub(super) fn enter(&self) {
        self.lock().at_work = true;
    }

    /// Records that the connection stops its work, unless the list has an entry. Returns `true` if it stops.
    pub(super) fn leave(&self) -> bool {
        let mut ready = self.lock();
        ready.at_work = !ready.list.is_empty();
        !ready.at_work
    }

    /// Records that the connection stops its work for this turn. If the list has an entry, the connection is
    /// woken.
    pub(super) fn pause(&self) {
        let mut ready = self.lock();
        ready.at_work = false;
        if !ready.list.is_empty() {
            drop(ready);
            self.connection.wake_by_ref();
        }
    }

    /// Empties the list for good.
    pub(super) fn close(&self) {
        let mut ready = self.lock();
        ready.closed = true;
        let list = mem::take(&mut ready.list);
        drop(ready);
        drop(list);
    }

    /// Moves all entries of the list to the end of `streams`.
    pub(super) fn take(&self, streams: &mut Vec<Key>) {
        let mut ready = self.lock();
        // The memory of the list stays with it.
        streams.extend(ready.list.drain(..).map(|waker| {
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
    stream: Key,
    /// The stream is on the list.
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
    fn a_stream_is_on_the_list_once_and_only_a_resting_connection_is_woken() {
        let wakes = Arc::new(Counted(Mutex::new(0)));
        let woken = Woken::new(wakes.clone().into());
        let waker = woken.waker(Key::of(3, 7));
        woken.enter();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(!woken.leave(), "the list has an entry");
        let mut streams = Vec::new();
        woken.take(&mut streams);
        assert_eq!((streams.as_slice(), *wakes.0.lock().unwrap()), ([Key::of(3, 7)].as_slice(), 0));
        assert!(woken.leave());
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(*wakes.0.lock().unwrap(), 1);
        woken.enter();
        woken.pause();
        assert_eq!(*wakes.0.lock().unwrap(), 2, "the entry that is left wakes the connection");
        woken.close();
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 1, "a closed list holds no waker");
    }
}
