//! Stand-ins, with the interfaces of the real types, that loom can check.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use loom::sync::{Mutex, Notify};

/// Stand-in for the eventfd. A write before the wait ends that wait.
pub(crate) struct EventFd(Notify);

impl EventFd {
    pub(crate) fn new() -> Self {
        Self(Notify::new())
    }

    pub(crate) fn wait(&self) {
        self.0.wait();
    }

    pub(crate) fn make_readable(&self) {
        self.0.notify();
    }
}

impl fmt::Debug for EventFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventFd")
    }
}

/// Blocks a thread of the model on a future.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Notify);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.notify();
        }
    }
    let unpark = Arc::new(Unpark(Notify::new()));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        unpark.0.wait();
    }
}

/// Stand-in for flume's unbounded channel.
pub(crate) mod channel {
    use super::{Arc, Mutex, VecDeque};

    pub(crate) struct Sender<T>(Arc<Mutex<VecDeque<T>>>);
    pub(crate) struct Receiver<T>(Arc<Mutex<VecDeque<T>>>);

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let queue = Arc::new(Mutex::new(VecDeque::new()));
        (Sender(Arc::clone(&queue)), Receiver(queue))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, item: T) -> Result<(), T> {
            self.0.lock().unwrap().push_back(item);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&self) -> Result<T, ()> {
            self.0.lock().unwrap().pop_front().ok_or(())
        }

        pub(crate) fn drain(&self) -> impl Iterator<Item = T> + use<T> {
            std::mem::take(&mut *self.0.lock().unwrap()).into_iter()
        }
    }
}

/// Stand-in for tokio's semaphore.
pub(crate) struct Semaphore(Mutex<Room>);

struct Room {
    free: usize,
    is_closed: bool,
    waiting: Vec<Waker>,
}

pub(crate) struct Permit;

#[derive(Debug)]
pub(crate) enum TryAcquireError {
    Closed,
    NoPermits,
}

impl Permit {
    #[allow(clippy::unused_self, reason = "the real method takes self")]
    pub(crate) fn forget(self) {}
}

impl Semaphore {
    pub(crate) const MAX_PERMITS: usize = usize::MAX >> 3;

    pub(crate) fn new(free: usize) -> Self {
        Self(Mutex::new(Room { free, is_closed: false, waiting: Vec::new() }))
    }

    pub(crate) fn try_acquire(&self) -> Result<Permit, TryAcquireError> {
        self.try_acquire_many(1)
    }

    pub(crate) fn try_acquire_many(&self, many: u32) -> Result<Permit, TryAcquireError> {
        let mut room = self.0.lock().unwrap();
        if room.is_closed {
            return Err(TryAcquireError::Closed);
        }
        room.free = room.free.checked_sub(many as usize).ok_or(TryAcquireError::NoPermits)?;
        Ok(Permit)
    }

    pub(crate) async fn acquire(&self) -> Result<Permit, ()> {
        poll_fn(|cx| match self.try_acquire() {
            Ok(permit) => Poll::Ready(Ok(permit)),
            Err(TryAcquireError::Closed) => Poll::Ready(Err(())),
            Err(TryAcquireError::NoPermits) => {
                let mut room = self.0.lock().unwrap();
                if room.free > 0 || room.is_closed {
                    cx.waker().wake_by_ref();
                } else {
                    room.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }

    pub(crate) fn add_permits(&self, more: usize) {
        let waiting = {
            let mut room = self.0.lock().unwrap();
            room.free += more;
            std::mem::take(&mut room.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn close(&self) {
        let waiting = {
            let mut room = self.0.lock().unwrap();
            room.is_closed = true;
            std::mem::take(&mut room.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn available_permits(&self) -> usize {
        self.0.lock().unwrap().free
    }
}

/// Stand-in for arc-swap's cell.
pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    pub(crate) fn new(first: Arc<T>) -> Self {
        Self(Mutex::new(first))
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        *self.0.lock().unwrap() = value;
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

impl<T> fmt::Debug for ArcSwap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArcSwap")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Cache<A, T> {
    source: A,
    held: T,
}

impl<T> Cache<Arc<ArcSwap<T>>, Arc<T>> {
    pub(crate) fn new(source: Arc<ArcSwap<T>>) -> Self {
        let held = source.load_full();
        Self { source, held }
    }

    pub(crate) fn load(&mut self) -> &Arc<T> {
        self.held = self.source.load_full();
        &self.held
    }
}

/// Stand-in for the reply to a question.
pub(crate) struct Reply(Arc<Mutex<Slot>>);

pub(crate) struct Waits(Arc<Mutex<Slot>>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Value(u32),
    Dropped,
}

struct Slot {
    answer: Option<Answer>,
    waiting: Option<Waker>,
}

pub(crate) fn reply() -> (Reply, Waits) {
    let slot = Arc::new(Mutex::new(Slot { answer: None, waiting: None }));
    (Reply(Arc::clone(&slot)), Waits(slot))
}

impl Reply {
    pub(crate) fn send(self, value: u32) {
        self.put(Answer::Value(value));
    }

    fn put(&self, answer: Answer) {
        let waiting = {
            let mut slot = self.0.lock().unwrap();
            slot.answer.get_or_insert(answer);
            slot.waiting.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.put(Answer::Dropped);
    }
}

impl Future for Waits {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut slot = self.0.lock().unwrap();
        match slot.answer {
            Some(answer) => Poll::Ready(answer),
            None => {
                slot.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
