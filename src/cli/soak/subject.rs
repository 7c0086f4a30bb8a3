//! One server under soak, sampled every second, or as often as is asked for.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    args::{Named, Soak, Thresholds},
    process::{Process, Usage, listening_on},
    sample::{CSV_HEAD, Record, Sample, Told, WindowFigures},
    scrape::Page,
};
use crate::{
    client::latency::Latency,
    load::{Plan, Running, Totals},
};

/// How often it is looked whether the server has closed everything.
const LOOK: Duration = Duration::from_millis(50);

/// A soak that goes on.
pub(super) struct Subject {
    plan: Plan,
    process: Option<Process>,
    running: Option<Running>,
    record: Record,
    window: Window,
    csv: BufWriter<File>,
    every: Duration,
    settle: Duration,
}

impl Subject {
    /// Finds the server's process and makes the file of samples, named after the server.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
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
        let (every, settle) = (soak.every, soak.thresholds.settle);
        Ok(Self { plan, process, running: None, record, window, csv, every, settle })
    }

    fn usage(&self) -> Option<Usage> {
        self.process.as_ref()?.usage()
    }

    fn page(&self) -> Option<Page> {
        Page::read(self.plan.target.address)
    }

    /// Looks at the idle server and starts the load.
    ///
    /// # Errors
    ///
    /// The load cannot be run.
    pub(super) fn start(&mut self, out: &Path) -> Result<(), String> {
        self.keep_page(out, "before")?;
        self.record.base = self.settled(u64::MAX);
        self.running = Some(Running::start(self.plan.clone())?);
        Ok(())
    }

    /// Keeps what the server says of itself, if it says something.
    fn keep_page(&self, out: &Path, when: &str) -> Result<(), String> {
        let Some(page) = self.page() else { return Ok(()) };
        let path = out.join(format!("{}-metrics-{when}.txt", self.record.name));
        std::fs::write(&path, page.text()).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Waits for the next look to be due and notes it with how late the machine was lately; returns it, or `None` when the
    /// load has ended.
    ///
    /// # Errors
    ///
    /// The file of samples cannot be written.
    pub(super) fn next_sample(&mut self, stalls: &Latency) -> Result<Option<(u64, u64)>, String> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let before = running.elapsed();
        let Some(second) = running.next_second(self.every) else { return Ok(None) };
        let elapsed = running.elapsed();
        let usage = self.usage();
        let told = self.page().map(|page| Told::by(&page)).unwrap_or_default();
        let sample = Sample::new((elapsed, elapsed - before), usage, told, &second, stalls);
        self.record.windows.extend(self.window.add(before, elapsed, &second.latency, stalls));
        let line = sample.csv_line();
        self.record.samples.push(sample);
        writeln!(self.csv, "{line}").and_then(|()| self.csv.flush()).map_err(|error| unwritten(&error))?;
        Ok(Some((second.requests, second.errors())))
    }

    /// Waits for the server to close what the load opened; returns everything that was noted.
    ///
    /// # Errors
    ///
    /// The load could not be run, or a file cannot be written.
    pub(super) fn end(mut self, out: &Path) -> Result<Record, String> {
        if let Some(running) = self.running.take() {
            self.record.totals = running.join()?;
        }
        self.keep_page(out, "after")?;
        self.record.after = self.settled(self.record.base.map_or(0, |base| base.fds));
        Ok(self.record)
    }

    /// Looks at the process until it has no more descriptors than that and none go any more, as long as it may take.
    fn settled(&self, fds: u64) -> Option<Usage> {
        let until = Instant::now() + self.settle;
        let mut usage = self.usage();
        loop {
            std::thread::sleep(LOOK);
            let before = std::mem::replace(&mut usage, self.usage());
            let (now, before) = (usage?, before?);
            if (now.fds <= fds && now.fds >= before.fds) || Instant::now() >= until {
                return usage;
            }
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, String> {
    File::create(path).map(BufWriter::new).map_err(|error| format!("{}: {error}", path.display()))
}

fn unwritten(error: &std::io::Error) -> String {
    format!("the samples cannot be written: {error}")
}

/// Gathers latencies up to whole windows.
struct Window {
    length: Duration,
    /// When the next window begins.
    from: Duration,
    latency: Latency,
    stalls: Latency,
}

impl Window {
    fn new(thresholds: &Thresholds, warmup: Duration) -> Self {
        let (latency, stalls) = (Latency::default(), Latency::default());
        Self { length: thresholds.window, from: warmup, latency, stalls }
    }

    /// Adds the latencies of an interval, and the machine's; returns the figures of a window that ends with it.
    fn add(
        &mut self,
        began: Duration,
        ended: Duration,
        latency: &Latency,
        stalls: &Latency,
    ) -> Option<WindowFigures> {
        // Intervals are a little longer than seconds, and windows begin with one.
        const SLACK: Duration = Duration::from_millis(100);
        if began + SLACK < self.from {
            return None;
        }
        self.latency.merge(latency);
        self.stalls.merge(stalls);
        if ended + SLACK < self.from + self.length {
            return None;
        }
        let p99 = |latency: &Latency| latency.quantile(0.99).map(|late| late.as_secs_f64());
        let late = p99(&self.stalls).unwrap_or(0.0);
        let figures = p99(&self.latency).map(|p99| WindowFigures { p99, late });
        self.latency.clear();
        self.stalls.clear();
        self.from += self.length;
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_whole_and_behind_the_warm_up() {
        let (latency, stalls) = (Latency::default(), Latency::default());
        let from = Duration::from_secs(2);
        let mut window = Window { length: Duration::from_secs(3), from, latency, stalls };
        let at = |second: u64| Duration::from_millis(second * 1000 + 3 * second);
        let found: Vec<_> = (0..10)
            .filter_map(|second| {
                let mut latency = Latency::default();
                latency.record(Duration::from_millis(second + 1));
                // One of a hundred may be later.
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
