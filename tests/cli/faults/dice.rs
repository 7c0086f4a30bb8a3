//! Pseudo-random choices from a seed.

/// A SplitMix64 generator, which works well with any seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Creates the generator of one part of a run.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed ^ part.wrapping_mul(0xd129_0d23_a5b9_6dd5));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns a unique text of up to `most` bytes, but at least the length of its token.
    pub(super) fn text(&mut self, most: usize) -> String {
        let token = format!("{:016x}.", self.next());
        let length = 1 + self.below(most);
        token.chars().cycle().take(length.max(token.len())).collect()
    }
}
