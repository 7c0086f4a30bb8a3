//! A driver for tests of the event loop. It waits for the doorbell, can be kept busy, and reports its calls.

use std::{
    io,
    sync::mpsc,
    task::Waker,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use windlass_actors::{Driver, Local, Wait};

pub enum Order {
    /// Reports [`Event::Echo`].
    Echo(u64),
    /// Works for this time in each turn from now on, and never waits.
    Saturate(Duration),
    /// Creates a waker with this token and sends it back.
    Waker(u64, mpsc::Sender<Waker>),
    /// Calls this on the shard's thread.
    Run(Box<dyn FnOnce(&Local) + Send>),
    /// Fails in the next turn.
    Fail,
    /// Panics.
    Panic,
    /// Makes the driver ignore a stop.
    Linger,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Echo(u64),
    Woken(u64),
    Stop,
    Dropped,
}

pub struct Scripted {
    local: Local,
    events: mpsc::Sender<Event>,
    work: Option<Duration>,
    fails: bool,
    lingers: bool,
    stopped: bool,
}

impl Scripted {
    pub fn new(local: &Local, events: mpsc::Sender<Event>) -> Self {
        Self { local: local.clone(), events, work: None, fails: false, lingers: false, stopped: false }
    }

    fn report(&self, event: Event) {
        // Sending fails after the test has dropped the receiver.
        let _ = self.events.send(event);
    }
}

impl Driver for Scripted {
    type Msg = Order;

    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        if self.fails {
            return Err(io::Error::other("requested failure"));
        }
        if let Some(work) = self.work {
            let until = Instant::now() + work;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            return Ok(());
        }
        let timeout = match wait {
            Wait::Poll => {
                self.local.record_poll();
                return Ok(());
            }
            Wait::Forever => None,
            Wait::Until(at) => {
                Some(Timespec::try_from(at.saturating_duration_since(Instant::now())).unwrap())
            }
        };
        let doorbell = self.local.doorbell();
        if poll(&mut [PollFd::new(&doorbell, PollFlags::IN)], timeout.as_ref())? > 0 {
            rustix::io::read(doorbell, &mut [0; 8])?;
        }
        self.local.record_poll();
        Ok(())
    }

    fn message(&mut self, message: Order) {
        match message {
            Order::Echo(n) => self.report(Event::Echo(n)),
            Order::Saturate(work) => self.work = Some(work),
            Order::Waker(token, sender) => sender.send(self.local.waker(token)).unwrap(),
            Order::Run(call) => call(&self.local),
            Order::Fail => self.fails = true,
            Order::Panic => panic!("requested panic"),
            Order::Linger => self.lingers = true,
        }
    }

    fn woken(&mut self, token: u64) {
        self.report(Event::Woken(token));
    }

    fn pending(&self) -> bool {
        self.work.is_some()
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.report(Event::Stop);
    }

    fn stopped(&self) -> bool {
        self.stopped && !self.lingers
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.report(Event::Dropped);
    }
}
