//! The result, for people and for programs.

use std::{fmt, time::Duration};

use serde_json::json;

use super::{Load, args::Workload, tally::Totals};
use crate::client::latency::Latency;

/// First line of the file that `--csv` writes.
pub(super) const CSV_HEAD: &str = "seconds,requests,errors,p50_us,p90_us,p99_us,p99.9_us,max_us";

/// Quantiles that are told, with their names.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// Returns a line of figures of one interval.
pub(super) fn csv_line(elapsed: Duration, second: &Totals) -> String {
    let figures: Vec<_> =
        [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| micros(&second.latency, quantile)).into();
    format!("{:.1},{},{},{}", elapsed.as_secs_f64(), second.requests, second.errors(), figures.join(","))
}

/// Formats a quantile as microseconds; empty when nothing was measured.
fn micros(latency: &Latency, quantile: f64) -> String {
    latency.quantile(quantile).map(|found| format!("{:.1}", found.as_secs_f64() * 1e6)).unwrap_or_default()
}

/// What a run came to.
pub(super) struct Report<'a> {
    args: &'a Load,
    elapsed: Duration,
    totals: &'a Totals,
}

impl<'a> Report<'a> {
    pub(super) fn new(args: &'a Load, elapsed: Duration, totals: &'a Totals) -> Self {
        Self { args, elapsed, totals }
    }

    fn per_second(&self) -> f64 {
        self.totals.requests as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn has_subscribers(&self) -> bool {
        matches!(self.args.traffic.workload, Workload::Sse | Workload::Slow | Workload::Mixed)
    }

    /// Returns the result as one JSON object.
    pub(super) fn json(&self) -> String {
        let totals = self.totals;
        let latency: serde_json::Map<_, _> = QUANTILES
            .iter()
            .map(|(name, quantile)| (*name, *quantile))
            .chain([("max", 1.0)])
            .filter_map(|(name, quantile)| Some((name, totals.latency.quantile(quantile)?)))
            .map(|(name, found)| (name.to_owned(), json!(round(found.as_secs_f64() * 1e6))))
            .collect();
        let faults: serde_json::Map<_, _> =
            totals.faults.iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
        let report = json!({
            "seconds": round(self.elapsed.as_secs_f64()),
            "requests": totals.requests,
            "requests_per_second": round(self.per_second()),
            "errors": totals.errors(),
            "errors_by_kind": faults,
            "reconnects": totals.reconnects,
            "published": totals.published,
            "subscribers": totals.subscribers,
            "deliveries": totals.deliveries,
            "queued": totals.queued,
            "dropped_fast": totals.dropped.0,
            "dropped_slow": totals.dropped.1,
            "latency_us": latency,
        });
        report.to_string()
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals;
        let answered = if self.has_subscribers() { "answers and deliveries" } else { "answers" };
        let seconds = self.elapsed.as_secs_f64();
        writeln!(f, "{} {answered} in {seconds:.1} s, {:.1} a second", totals.requests, self.per_second())?;
        if self.has_subscribers() {
            let (fast, slow) = totals.dropped;
            writeln!(
                f,
                "{} events published; gaps told of {fast} to fast and {slow} to slow subscribers",
                totals.published
            )?;
        }
        if totals.reconnects > 0 {
            writeln!(f, "{} connections ended by the server while it owed nothing", totals.reconnects)?;
        }
        writeln!(f, "{} errors", totals.errors())?;
        for (kind, count) in &totals.faults {
            writeln!(f, "  {count} {}", kind.name())?;
        }
        for fault in &totals.told {
            writeln!(f, "  such as {fault}")?;
        }
        if totals.latency.count() > 0 {
            writeln!(f, "\nlatency          µs")?;
            for (name, quantile) in QUANTILES.iter().chain(&[("max", 1.0)]) {
                writeln!(f, "{name:8} {:>10}", micros(&totals.latency, *quantile))?;
            }
        }
        if self.args.traffic.rate.is_some() && totals.late.count() > 0 {
            writeln!(f, "\nof which this client itself was late: p99 {} µs", micros(&totals.late, 0.99))?;
        }
        Ok(())
    }
}
