//! Report as one HTML file without external resources.

use std::fmt;

use super::{
    chart::{Chart, Line, time},
    process::Usage,
    sample::{Record, Sample},
    verdict::{Judgement, Verdict},
};

const STYLE: &str = include_str!("report.css");

/// Report of one server, or of two side by side.
pub(super) struct Page<'a> {
    pub(super) records: &'a [Record],
    pub(super) verdicts: &'a [Verdict],
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passes = self.verdicts.iter().all(Verdict::passes);
        let word = if passes { "PASS" } else { "FAIL" };
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>{word} · soak</title><style>{STYLE}</style><body><main>"
        )?;
        writeln!(f, "<h1 class=\"{word}\">{word}</h1>")?;
        for (verdict, record) in self.verdicts.iter().zip(self.records) {
            writeln!(f, "<p class=\"verdict\">{}</p>", escaped(&verdict.to_string()))?;
            writeln!(f, "<p>{}</p>", escaped(&describe(record)))?;
        }
        f.write_str("<div class=\"charts\">\n")?;
        for chart in self.charts() {
            writeln!(f, "{chart}")?;
        }
        f.write_str("</div>\n")?;
        self.verdicts.iter().try_for_each(|verdict| write_table(f, verdict))?;
        f.write_str("</main></body></html>\n")
    }
}

/// Describes the load and its result in a sentence.
fn describe(record: &Record) -> String {
    let (traffic, totals) = (&record.traffic, &record.totals);
    let rate = traffic.rate.map_or("closed loop".to_owned(), |rate| format!("{rate} requests/s"));
    format!(
        "{}: workload {}, {} connections, {rate}, {}; {} responses and deliveries, {} errors.",
        record.name,
        format!("{:?}", traffic.workload).to_lowercase(),
        traffic.connections,
        time(traffic.duration.as_secs_f64()),
        totals.requests,
        totals.errors()
    )
}

fn write_table(f: &mut fmt::Formatter<'_>, verdict: &Verdict) -> fmt::Result {
    write!(f, "<table><caption>{}</caption>", escaped(&verdict.name))?;
    for finding in &verdict.findings {
        let word = match finding.judgement {
            Judgement::Pass => "PASS",
            Judgement::Fail => "FAIL",
            Judgement::NotJudged => "—",
        };
        let figures = escaped(&finding.figures);
        writeln!(f, "<tr><td class=\"{word}\">{word}<th scope=\"row\">{}<td>{figures}", finding.rule)?;
    }
    f.write_str("</table>\n")
}

impl Page<'_> {
    fn charts(&self) -> Vec<Chart> {
        let usage = |of: fn(Usage) -> f64| move |sample: &Sample| sample.usage.map(of);
        vec![
            Chart { title: "latency", lines: self.latency(), format: milliseconds },
            self.chart("delay of the machine, p99", milliseconds, |sample| {
                sample.late[1].map(|late| late.as_secs_f64())
            }),
            self.chart("responses and deliveries per second", number, |sample| {
                (sample.length > 0.0).then(|| sample.requests as f64 / sample.length)
            }),
            self.chart("client errors", number, |sample| Some(sample.errors as f64)),
            self.chart("resident memory", mebibytes, usage(|usage| usage.rss_bytes as f64 / 1_048_576.0)),
            Chart { title: "CPU time, cores", lines: self.cpu(), format: fraction },
            self.chart("descriptors", number, usage(|usage| usage.fds as f64)),
            self.chart("threads", number, usage(|usage| usage.threads as f64)),
            self.chart("longest turn of a shard so far", milliseconds, |sample| sample.server.longest_turn),
            self.chart("connections reported by the server", number, |sample| sample.server.connections),
            self.chart("dropped events", number, |sample| {
                Some((sample.dropped_fast + sample.dropped_slow) as f64)
            }),
        ]
    }

    fn chart(
        &self,
        title: &'static str,
        format: fn(f64) -> String,
        of: impl Fn(&Sample) -> Option<f64>,
    ) -> Chart {
        let line = |(server, record): (usize, &Record)| Line {
            name: escaped(&record.name),
            server,
            is_dashed: false,
            points: record.samples.iter().map(|sample| (sample.seconds, of(sample))).collect(),
        };
        Chart { title, lines: self.records.iter().enumerate().map(line).collect(), format }
    }

    /// Returns the lines of p99 and, dashed, p50.
    fn latency(&self) -> Vec<Line> {
        let quantiles = [("p50", 0, true), ("p99", 2, false)];
        let line = |(server, record): (usize, &Record), (name, index, is_dashed): (&str, usize, bool)| Line {
            name: format!("{} {name}", escaped(&record.name)),
            server,
            is_dashed,
            points: record
                .samples
                .iter()
                .map(|sample| (sample.seconds, sample.latency[index].map(|latency| latency.as_secs_f64())))
                .collect(),
        };
        let lines = |numbered| quantiles.map(|quantile| line(numbered, quantile));
        self.records.iter().enumerate().flat_map(lines).collect()
    }

    /// Returns the lines of the CPU time per second.
    fn cpu(&self) -> Vec<Line> {
        let points = |record: &Record| {
            let mut before = record.base;
            let spent = |sample: &Sample| {
                let (now, before) = (sample.usage?, std::mem::replace(&mut before, sample.usage)?);
                (sample.length > 0.0).then(|| (now.cpu_seconds - before.cpu_seconds).max(0.0) / sample.length)
            };
            let spent: Vec<_> = record.samples.iter().map(spent).collect();
            record.samples.iter().map(|sample| sample.seconds).zip(spent).collect()
        };
        let line = |(server, record): (usize, &Record)| Line {
            name: escaped(&record.name),
            server,
            is_dashed: false,
            points: points(record),
        };
        self.records.iter().enumerate().map(line).collect()
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn fraction(value: f64) -> String {
    format!("{value:.2}")
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

fn mebibytes(value: f64) -> String {
    format!("{} MiB", number(value))
}

/// Escapes text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
