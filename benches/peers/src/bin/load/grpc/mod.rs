//! gRPC calls over HTTP/2: a closed loop of `--connections` connections with `--pipeline` calls in flight on
//! each. It must not know the other modes.

mod call;
mod connect;

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::task::{LocalSet, spawn_local};
use windlass_cli::client::{
    fault::{Fault, Kind},
    http2::Sender,
    report::Report,
    totals::{MAX_ERRORS, Totals},
};

use crate::options::{Method, Options};
use call::Call;
use connect::Connector;

/// Makes calls for `--duration`, then waits for the calls in flight.
pub(crate) fn run(options: &Options, method: Method) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, load(options, method))
}

/// State shared by the workers.
struct Run {
    call: Call,
    timeout: Duration,
    totals: RefCell<Totals>,
    serial: Cell<u64>,
}

async fn load(options: &Options, method: Method) -> io::Result<Report> {
    let connector = Connector::new(options)?;
    let call = Call::new(method, connector.scheme()).map_err(io::Error::other)?;
    let (totals, serial) = (RefCell::default(), Cell::new(0));
    let run = Rc::new(Run { call, timeout: options.timeout, totals, serial });
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
    let counts = counts.iter().map(|count| count.get());
    let per_connection = counts.clone().min().zip(counts.max());
    Ok(Report { elapsed: start.elapsed(), totals: run.totals.take(), per_connection })
}

/// Opens the connections and makes one call on each before the measurement starts.
async fn connect(options: &Options, connector: &Connector, run: &Run) -> io::Result<Vec<Sender>> {
    let mut senders = Vec::new();
    for index in 0..options.connections as usize {
        let sender = connector.open(options, index).await?;
        run.call(&sender).await.map_err(crate::refused)?;
        senders.push(sender);
    }
    Ok(senders)
}

async fn work(run: Rc<Run>, sender: Sender, count: Rc<Cell<u64>>, end: Instant) {
    let mut since = Instant::now();
    while since < end && run.totals.borrow().errors() < MAX_ERRORS {
        let result = run.call(&sender).await;
        let now = Instant::now();
        let mut totals = run.totals.borrow_mut();
        match result {
            Ok(()) => {
                totals.answered(Some(now - since));
                count.set(count.get() + 1);
            }
            Err(fault) => totals.failed(&fault, 1),
        }
        since = now;
    }
}

impl Run {
    async fn call(&self, sender: &Sender) -> Result<(), Fault> {
        let serial = self.serial.replace(self.serial.get() + 1);
        let call = self.call.make(sender.clone(), serial);
        let late = |_| Err(Fault::new(Kind::Timeout, "no complete response within the timeout"));
        tokio::time::timeout(self.timeout, call).await.unwrap_or_else(late)
    }
}
