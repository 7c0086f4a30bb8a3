//! `windlass load`: loads a server and reports rates, latency and errors.
//!
//! It must not know how the server works.
//!
//! ```text
//!  Arrivals ──► Gate ──due──► h1, h2, ws: a task per connection ──────┐
//!                                                                     ├──► Tally ──each second──► CSV, soak
//!  Arrivals ──► Gate ──due──► publisher ──► topic ──► subscribers ────┘                  └──► Report
//! ```
//!
//! One thread with one runtime runs all tasks. The latency of a request starts when it is due, so a server
//! that stalls is charged for every request that it delayed.
//!
//! [`client`](crate::client) holds what the load generator of the benches shares: protocols, checks, counters
//! and the report.

mod args;
mod connect;
mod csv;
mod drive;
mod gate;
mod h1;
#[cfg(feature = "http2")]
mod h2;
mod publisher;
mod run;
mod running;
mod subscriber;
mod tally;
mod target;
mod timer;
mod topic;
#[cfg(feature = "ws")]
mod ws;

use std::time::Duration;

pub(super) use args::{Load, Traffic, duration};
use csv::SecondsCsv;
pub(super) use running::Running;
pub(super) use target::Target;

use crate::{client::report::Report, output, progress::Progress};

/// Server and the load on it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) traffic: Traffic,
}

/// Interval of the CSV lines and of the progress display.
const SECOND: Duration = Duration::from_secs(1);

/// Loads the server and prints the result. Returns `true` if there were responses and no errors.
///
/// # Errors
///
/// The load cannot start, or the CSV file cannot be written.
pub(super) fn run(args: &Load) -> Result<bool, String> {
    let plan = Plan { target: args.url.clone(), traffic: args.traffic.clone() };
    let mut csv = args.csv.as_deref().map(SecondsCsv::create).transpose()?;
    let progress = Progress::new(plan.traffic.duration);
    let mut running = Running::start(plan)?;
    while let Some(second) = running.next_interval(SECOND) {
        progress.update(running.elapsed(), second.requests, second.errors());
        if let Some(csv) = &mut csv {
            csv.write(running.elapsed(), &second)?;
        }
    }
    progress.finish();
    let elapsed = running.elapsed();
    let report = Report { elapsed, totals: running.join()?, per_connection: None };
    if args.json {
        output::print(&format!("{}\n", report.json()));
    } else {
        output::print(&report.to_string());
    }
    Ok(report.totals.passed())
}
