//! Histogram of response times. It records every response, with three significant digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Shortest distinguishable latency in nanoseconds. Shorter ones count as this.
const LOWEST: u64 = 100;
/// Longest distinguishable latency in nanoseconds. Longer ones count as this.
const HIGHEST: u64 = 100_000_000_000;

/// Histogram of latencies from 100 ns to 100 s. It uses about 200 KiB.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        match Histogram::new_with_bounds(LOWEST, HIGHEST, 3) {
            Ok(histogram) => Self(histogram),
            Err(error) => unreachable!("the bounds are constants: {error}"),
        }
    }
}

impl Latency {
    /// Records a latency.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds the latencies of another histogram.
    pub fn merge(&mut self, other: &Self) {
        // Adding fails only for different bounds, and all histograms have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Removes all latencies. Keeps the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Returns the number of recorded latencies.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the latency that the given share of the recorded ones (0 to 1) does not exceed, to three
    /// digits. Returns `None` if the histogram is empty.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_nanos(self.0.value_at_quantile(quantile)))
    }

    /// Returns the longest latency. Returns `None` if the histogram is empty.
    pub fn max(&self) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_nanos(self.0.max()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_that_was_recorded() {
        let (mut low, mut high) = (Latency::default(), Latency::default());
        assert_eq!((low.quantile(0.5), low.max()), (None, None));
        (1..=50).for_each(|ms| low.record(Duration::from_millis(ms)));
        (51..=100).for_each(|ms| high.record(Duration::from_millis(ms)));
        low.merge(&high);
        let near = |quantile: f64, ms: f64| {
            let found = low.quantile(quantile).unwrap().as_secs_f64() * 1e3;
            assert!((found / ms - 1.0).abs() < 0.002, "{quantile}: {found}");
        };
        near(0.5, 50.0);
        near(0.99, 99.0);
        near(1.0, 100.0);
        assert_eq!(low.count(), 100);
        low.clear();
        assert_eq!(low.count(), 0);
    }
}
