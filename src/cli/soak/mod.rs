//! `windlass soak`: loads a server for a long time, samples its process, and judges the result.
//!
//! It must not know how the server works: it sees requests, the process and the metrics.
//!
//! ```text
//!  load::Running ──each sample──┐
//!  Stalls of the machine ───────┤
//!  /proc/PID, /metrics ─────────┴──► Subject ──► samples.csv
//!                                       └──► Record ──► Verdict ──► one line, exit status
//!                                                 └──► Page ──► report.html
//! ```

mod args;
mod chart;
mod page;
mod process;
mod sample;
mod scrape;
mod stalls;
mod stats;
mod subject;
mod verdict;
#[cfg(test)]
mod verdict_tests;

use std::{fs, path::Path};

pub(super) use args::Soak;
use sample::Record;
use stalls::Stalls;
use subject::Subject;
use verdict::Verdict;

use super::{output, progress::Progress};

/// Runs the soak, writes the report and prints the verdict. Returns `true` if every server passed.
///
/// # Errors
///
/// The load failed, or a file cannot be written.
pub(super) fn run(soak: &Soak) -> Result<bool, String> {
    check(soak)?;
    fs::create_dir_all(&soak.out)
        .map_err(|error| format!("cannot create the directory of --out {}: {error}", soak.out.display()))?;
    let records = records(soak)?;
    let verdicts: Vec<_> = records.iter().map(|record| Verdict::of(record, &soak.thresholds)).collect();
    let report = soak.out.join("report.html");
    write(&report, &page::Page { records: &records, verdicts: &verdicts }.to_string())?;
    for verdict in &verdicts {
        output::print(&format!("{verdict}\n"));
    }
    output::print(&format!("{}\n", report.display()));
    Ok(verdicts.iter().all(Verdict::passes))
}

fn check(soak: &Soak) -> Result<(), String> {
    if soak.targets.len() > 2 {
        return Err(format!("--target: expected one or two servers, found {}", soak.targets.len()));
    }
    if let [first, second] = &soak.targets[..]
        && first.name == second.name
    {
        return Err(format!("--target: both servers have the name {}: name each with NAME=URL", first.name));
    }
    if !soak.pids.is_empty() && soak.pids.len() != soak.targets.len() {
        return Err("--pid: expected one --pid for each --target, or none".to_owned());
    }
    Ok(())
}

fn records(soak: &Soak) -> Result<Vec<Record>, String> {
    let subject = |(index, named)| Subject::new(named, soak.pids.get(index).copied(), soak);
    let mut subjects = soak.targets.iter().enumerate().map(subject).collect::<Result<Vec<_>, _>>()?;
    for subject in &mut subjects {
        subject.start(&soak.out)?;
    }
    let progress = Progress::new(soak.traffic.duration);
    let stalls = Stalls::watch()?;
    for sample in 1.. {
        let mut sum = None;
        let late = stalls.take();
        for subject in &mut subjects {
            if let Some((requests, errors)) = subject.next_sample(&late)? {
                let (all, failed) = sum.unwrap_or_default();
                sum = Some((all + requests, failed + errors));
            }
        }
        let Some((requests, errors)) = sum else { break };
        progress.update(soak.every * sample, requests, errors);
    }
    progress.finish();
    subjects.into_iter().map(|subject| subject.end(&soak.out)).collect()
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
