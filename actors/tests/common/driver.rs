//! A driver to test the shard's loop with: waits for the doorbell, can be kept busy, tells what it was told.

use std::{
    io,
    sync::mpsc,
    task::Waker,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use windlass_actors::{Driver, Local, Wait};

pub enum Order {
    /// Tells [`Told::Echo`].
    Echo(u64),
    /// Works this long in each turn from here on, without ever waiting.
    Saturate(Duration),
    /// Makes a waker with this token and hands it out.
    Waker(u64, mpsc::Sender<Waker>),
    /// Runs this on the shard's thread.
    Run(Box<dyn FnOnce(&Local) + Send>),
    /// Fails in the next turn.
    Fail,
    /// Panics at once.
    Panic,
    /// Does not end when told to stop.
    Linger,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Echo(u64),
    Woken(u64),
    Stop,
    Dropped,
}

pub struct Scripted {
    local: Local,
    told: mpsc::Sender<Told>,
    work: Option<Duration>,
    fails: bool,
    lingers: bool,
    stopped: bool,
}

impl Scripted {
    pub fn new(local: &Local, told: mpsc::Sender<Told>) -> Self {
        Self { local: local.clone(), told, work: None, fails: false, lingers: false, stopped: false }
    }

    fn tell(&self, told: Told) {
        // A test that has seen enough is gone.
        let _ = self.told.send(told);
    }
}

impl Driver for Scripted {
    type Msg = Order;

    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        if self.fails {
            return Err(io::Error::other("told to fail"));
        }
        if let Some(work) = self.work {
            let until = Instant::now() + work;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            return Ok(());
        }
        let timeout = match wait {
            Wait::Poll => return Ok(()),
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
            Order::Echo(n) => self.tell(Told::Echo(n)),
            Order::Saturate(work) => self.work = Some(work),
            Order::Waker(token, sender) => sender.send(self.local.waker(token)).unwrap(),
            Order::Run(call) => call(&self.local),
            Order::Fail => self.fails = true,
            Order::Panic => panic!("told to panic"),
            Order::Linger => self.lingers = true,
        }
    }

    fn woken(&mut self, token: u64) {
        self.tell(Told::Woken(token));
    }

    fn pending(&self) -> bool {
        self.work.is_some()
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.tell(Told::Stop);
    }

    fn stopped(&self) -> bool {
        self.stopped && !self.lingers
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.tell(Told::Dropped);
    }
}
