//! Chart as inline SVG, with a line per server over time.

use std::fmt::{self, Write};

/// Size of the drawing area and its margins, in units of the picture.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 8.0;
const RIGHT: f64 = 10.0;
const BOTTOM: f64 = 22.0;
/// Maximum number of points of a line. More are grouped, and the highest of each group is drawn, so that no
/// peak is lost.
const POINTS: usize = 600;
/// Number of sections of the vertical axis.
const TICKS: u32 = 2;

/// Line of a chart.
pub(super) struct Line {
    pub(super) name: String,
    /// Index of the server, which selects the colour.
    pub(super) server: usize,
    /// Dashed lines show secondary figures.
    pub(super) is_dashed: bool,
    /// Time in seconds, and value. The line has a hole where the value is `None`.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// Chart with a title and a legend.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
    /// Formats a value of the vertical axis.
    pub(super) format: fn(f64) -> String,
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value));
        let Some(highest) = values.reduce(f64::max) else {
            return write!(f, "<figure><figcaption>{}</figcaption><p>no figures</p></figure>", self.title);
        };
        let last = self.lines.iter().filter_map(|line| Some(line.points.last()?.0)).fold(1.0, f64::max);
        let top = round_up(highest);
        write!(f, "<figure><figcaption>{} {}</figcaption>", self.title, self.legend())?;
        let (width, height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM);
        let label = format!("{}: at most {}", self.title, (self.format)(highest));
        write!(f, r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">"#)?;
        self.write_axes(f, top, last)?;
        for line in &self.lines {
            let dashed = if line.is_dashed { " dashed" } else { "" };
            write!(
                f,
                r#"<path class="line s{}{dashed}" d="{}"/>"#,
                line.server,
                path(&line.points, top, last)
            )?;
        }
        f.write_str("</svg></figure>")
    }
}

impl Chart {
    fn legend(&self) -> String {
        let mut legend = String::new();
        for line in &self.lines {
            let dashed = if line.is_dashed { " dashed" } else { "" };
            let _ = write!(legend, r#"<span class="key s{}{dashed}">{}</span> "#, line.server, line.name);
        }
        legend
    }

    fn write_axes(&self, f: &mut fmt::Formatter<'_>, top: f64, last: f64) -> fmt::Result {
        for tick in 0..=TICKS {
            let part = f64::from(tick) / f64::from(TICKS);
            let y = TOP + HEIGHT * (1.0 - part);
            let text = (self.format)(top * part);
            write!(f, r#"<path class="grid" d="M{LEFT} {y:.1}h{WIDTH}"/>"#)?;
            write!(f, r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#, LEFT - 6.0, y + 4.0)?;
        }
        let y = TOP + HEIGHT + 16.0;
        write!(f, r#"<text x="{LEFT}" y="{y}">0</text>"#)?;
        write!(f, r#"<text x="{}" y="{y}" text-anchor="end">{}</text>"#, LEFT + WIDTH, time(last))
    }
}

/// Returns the SVG path of a line.
fn path(points: &[(f64, Option<f64>)], top: f64, last: f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for bucket in points.chunks(points.len().div_ceil(POINTS).max(1)) {
        let value = bucket.iter().filter_map(|(_, value)| *value).reduce(f64::max);
        if let Some(value) = value {
            let x = LEFT + WIDTH * bucket[0].0 / last;
            let y = TOP + HEIGHT * (1.0 - value / top);
            let _ = write!(path, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' });
        }
        is_down = value.is_some();
    }
    path
}

/// Returns the next round number.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0].into_iter().map(|step| step * unit);
    steps.into_iter().find(|step| *step >= value).unwrap_or(10.0 * unit)
}

/// Formats a duration in seconds, minutes or hours.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>) -> String {
        let lines = vec![Line { name: "a".to_owned(), server: 0, is_dashed: false, points }];
        Chart { title: "memory", lines, format: |value| value.to_string() }.to_string()
    }

    #[test]
    fn a_line_has_holes_where_values_are_missing() {
        let text = chart(vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(3.0))]);
        assert!(text.contains("d=\"M64.0 108.0L264.0 58.0M664.0 8.0\""), "{text}");
        assert!(text.contains("at most 3"));
        assert!(chart(vec![(0.0, None)]).contains("no figures"));
    }

    #[test]
    fn a_peak_among_many_points_is_drawn() {
        let points =
            (0..10_000).map(|at| (f64::from(at), Some(if at == 5003 { 100.0 } else { 1.0 }))).collect();
        let text = chart(points);
        assert!(text.contains(" 8.0L"), "the peak is at the top");
        assert!(text.len() < 20_000, "{}", text.len());
    }

    #[test]
    fn axes_end_with_round_numbers() {
        for (value, end) in
            [(0.0, 1.0), (0.9, 1.0), (11.0, 15.0), (180.0, 200.0), (760.0, 1000.0), (1000.0, 1000.0)]
        {
            assert!((round_up(value) / end - 1.0).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }
}
