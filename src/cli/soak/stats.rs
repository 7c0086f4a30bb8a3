//! Spread, growth and trend of a series.

/// Returns the standard deviation divided by the mean. Returns `None` for fewer than two values, or if the
/// mean is not positive.
pub(super) fn spread(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|mean| values.len() > 1 && *mean > 0.0)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt() / mean)
}

/// Returns the mean, or `None` without values.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the rise from the first point to the last, by linear regression. Returns `None` without points, or
/// if all have the same x.
pub(super) fn growth(points: &[(f64, f64)]) -> Option<f64> {
    let (xs, ys): (Vec<_>, Vec<_>) = points.iter().copied().unzip();
    let (mean_x, mean_y) = (mean(&xs)?, mean(&ys)?);
    let square: f64 = xs.iter().map(|x| (x - mean_x).powi(2)).sum();
    let product: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (square > 0.0).then(|| product / square * (xs[xs.len() - 1] - xs[0]))
}

/// Returns `true` if the values rise significantly: one-sided Mann-Kendall test at 5 %.
pub(super) fn rises(values: &[f64]) -> bool {
    /// Quantile of the normal distribution for 5 %.
    const CRITICAL: f64 = 1.645;
    let count = values.len() as f64;
    let sign = |difference: f64| if difference == 0.0 { 0.0 } else { difference.signum() };
    let score: f64 = pairs(values).map(|(earlier, later)| sign(later - earlier)).sum();
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    variance > 0.0 && (score - 1.0) / variance.sqrt() > CRITICAL
}

/// Returns the rise from the first value to the last, by [`robust_slope`].
pub(super) fn robust_growth(values: &[f64]) -> Option<f64> {
    let points: Vec<_> = values.iter().enumerate().map(|(index, value)| (index as f64, *value)).collect();
    robust_slope(&points).map(|slope| slope * (values.len() - 1) as f64)
}

/// Returns the slope of the points as the median of the slopes of all pairs (Theil-Sen estimator), which
/// single outliers do not affect. Returns `None` if all points have the same x.
pub(super) fn robust_slope(points: &[(f64, f64)]) -> Option<f64> {
    let slopes = pairs(points)
        .filter(|((x, _), (to, _))| x != to)
        .map(|((x, y), (to_x, to_y))| (to_y - y) / (to_x - x));
    median(slopes.collect())
}

/// Returns the median, or `None` without values. Of an even number it is the upper of the middle two.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Returns all pairs of an earlier and a later value.
fn pairs<T: Copy>(values: &[T]) -> impl Iterator<Item = (T, T)> {
    let later = move |(index, first): (usize, &T)| {
        let first = *first;
        values[index + 1..].iter().map(move |value| (first, *value))
    };
    values.iter().enumerate().flat_map(later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_relative_to_the_mean() {
        assert_eq!(spread(&[5.0, 5.0, 5.0]), Some(0.0));
        assert!((spread(&[9.0, 11.0]).unwrap() - 0.1414).abs() < 1e-4);
        assert_eq!((spread(&[1.0]), spread(&[0.0, 0.0]), spread(&[])), (None, None, None));
    }

    #[test]
    fn growth_is_that_of_the_regression_line() {
        let line: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        assert!((growth(&line).unwrap() - 18.0).abs() < 1e-9);
        assert_eq!((growth(&[(1.0, 2.0)]), growth(&[])), (None, None));
    }

    #[test]
    fn a_trend_is_distinguished_from_noise() {
        assert!(rises(&[1.0, 2.0, 3.0, 4.0]));
        assert!(!rises(&[4.0, 3.0, 2.0, 1.0]) && !rises(&[2.0; 10]) && !rises(&[1.0, 2.0]) && !rises(&[]));
        assert!(!rises(&[3.0, 1.0, 4.0, 1.0, 5.0, 2.0, 3.0, 2.0]));
        let drift: Vec<_> = (0..20).map(|i| f64::from(i) + if i % 2 == 0 { 3.0 } else { 0.0 }).collect();
        assert!(rises(&drift));
        assert_eq!((robust_slope(&[(1.0, 2.0), (1.0, 9.0)]), robust_growth(&[3.0])), (None, None));
        let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0), (1.5, 900.0)];
        assert_eq!(robust_slope(&points), Some(2.0));
        assert!((robust_growth(&drift).unwrap() - 19.0).abs() < 2.0);
    }
}
