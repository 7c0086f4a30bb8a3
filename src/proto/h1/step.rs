//! Result of decoding a part of a body.

use std::ops::Range;

/// Result of decoding a part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The whole input was consumed and the body continues.
    NeedMore,
    /// A run of the body's data.
    Data {
        /// Number of bytes consumed, including framing before the data.
        consumed: usize,
        /// Position of the data in the input. Never empty.
        data: Range<usize>,
    },
    /// The body is complete. The next request starts after the consumed bytes.
    Done {
        /// Number of bytes consumed.
        consumed: usize,
    },
}
