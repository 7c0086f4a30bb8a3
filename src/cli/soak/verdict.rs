//! Rules of the verdict on one server.

use std::fmt;

use super::{
    args::Thresholds,
    process::Usage,
    sample::{Record, WindowFigures},
    stats::{growth, mean, median, rises, robust_growth, robust_slope, spread},
};

/// Number of windows from which p99 is judged.
const MIN_WINDOWS: usize = 4;
/// Growth of memory that is always permitted, in bytes.
const FREE_GROWTH: f64 = 1024.0 * 1024.0;
/// Maximum number of wake-ups per request that the machine may delay: two of the client, two of the server.
const MAX_WAKE_UPS: f64 = 4.0;
/// Multiple of the usual delay of the machine from which a window is left out.
const MAX_DELAY_RATIO: f64 = 2.0;
/// Ratio of the CPU time of the second half to that of the first from which the server's usage counts as
/// rising.
const RISING_CPU_RATIO: f64 = 1.1;
/// Share of the intervals that must have a sample of the process.
const MIN_SAMPLES: f64 = 0.9;

/// Result of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Pass,
    Fail,
    /// The run is too short, or the rule does not apply to it.
    NotJudged,
}

/// Result of a rule, with its figures and threshold.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) rule: &'static str,
    pub(super) judgement: Judgement,
    pub(super) figures: String,
}

/// Results of all rules.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) findings: Vec<Finding>,
}

impl Verdict {
    /// Applies every rule.
    pub(super) fn of(record: &Record, thresholds: &Thresholds) -> Self {
        let rules = [
            samples, requests, errors, rss_spread, rss_growth, fds_peak, fds_after, p99_spread, p99_trend,
            threads, deliveries, drops, slow_drops,
        ];
        let findings = rules.map(|rule| rule(record, thresholds)).into();
        Self { name: record.name.clone(), findings }
    }

    /// Returns `true` if no rule failed. Rules that are not judged do not count.
    pub(super) fn passes(&self) -> bool {
        self.findings.iter().all(|finding| finding.judgement != Judgement::Fail)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.passes() { "PASS" } else { "FAIL" }, self.name)?;
        // Failures come first, because the line is long.
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

fn not_judged(rule: &'static str, reason: String) -> Finding {
    Finding { rule, judgement: Judgement::NotJudged, figures: reason }
}

/// Returns a failure: without samples, no rule about the process can hold.
fn unseen(rule: &'static str) -> Finding {
    found(rule, false, "no samples of the process".to_owned())
}

fn samples(record: &Record, _: &Thresholds) -> Finding {
    let seen = record.samples.iter().filter(|sample| sample.usage.is_some()).count();
    let intervals = record.length().as_secs_f64() / record.every.as_secs_f64();
    let wanted = (intervals * MIN_SAMPLES).floor().max(1.0);
    let was_seen = record.base.is_some() && record.after.is_some();
    let missing = if was_seen { "" } else { ", but none from before or from after the load" };
    found(
        "samples",
        was_seen && seen as f64 >= wanted,
        format!("{seen} ≥ {wanted} with figures of the process{missing}"),
    )
}

fn requests(record: &Record, _: &Thresholds) -> Finding {
    found("requests", record.totals.requests > 0, format!("{} > 0", record.totals.requests))
}

fn errors(record: &Record, thresholds: &Thresholds) -> Finding {
    let errors = record.totals.errors();
    let example = record.totals.examples.first().map(|fault| format!(", for example {fault}"));
    let (holds, example) = (errors <= thresholds.max_errors, example.unwrap_or_default());
    found("client errors", holds, format!("{errors} ≤ {}{example}", thresholds.max_errors))
}

fn rss(record: &Record) -> Vec<(f64, f64)> {
    record.warm().map(|(at, usage)| (at, usage.rss_bytes as f64)).collect()
}

fn rss_spread(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "memory spread";
    let values: Vec<f64> = rss(record).into_iter().map(|(_, bytes)| bytes).collect();
    let Some(spread) = spread(&values) else { return unseen(RULE) };
    let limit = thresholds.max_rss_spread;
    found(RULE, spread * 100.0 <= limit, format!("{:.1} % ≤ {limit} %", spread * 100.0))
}

fn rss_growth(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "memory growth over the last half";
    let (duration, min) = (record.length(), thresholds.rss_growth_after);
    if duration < min {
        return not_judged(
            RULE,
            format!("the run is shorter than the {} s of --rss-growth-after", min.as_secs()),
        );
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
    found(
        RULE,
        peak <= base + connections + more,
        format!("{peak} ≤ {base} before the load + {connections} connections + {more} more"),
    )
}

fn fds_after(record: &Record, _: &Thresholds) -> Finding {
    const RULE: &str = "descriptors afterwards";
    let Some((base, after)) = record.base.zip(record.after) else { return unseen(RULE) };
    found(RULE, after.fds <= base.fds, format!("{} ≤ {} before the load", after.fds, base.fds))
}

/// Returns the p99 of each window without the share of the machine, and a description of the windows. Fails
/// if there are too few windows.
///
/// A window in which the machine was delayed far longer than usual describes the machine, and is left out. In
/// the other windows, a request and its response need some wake-ups, and the machine delays each. How p99 and
/// that delay vary together over the windows (Theil-Sen) shows the share of the machine in p99, which is
/// subtracted. If the server uses half of all cores, or its CPU time rises, it may itself delay the machine.
/// Then all windows count unchanged.
fn judged_windows(
    rule: &'static str,
    record: &Record,
    thresholds: &Thresholds,
) -> Result<(Vec<f64>, String), Finding> {
    let (all, seconds) = (record.windows.len(), thresholds.window.as_secs_f64());
    if all < MIN_WINDOWS {
        return Err(not_judged(
            rule,
            format!("{all} windows of {seconds} s, at least {MIN_WINDOWS} are needed"),
        ));
    }
    let p99s = |windows: &[WindowFigures]| windows.iter().map(|window| window.p99).collect::<Vec<_>>();
    if may_delay_machine(record) {
        return Ok((p99s(&record.windows), format!("over {all} windows")));
    }
    let usual = median_or_zero(record.windows.iter().map(|window| window.late));
    let windows: Vec<_> =
        record.windows.iter().copied().filter(|window| window.late <= usual * MAX_DELAY_RATIO).collect();
    let out = match all - windows.len() {
        0 => String::new(),
        out => {
            format!(", except {out} in which the machine delay was above {MAX_DELAY_RATIO} × the usual one")
        }
    };
    let points: Vec<_> = windows.iter().map(|window| (window.late, window.p99)).collect();
    let wake_ups = robust_slope(&points).unwrap_or(0.0).clamp(0.0, MAX_WAKE_UPS);
    let measured = p99s(&windows);
    let spread = spread(&measured).unwrap_or(0.0) * 100.0;
    let typical = median_or_zero(measured.into_iter());
    // The correction must not make a window better than the median.
    let corrected =
        |window: &WindowFigures| (window.p99 - wake_ups * (window.late - usual)).max(window.p99.min(typical));
    let which = format!(
        "over {all} windows{out} ({spread:.1} % before subtracting {wake_ups:.1} × the delay of the machine)"
    );
    Ok((windows.iter().map(corrected).collect(), which))
}

fn median_or_zero(values: impl Iterator<Item = f64>) -> f64 {
    median(values.collect()).unwrap_or(0.0)
}

/// Returns `true` if the server itself may delay the machine: it used half of the cores or more in one half
/// of the run, or its CPU usage rose.
fn may_delay_machine(record: &Record) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let (first, second) = record.cores_used_by_half();
    first.max(second) >= cores as f64 / 2.0 || second > first * RISING_CPU_RATIO
}

fn p99_spread(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "p99 spread";
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
    const RULE: &str = "p99 trend";
    let limit = thresholds.max_p99_growth;
    match judged_windows(RULE, record, thresholds) {
        Err(finding) => finding,
        Ok((windows, _)) => {
            let typical = median_or_zero(windows.iter().copied()).max(f64::MIN_POSITIVE);
            let growth = robust_growth(&windows).unwrap_or(0.0) / typical * 100.0;
            let rises = rises(&windows);
            let trend = if rises { "rising" } else { "not rising" };
            found(RULE, !rises || growth <= limit, format!("{trend}, {growth:+.1} % ≤ {limit} % if rising"))
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
        return not_judged(RULE, "there were no subscribers".to_owned());
    }
    let dropped = totals.dropped_fast + totals.dropped_slow;
    let expected = totals.published * totals.subscribers;
    let holds = totals.published > 0 && totals.deliveries + dropped + totals.queued == expected;
    let figures = format!(
        "{} received + {dropped} reported in gaps + {} queued = {} published × {} subscribers",
        totals.deliveries, totals.queued, totals.published, totals.subscribers
    );
    found(RULE, holds, figures)
}

fn drops(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "events dropped for fast subscribers";
    if record.totals.subscribers == 0 {
        return not_judged(RULE, "there were no subscribers".to_owned());
    }
    let (dropped, limit) = (record.totals.dropped_fast, thresholds.max_dropped);
    found(RULE, dropped <= limit, format!("{dropped} ≤ {limit}"))
}

fn slow_drops(record: &Record, thresholds: &Thresholds) -> Finding {
    const RULE: &str = "events dropped for slow subscribers";
    let dropped = record.totals.dropped_slow;
    match thresholds.max_dropped_slow {
        Some(limit) if record.totals.subscribers > 0 => {
            found(RULE, dropped <= limit, format!("{dropped} ≤ {limit}"))
        }
        Some(_) => not_judged(RULE, "there were no subscribers".to_owned()),
        None => not_judged(RULE, format!("{dropped} dropped, any number is permitted")),
    }
}
