//! One server under load, sampled at regular intervals.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    args::{Named, Soak, Thresholds},
    process::{Process, Usage, listening_on},
    sample::{CSV_HEAD, Record, Sample, ServerFigures, WindowFigures},
    scrape::Page,
};
use crate::{
    client::{latency::Latency, totals::Totals},
    load::{Plan, Running},
};

/// Interval at which the descriptors are counted after the load.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Server under load.
pub(super) struct Subject {
    plan: Plan,
    process: Option<Process>,
    running: Option<Running>,
    record: Record,
    window: Window,
    csv: BufWriter<File>,
    every: Duration,
    /// Time after the load within which the server must close its connections.
    closing_time: Duration,
}

impl Subject {
    /// Finds the server's process and creates the file of samples.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub(super) fn new(named: &Named, pid: Option<u32>, soak: &Soak) -> Result<Self, String> {
        let plan = Plan { target: named.target.clone(), traffic: soak.traffic.clone() };
        let process = pid.or_else(|| listening_on(plan.target.address)).map(Process::new);
        let mut csv = create(&soak.out.join(format!("{}.csv", named.name)))?;
        writeln!(csv, "{CSV_HEAD}").map_err(|error| unwritten(&error))?;
        let record = Record {
            name: named.name.clone(),
            traffic: soak.traffic.clone(),
            every: soak.every,
            warmup: soak.thresholds.warmup(&soak.traffic),
            base: None,
            samples: Vec::new(),
            windows: Vec::new(),
            after: None,
            totals: Totals::default(),
        };
        let window = Window::new(&soak.thresholds, record.warmup);
        let (every, closing_time) = (soak.every, soak.thresholds.settle);
        Ok(Self { plan, process, running: None, record, window, csv, every, closing_time })
    }

    fn usage(&self) -> Option<Usage> {
        self.process.as_ref()?.usage()
    }

    fn page(&self) -> Option<Page> {
        Page::read(self.plan.target.address)
    }

    /// Records the usage of the idle server and starts the load.
    ///
    /// # Errors
    ///
    /// The load cannot start.
    pub(super) fn start(&mut self, out: &Path) -> Result<(), String> {
        self.save_metrics(out, "before")?;
        self.record.base = self.usage_at_rest(u64::MAX);
        self.running = Some(Running::start(self.plan.clone())?);
        Ok(())
    }

    /// Saves the metrics of the server, if it has any.
    fn save_metrics(&self, out: &Path, when: &str) -> Result<(), String> {
        let Some(page) = self.page() else { return Ok(()) };
        let path = out.join(format!("{}-metrics-{when}.txt", self.record.name));
        std::fs::write(&path, page.text())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Waits for the end of the interval and records a sample. `stalls` are the delays of the machine.
    /// Returns the numbers of requests and errors, or `None` after the end of the load.
    ///
    /// # Errors
    ///
    /// The file of samples cannot be written.
    pub(super) fn next_sample(&mut self, stalls: &Latency) -> Result<Option<(u64, u64)>, String> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let before = running.elapsed();
        let Some(totals) = running.next_interval(self.every) else { return Ok(None) };
        let elapsed = running.elapsed();
        let usage = self.usage();
        let server = self.page().map(|page| ServerFigures::new(&page)).unwrap_or_default();
        let sample = Sample::new((elapsed, elapsed - before), usage, server, &totals, stalls);
        self.record.windows.extend(self.window.add(before, elapsed, &totals.latency, stalls));
        let line = sample.csv_line();
        self.record.samples.push(sample);
        writeln!(self.csv, "{line}").and_then(|()| self.csv.flush()).map_err(|error| unwritten(&error))?;
        Ok(Some((totals.requests, totals.errors())))
    }

    /// Waits for the server to close its connections. Returns everything recorded.
    ///
    /// # Errors
    ///
    /// The load failed, or a file cannot be written.
    pub(super) fn end(mut self, out: &Path) -> Result<Record, String> {
        if let Some(running) = self.running.take() {
            self.record.totals = running.join()?;
        }
        self.save_metrics(out, "after")?;
        self.record.after = self.usage_at_rest(self.record.base.map_or(0, |base| base.fds));
        Ok(self.record)
    }

    /// Waits until the process has at most `fds` descriptors and closes no more, or until the closing time
    /// has passed. Returns the usage then, or `None` if it cannot be read.
    fn usage_at_rest(&self, fds: u64) -> Option<Usage> {
        let deadline = Instant::now() + self.closing_time;
        let mut usage = self.usage();
        loop {
            std::thread::sleep(CHECK_INTERVAL);
            let before = std::mem::replace(&mut usage, self.usage());
            let (now, before) = (usage?, before?);
            if (now.fds <= fds && now.fds >= before.fds) || Instant::now() >= deadline {
                return usage;
            }
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, String> {
    File::create(path)
        .map(BufWriter::new)
        .map_err(|error| format!("cannot create {}: {error}", path.display()))
}

fn unwritten(error: &std::io::Error) -> String {
    format!("cannot write the samples: {error}")
}

/// Collector of the latencies of the current window.
struct Window {
    length: Duration,
    /// Start of the window.
    start: Duration,
    latency: Latency,
    stalls: Latency,
}

impl Window {
    fn new(thresholds: &Thresholds, warmup: Duration) -> Self {
        let (latency, stalls) = (Latency::default(), Latency::default());
        Self { length: thresholds.window, start: warmup, latency, stalls }
    }

    /// Adds the latencies of an interval and the delays of the machine. Returns the figures of the window if
    /// it ends with the interval.
    fn add(
        &mut self,
        start: Duration,
        end: Duration,
        latency: &Latency,
        stalls: &Latency,
    ) -> Option<WindowFigures> {
        // Intervals are a little longer than planned. A window starts and ends with an interval.
        const SLACK: Duration = Duration::from_millis(100);
        if start + SLACK < self.start {
            return None;
        }
        self.latency.merge(latency);
        self.stalls.merge(stalls);
        if end + SLACK < self.start + self.length {
            return None;
        }
        let p99 = |latency: &Latency| latency.quantile(0.99).map(|late| late.as_secs_f64());
        let late = p99(&self.stalls).unwrap_or(0.0);
        let figures = p99(&self.latency).map(|p99| WindowFigures { p99, late });
        self.latency.clear();
        self.stalls.clear();
        self.start += self.length;
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_complete_and_after_the_warm_up() {
        let (latency, stalls) = (Latency::default(), Latency::default());
        let start = Duration::from_secs(2);
        let mut window = Window { length: Duration::from_secs(3), start, latency, stalls };
        let at = |second: u64| Duration::from_millis(second * 1000 + 3 * second);
        let found: Vec<_> = (0..10)
            .filter_map(|second| {
                let mut latency = Latency::default();
                latency.record(Duration::from_millis(second + 1));
                // One delay of a hundred does not affect the p99.
                let mut stalls = Latency::default();
                (0..33).for_each(|_| stalls.record(Duration::from_micros(10 * second)));
                stalls.record(Duration::from_secs(u64::from(second == 3)));
                Some((second, window.add(at(second), at(second + 1), &latency, &stalls)?))
            })
            .collect();
        let near = |(second, figures): (u64, WindowFigures), p99: f64, late: f64| {
            (figures.p99 / p99 - 1.0).abs() < 0.01 && (figures.late / late - 1.0).abs() < 0.01 && second > 0
        };
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(near(found[0], 0.005, 0.000_04) && near(found[1], 0.008, 0.000_07), "{found:?}");
    }
}
