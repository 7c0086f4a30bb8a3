//! File with a line of figures for each second.

use std::{fs::File, io::Write, path::Path, time::Duration};

use crate::client::totals::Totals;

/// First line of the file.
const HEAD: &str = "seconds,requests,errors,p50_us,p90_us,p99_us,p99.9_us,max_us";

/// Quantiles of the latency columns.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];

/// Writer of the file.
pub(super) struct SecondsCsv(File);

impl SecondsCsv {
    /// Creates the file.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub(super) fn create(path: &Path) -> Result<Self, String> {
        let failed = |error| format!("cannot write the file of --csv {}: {error}", path.display());
        let mut file = File::create(path).map_err(failed)?;
        writeln!(file, "{HEAD}").map_err(failed)?;
        Ok(Self(file))
    }

    /// Appends the line of an interval that ended `elapsed` after the start. A figure without a value is
    /// empty.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn write(&mut self, elapsed: Duration, second: &Totals) -> Result<(), String> {
        let micros = |quantile| {
            let latency = second.latency.quantile(quantile);
            latency.map(|latency| format!("{:.1}", latency.as_secs_f64() * 1e6)).unwrap_or_default()
        };
        let latency = QUANTILES.map(micros).join(",");
        let (seconds, requests, errors) = (elapsed.as_secs_f64(), second.requests, second.errors());
        writeln!(self.0, "{seconds:.1},{requests},{errors},{latency}")
            .map_err(|error| format!("--csv: {error}"))
    }
}
