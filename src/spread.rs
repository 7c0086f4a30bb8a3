//! Fibonacci hashing: spreads consecutive numbers evenly over a range.

/// 2³² divided by the golden ratio, odd.
const MULTIPLIER: u32 = 0x9e37_79b9;

/// Maps a number to `0..range`. Consecutive numbers land far apart, and their results fill the range evenly.
pub(crate) fn spread(number: u32, range: u32) -> u32 {
    let product = u64::from(number.wrapping_mul(MULTIPLIER)) * u64::from(range);
    (product >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn consecutive_numbers_fill_the_range() {
        let mut hits = [0; 16];
        (0..1600).for_each(|number| hits[spread(number, 16) as usize] += 1);
        assert!(hits.iter().all(|hits| (95..=105).contains(hits)), "{hits:?}");
    }
}
