//! The rules of the verdict, over what was noted of one server.

use std::fmt;

use super::{
    args::Thresholds,
    process::Usage,
    sample::{Record, WindowFigures},
    stats::{growth, mean, median, rises, robust_growth, robust_slope, spread},
};

/// Windows below which p99 is not judged.
const LEAST_WINDOWS: usize = 4;
/// Growth of memory that is always allowed, bytes.
const FREE_GROWTH: f64 = 1024.0 * 1024.0;
/// Wakes for which a request waits at most, the machine being late with each: client and server, twice each.
const MOST_WAKES: f64 = 4.0;
/// Times its usual lateness from which on the machine is what a window tells of.
const FAR_LATER: f64 = 2.0;
/// Processor time of the second half to the first by which a server uses more and more.
const MORE_CPU: f64 = 1.1;
/// Part of the looks that must have a sample of the process.
const LEAST_SAMPLES: f64 = 0.9;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Pass,
    Fail,
    /// The run is too short, or has nothing of the kind.
    NotJudged,
}

/// What a rule found, with its figures and the threshold.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) rule: &'static str,
    pub(super) judgement: Judgement,
    pub(super) figures: String,
}

/// All rules together.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) findings: Vec<Finding>,
}

impl Verdict {
    /// Judges by every rule.
    pub(super) fn of(record: &Record, thresholds: &Thresholds) -> Self {
        let rules = [
            samples, requests, errors, rss_spread, rss_growth, fds_peak, fds_after, p99_spread, p99_trend,
            threads, deliveries, drops, slow_drops,
        ];
        let findings = rules.map(|rule| rule(record, thresholds)).into();
        Self { name: record.name.clone(), findings }
    }

    /// Says whether no rule failed.
    pub(super) fn passes(&self) -> bool {
        self.findings.iter().all(|finding| finding.judgement != Judgement::Fail)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.passes() { "PASS" } else { "FAIL" }, self.name)?;
        // What failed comes first: the line is long.
        for wanted in [Judgement::Fail, Judgement::Pass, Judgement::NotJudged] {
            for finding in self.findings.iter().filter(|finding| finding.judgement == wanted) {
                let mark = match wanted {
                    Judgement::Fail => "FAILED ",
                    Judgement::Pass => "",
                    Judgement::NotJudged => "not judged: ",
                };
                write!(f, "; {mark}{}: {}", finding.rule, finding.figures)?;
            }
        }
        Ok(())
    }
}

fn found(rule: &'static str, holds: bool, figures: String) -> Finding {
    Finding { rule, judgement: if holds { Judgement::Pass } else { Judgement::Fail }, figures }
}

fn not_judged(rule: &'static str, why: String) -> Finding {
    Finding { rule, judgement: Judgement::NotJudged, figures: why }
}

/// Nothing was sampled: no rule about the process can hold.
fn unseen(rule: &'static str) -> Finding {
    found(rule, false, "no samples".to_owned())
}

fn samples(record: &Record, _: &Thresholds) -> Finding {
    let taken = record.samples.iter().filter(|sample| sample.usage.is_some()).count();
    let looks = record.length().as_secs_f64() / record.every.as_secs_f64();
    let wanted = (looks * LEAST_SAMPLES).floor().max(1.0);
    let is_there = record.base.is_some() && record.after.is_some();
    let gone = if is_there { "" } else { ", and the process was not there before or after" };
    found("samples", is_there && taken as f64 >= wanted, format!("{taken} ≥ {wanted} of the process{gone}"))
}

fn requests(record: &Record, _: &Thresholds) -> Finding {
    found("requests", record.totals.requests > 0, format!("{} > 0", record.totals.requests))
}

fn errors(record: &Record, thresholds: &Thresholds) -> Finding {
    let errors = record.totals.errors();
    let such = record.totals.told.first().map(|fault| format!(", such as {fault}")).unwrap_or_default();
    let holds = errors <= thresholds.max_errors;
    found("client errors", holds, format!("{errors} ≤ {}{such}", thresholds.max_errors))
}

fn rss(record: &Record) -> Vec<(f64, f64)> {
    record.warm().map(|(at, usage)| (at, usage.rss_bytes as f64)).collect()
}

fn rss_spread(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "memory's spread";
    let values: Vec<f64> = rss(record).into_iter().map(|(_, bytes)| bytes).collect();
    let Some(spread) = spread(&values) else { return unseen(RULE) };
    let limit = thresholds.max_rss_spread;
    found(RULE, spread * 100.0 <= limit, format!("{:.1} % ≤ {limit} %", spread * 100.0))
}

fn rss_growth(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "memory's growth over the last half";
    let (duration, least) = (record.length(), thresholds.rss_growth_after);
    if duration < least {
        return not_judged(RULE, format!("the run is shorter than {} s", least.as_secs()));
    }
    let half = duration.as_secs_f64() / 2.0;
    let points: Vec<_> = rss(record).into_iter().filter(|(at, _)| *at >= half).collect();
    let sizes: Vec<f64> = points.iter().map(|(_, bytes)| *bytes).collect();
    let (Some(growth), Some(mean)) = (growth(&points), mean(&sizes)) else { return unseen(RULE) };
    let limit = FREE_GROWTH.max(mean * thresholds.max_rss_growth / 100.0);
    found(RULE, growth <= limit, format!("{:.2} MiB ≤ {:.2} MiB", growth / FREE_GROWTH, limit / FREE_GROWTH))
}

fn fds_peak(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "descriptors at the peak";
    let peak = record.samples.iter().filter_map(|sample| sample.usage).map(|usage| usage.fds).max();
    let Some((peak, base)) = peak.zip(record.base) else { return unseen(RULE) };
    let (base, connections, more) = (base.fds, u64::from(record.traffic.connections), thresholds.max_fds);
    found(RULE, peak <= base + connections + more, format!("{peak} ≤ {base} + {connections} + {more}"))
}

fn fds_after(record: &Record, _: &Thresholds) -> Finding {
    const RULE: &str = "descriptors afterwards";
    let Some((base, after)) = record.base.zip(record.after) else { return unseen(RULE) };
    found(RULE, after.fds <= base.fds, format!("{} ≤ {}", after.fds, base.fds))
}

/// Returns the p99 of each window, less what the machine did to it, and which they are; or why they are not judged.
///
/// A window in which the machine was far later than it usually is tells of the machine, and is left out. In the others a
/// request and its answer are some wakes, and each comes as late as the machine is then: how much of that is in p99 shows in
/// how the two go together over the windows (Theil and Sen). What p99 does by itself stays. Where the server uses half of all
/// cores, or more and more, the machine may be late because of it, and all windows count as they are.
fn judged_windows(
    rule: &'static str,
    record: &Record,
    thresholds: &Thresholds,
) -> Result<(Vec<f64>, String), Finding> {
    let (all, seconds) = (record.windows.len(), thresholds.window.as_secs_f64());
    if all < LEAST_WINDOWS {
        return Err(not_judged(rule, format!("{all} windows of {seconds} s, {LEAST_WINDOWS} are needed")));
    }
    let p99s = |windows: &[WindowFigures]| windows.iter().map(|window| window.p99).collect::<Vec<_>>();
    if may_be_why(record) {
        return Ok((p99s(&record.windows), format!("over {all} windows")));
    }
    let usual = middle(record.windows.iter().map(|window| window.late));
    let windows: Vec<_> =
        record.windows.iter().copied().filter(|window| window.late <= usual * FAR_LATER).collect();
    let out = match all - windows.len() {
        0 => String::new(),
        out => format!(
            ", without {out} in which the machine itself was more than {FAR_LATER} × as late as usual"
        ),
    };
    let points: Vec<_> = windows.iter().map(|window| (window.late, window.p99)).collect();
    let wakes = robust_slope(&points).unwrap_or(0.0).clamp(0.0, MOST_WAKES);
    let measured = p99s(&windows);
    let spread = spread(&measured).unwrap_or(0.0) * 100.0;
    let most = middle(measured.into_iter());
    // A machine that is late does not make a window better than most.
    let own = |window: &WindowFigures| (window.p99 - wakes * (window.late - usual)).max(window.p99.min(most));
    let which =
        format!("over {all} windows{out} ({spread:.1} % with {wakes:.1} × what the machine itself was late)");
    Ok((windows.iter().map(own).collect(), which))
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    median(values.collect()).unwrap_or(0.0)
}

/// Says whether the server may be why the machine is late, or gets later.
fn may_be_why(record: &Record) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let (first, second) = record.cores_used_by_half();
    first.max(second) >= cores as f64 / 2.0 || second > first * MORE_CPU
}

fn p99_spread(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "p99's spread";
    let limit = thresholds.max_p99_spread;
    match judged_windows(RULE, record, thresholds) {
        Err(finding) => finding,
        Ok((windows, which)) => {
            let spread = spread(&windows).unwrap_or(0.0) * 100.0;
            found(RULE, spread <= limit, format!("{spread:.1} % ≤ {limit} % {which}"))
        }
    }
}

fn p99_trend(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "p99's trend";
    let limit = thresholds.max_p99_growth;
    match judged_windows(RULE, record, thresholds) {
        Err(finding) => finding,
        Ok((windows, _)) => {
            let middle = median(windows.clone()).unwrap_or(0.0).max(f64::MIN_POSITIVE);
            let growth = robust_growth(&windows).unwrap_or(0.0) / middle * 100.0;
            let rises = rises(&windows);
            let trend = if rises { "rising" } else { "none" };
            found(
                RULE,
                !rises || growth <= limit,
                format!("{trend}, {growth:+.1} % ≤ {limit} % where rising"),
            )
        }
    }
}

fn threads(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "threads";
    let threads: Vec<u64> = record.warm().map(|(_, Usage { threads, .. })| threads).collect();
    let Some((fewest, most)) = threads.iter().min().zip(threads.iter().max()) else { return unseen(RULE) };
    let limit = thresholds.max_threads_change;
    found(
        RULE,
        most - fewest <= limit,
        format!("{fewest} to {most}, a change of {} ≤ {limit}", most - fewest),
    )
}

fn deliveries(record: &Record, _: &Thresholds) -> Finding {
    const RULE: &str = "deliveries";
    let totals = &record.totals;
    if totals.subscribers == 0 {
        return not_judged(RULE, "nobody subscribed".to_owned());
    }
    let dropped = totals.dropped.0 + totals.dropped.1;
    let owed = totals.published * totals.subscribers;
    let holds = totals.published > 0 && totals.deliveries + dropped + totals.queued == owed;
    let figures = format!(
        "{} received + {dropped} told of in gaps + {} queued = {} published × {} subscribers",
        totals.deliveries, totals.queued, totals.published, totals.subscribers
    );
    found(RULE, holds, figures)
}

fn drops(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "events dropped for subscribers who read at once";
    if record.totals.subscribers == 0 {
        return not_judged(RULE, "nobody subscribed".to_owned());
    }
    let (dropped, limit) = (record.totals.dropped.0, thresholds.max_dropped);
    found(RULE, dropped <= limit, format!("{dropped} ≤ {limit}"))
}

fn slow_drops(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "events dropped for slow subscribers";
    let dropped = record.totals.dropped.1;
    match thresholds.max_dropped_slow {
        Some(limit) if record.totals.subscribers > 0 => {
            found(RULE, dropped <= limit, format!("{dropped} ≤ {limit}"))
        }
        Some(_) => not_judged(RULE, "nobody subscribed".to_owned()),
        None => not_judged(RULE, format!("{dropped}, and any number may be")),
    }
}
