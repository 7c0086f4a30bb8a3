//! `windlass load`: loads a server and tells how it did.
//!
//! ```text
//!  Arrivals ──► Gate ──due──► h1, h2, ws: a task a connection ──┐
//!                                                               ├──► Tally ──each second──► table, CSV, soak
//!  Arrivals ──► Gate ──due──► publisher ──► topic ──► followers ┘
//! ```
//!
//! One thread, one runtime. Latency runs from the instant a request was due, so a server that stalls is charged for
//! everything it kept from being sent.

mod args;
mod connect;
mod events;
mod follow;
mod gate;
mod h1;
#[cfg(feature = "http2")]
mod h2;
mod report;
mod run;
mod running;
mod subscription;
mod tally;
mod target;
mod timer;
mod topic;
#[cfg(feature = "ws")]
mod ws;

use std::{fs::File, io::Write, path::Path, time::Duration};

pub(super) use args::{Load, Traffic, duration};
use report::{CSV_HEAD, Report};
pub(super) use running::Running;
pub(super) use tally::Totals;
pub(super) use target::Target;

use super::{output, progress::Progress};

/// What is done to whom.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) traffic: Traffic,
}

/// How often figures are taken.
const SECOND: Duration = Duration::from_secs(1);

/// Loads and prints the result; says whether anything was served and nothing failed.
///
/// # Errors
///
/// The load could not be run at all.
pub(super) fn run(args: &Load) -> Result<bool, String> {
    let plan = Plan { target: args.url.clone(), traffic: args.traffic.clone() };
    let mut csv = args.csv.as_deref().map(create).transpose()?;
    let progress = Progress::new(plan.traffic.duration);
    let mut running = Running::start(plan)?;
    while let Some(second) = running.next_second(SECOND) {
        progress.update(running.elapsed(), second.requests, second.errors());
        if let Some(csv) = &mut csv {
            let line = report::csv_line(running.elapsed(), &second);
            writeln!(csv, "{line}").map_err(|error| format!("--csv: {error}"))?;
        }
    }
    progress.finish();
    let elapsed = running.elapsed();
    let totals = running.join()?;
    let report = Report::new(args, elapsed, &totals);
    if args.json {
        output::print(&format!("{}\n", report.json()));
    } else {
        output::print(&report.to_string());
    }
    Ok(totals.requests > 0 && totals.errors() == 0)
}

fn create(path: &Path) -> Result<File, String> {
    let failed = |error| format!("--csv {}: {error}", path.display());
    let mut file = File::create(path).map_err(failed)?;
    writeln!(file, "{CSV_HEAD}").map_err(failed)?;
    Ok(file)
}
