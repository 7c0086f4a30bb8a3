//! gRPC calls over HTTP/2: a closed loop of `--connections` connections with `--pipeline` calls in flight on
//! each.

mod call;
mod connect;

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::task::{LocalSet, spawn_local};

pub(crate) use call::Method;

use crate::{
    fault::{Fault, Kind},
    options::Options,
    tally::Tally,
};
use call::Call;
use connect::Connector;

/// Makes calls for `--duration`, then waits for the calls in flight.
pub(crate) fn run(options: &Options, method: Method) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, load(options, method))
}

/// State shared by the workers.
struct Run {
    call: Call,
    timeout: Duration,
    tally: RefCell<Tally>,
    serial: Cell<u64>,
}

async fn load(options: &Options, method: Method) -> io::Result<Tally> {
    let connector = Connector::new(options)?;
    let call = Call::new(method, connector.scheme()).map_err(io::Error::other)?;
    let run =
        Rc::new(Run { call, timeout: options.timeout, tally: Tally::new().into(), serial: Cell::new(0) });
    let senders = connect(options, &connector, &run).await?;
    let start = Instant::now();
    let end = start + options.duration;
    let mut workers = Vec::new();
    let counts: Vec<Rc<Cell<u64>>> = senders.iter().map(|_| Rc::default()).collect();
    for (sender, count) in senders.iter().zip(&counts) {
        for _ in 0..options.pipeline {
            workers.push(spawn_local(work(Rc::clone(&run), sender.clone(), Rc::clone(count), end)));
        }
    }
    for worker in workers {
        worker.await?;
    }
    let mut tally = run.tally.replace(Tally::new());
    tally.elapsed = start.elapsed();
    let counts = counts.iter().map(|count| count.get());
    tally.per_connection = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
    Ok(tally)
}

/// Opens the connections and makes one call on each before the measurement starts.
async fn connect(options: &Options, connector: &Connector, run: &Run) -> io::Result<Vec<SendRequest<Bytes>>> {
    let mut senders = Vec::new();
    for index in 0..options.connections as usize {
        let sender = connector.open(options, index).await?;
        run.call(&sender).await.map_err(crate::refused)?;
        senders.push(sender);
    }
    Ok(senders)
}

async fn work(run: Rc<Run>, sender: SendRequest<Bytes>, count: Rc<Cell<u64>>, end: Instant) {
    let mut since = Instant::now();
    while since < end && !run.tally.borrow().should_abort() {
        let result = run.call(&sender).await;
        let now = Instant::now();
        let mut tally = run.tally.borrow_mut();
        match result {
            Ok(()) => {
                tally.answered(Some(now - since));
                count.set(count.get() + 1);
            }
            Err(fault) => tally.failed(&fault, 1),
        }
        since = now;
    }
}

impl Run {
    async fn call(&self, sender: &SendRequest<Bytes>) -> Result<(), Fault> {
        let serial = self.serial.replace(self.serial.get() + 1);
        let call = self.call.make(sender, serial);
        let late = |_| Err(Fault::new(Kind::Timeout, "no complete response within the timeout"));
        tokio::time::timeout(self.timeout, call).await.unwrap_or_else(late)
    }
}
