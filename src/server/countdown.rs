//! Waits of a drain: a time limit that does not run while the process is stopped, and a delay that can be
//! cut.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// Longest single wait. A wait that takes longer, because the process was stopped or the thread did not get a
/// core, counts as this long.
const STEP: Duration = Duration::from_millis(100);

/// Time that is left for several waits together.
pub(super) struct Countdown {
    left: Duration,
}

impl Countdown {
    pub(super) fn new(left: Duration) -> Self {
        Self { left }
    }

    /// Waits for a message. Returns `None` if there is none before the time is over, or if no sender is left.
    pub(super) fn receive<T>(&mut self, receiver: &Receiver<T>) -> Option<T> {
        loop {
            let (step, began) = (self.left.min(STEP), Instant::now());
            let received = receiver.recv_timeout(step);
            self.left -= began.elapsed().min(step);
            match received {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) if !self.left.is_zero() => {}
                Err(_) => return None,
            }
        }
    }
}

/// A delay that another thread can end.
#[derive(Default)]
pub(super) struct Delay {
    state: Mutex<DelayState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum DelayState {
    #[default]
    NotWaiting,
    Waiting,
    Cut,
}

impl Delay {
    /// Waits for this time, or until [`cut`](Self::cut) is called during the wait. Returns `true` if it was
    /// called.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = DelayState::Waiting;
        let waited = self.changed.wait_timeout_while(state, time, |state| *state != DelayState::Cut);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *state) == DelayState::Cut
    }

    /// Ends the wait that is in progress. Has no effect if there is none, also on later waits.
    pub(super) fn cut(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == DelayState::Waiting {
            *state = DelayState::Cut;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_message_that_waits_is_received_after_the_time_is_over() {
        let (sender, receiver) = mpsc::channel();
        sender.send(1).unwrap();
        let mut time = Countdown::new(Duration::ZERO);
        assert_eq!((time.receive(&receiver), time.receive(&receiver)), (Some(1), None));
    }

    #[test]
    fn several_waits_share_the_time() {
        let (_sender, receiver) = mpsc::channel::<()>();
        let (mut time, began) = (Countdown::new(Duration::from_millis(250)), Instant::now());
        assert_eq!((time.receive(&receiver), time.receive(&receiver)), (None, None));
        assert!(began.elapsed() >= Duration::from_millis(250) && time.left.is_zero());
    }
}
