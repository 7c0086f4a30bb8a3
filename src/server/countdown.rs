//! A time limit that does not run while the process is stopped.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

/// Longest single wait. A wait that takes longer, because the process was stopped or the thread did not get a
/// core, counts as this long.
const STEP: Duration = Duration::from_millis(100);

/// Time left for several waits.
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
