//! Result of a run: a text for people, JSON and `key=value` lines for programs.

use std::{fmt, time::Duration};

use serde_json::json;

use super::{latency::Latency, totals::Totals};

/// Reported quantiles, with their names.
const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// Result of a run. [`Display`](fmt::Display) formats it for people.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Duration of the run.
    pub elapsed: Duration,
    /// Counters of the run.
    pub totals: Totals,
    /// Responses on the connection with the fewest and on the one with the most, if counted.
    pub per_connection: Option<(u64, u64)>,
}

impl Report {
    fn per_second(&self) -> f64 {
        self.totals.requests as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Returns the result as one JSON object.
    pub fn json(&self) -> String {
        let totals = &self.totals;
        let latency: serde_json::Map<_, _> = QUANTILES
            .iter()
            .filter_map(|(name, quantile)| Some((name, micros(&totals.latency, *quantile)?)))
            .map(|(name, micros)| ((*name).to_owned(), json!(round(micros))))
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
            "dropped_fast": totals.dropped_fast,
            "dropped_slow": totals.dropped_slow,
            "latency_us": latency,
        });
        report.to_string()
    }

    /// Returns the result as one `key=value` per line, which scripts can parse without a JSON parser.
    pub fn pairs(&self) -> String {
        let totals = &self.totals;
        let mut lines = Vec::new();
        let mut put = |key: &str, value: String| lines.push(format!("{key}={value}\n"));
        put("requests", totals.requests.to_string());
        put("errors", totals.errors().to_string());
        for (kind, count) in &totals.faults {
            put(&format!("errors_{}", kind.name()), count.to_string());
        }
        put("reconnects", totals.reconnects.to_string());
        put("seconds", format!("{:.3}", self.elapsed.as_secs_f64()));
        put("per_second", format!("{:.0}", self.per_second()));
        let micros = |latency, quantile| format!("{:.1}", micros(latency, quantile).unwrap_or_default());
        for (name, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)] {
            put(name, micros(&totals.latency, quantile));
        }
        if totals.publishing.count() > 0 {
            put("publish_p50_us", micros(&totals.publishing, 0.5));
            put("publish_p99_us", micros(&totals.publishing, 0.99));
        }
        if totals.late.count() > 0 {
            put("late_p99_us", micros(&totals.late, 0.99));
        }
        if let Some((min, max)) = self.per_connection {
            put("connection_min", min.to_string());
            put("connection_max", max.to_string());
        }
        lines.concat()
    }
}

/// Returns a quantile in microseconds, or `None` if the histogram is empty.
fn micros(latency: &Latency, quantile: f64) -> Option<f64> {
    latency.quantile(quantile).map(|found| found.as_secs_f64() * 1e6)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        let has_subscribers = totals.subscribers > 0;
        let requests = if has_subscribers { "responses and deliveries" } else { "responses" };
        let seconds = self.elapsed.as_secs_f64();
        writeln!(f, "{} {requests} in {seconds:.1} s, {:.1} per second", totals.requests, self.per_second())?;
        if has_subscribers {
            writeln!(f, "{} events published", totals.published)?;
            let (fast, slow) = (totals.dropped_fast, totals.dropped_slow);
            writeln!(f, "dropped and reported in gaps: {fast} to fast subscribers, {slow} to slow ones")?;
        }
        if totals.reconnects > 0 {
            writeln!(f, "{} connections closed by the server while idle", totals.reconnects)?;
        }
        writeln!(f, "{} errors", totals.errors())?;
        for (kind, count) in &totals.faults {
            writeln!(f, "  {count} {}", kind.name())?;
        }
        for example in &totals.examples {
            writeln!(f, "  for example: {example}")?;
        }
        if totals.latency.count() > 0 {
            writeln!(f, "\nlatency          µs")?;
            for (name, quantile) in QUANTILES {
                writeln!(f, "{name:8} {:>10.1}", micros(&totals.latency, quantile).unwrap_or_default())?;
            }
        }
        if let Some(late) = micros(&totals.late, 0.99) {
            writeln!(f, "\nof which delay of this client: p99 {late:.1} µs")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fault::{Fault, Kind},
        *,
    };

    #[test]
    fn pairs_have_a_line_per_key() {
        let mut report = Report { elapsed: Duration::from_secs(2), ..Report::default() };
        report.totals.answered(Some(Duration::from_micros(100)));
        report.totals.failed(&Fault::new(Kind::Status, 503), 3);
        assert_eq!(
            report.pairs(),
            "requests=1\nerrors=3\nerrors_status=3\nreconnects=0\nseconds=2.000\nper_second=0\n\
             p50_us=100.0\np99_us=100.0\np999_us=100.0\nmax_us=100.0\n"
        );
        report.totals.publishing.record(Duration::from_micros(50));
        report.totals.late.record(Duration::from_micros(70));
        report.per_connection = Some((1, 2));
        let end = "publish_p50_us=50.0\npublish_p99_us=50.0\nlate_p99_us=70.0\nconnection_min=1\n\
                   connection_max=2\n";
        assert!(report.pairs().ends_with(end), "{}", report.pairs());
    }

    #[test]
    fn quantiles_of_no_responses_are_zero() {
        assert!(Report::default().pairs().contains("p50_us=0.0\n"));
        assert!(Report::default().json().contains("\"latency_us\":{}"));
    }
}
