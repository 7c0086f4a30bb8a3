//! A request's body as it comes in, whatever frames it.

use std::ops::Range;

use super::{Framing, Limits, chunk::Chunked};
use crate::proto::semantics::{Fields, Reject};

/// What one look at the input gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All of the input is consumed; the body goes on.
    NeedMore,
    /// Data of the body.
    Data {
        /// Bytes consumed, framing before the data included.
        consumed: usize,
        /// Where the data lies in the input; never empty.
        data: Range<usize>,
    },
    /// The body has ended; the next request starts behind what was consumed.
    Done {
        /// Bytes consumed.
        consumed: usize,
    },
}

/// Decodes one request's body.
#[derive(Debug)]
pub enum Body {
    /// So many bytes are left.
    Length(u64),
    /// Chunks are left.
    Chunked(Chunked),
}

impl Body {
    /// Starts behind the head.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new(limits)),
        }
    }

    /// Decodes up to the end of the next run of data. Call again with what was not consumed, until it asks for more
    /// or is done.
    ///
    /// # Errors
    ///
    /// The framing is broken, or breaks a limit: answer with [`Reject::status`] and close.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Reject> {
        match self {
            Self::Chunked(chunked) => chunked.decode(input),
            Self::Length(0) => Ok(Step::Done { consumed: 0 }),
            Self::Length(_) if input.is_empty() => Ok(Step::NeedMore),
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                Ok(Step::Data { consumed: taken, data: 0..taken })
            }
        }
    }

    /// Returns how many bytes of data are still to come, if the framing tells.
    pub fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(chunked) => chunked.is_done().then_some(0),
        }
    }

    /// Says whether the whole body was decoded.
    pub fn is_done(&self) -> bool {
        self.remaining() == Some(0)
    }

    /// Returns the trailer fields of a chunked body that is done. They are never part of the header.
    pub fn trailers(&self) -> Fields<'_> {
        match self {
            Self::Length(_) => Fields::new(&[], &[]),
            Self::Chunked(chunked) => chunked.trailers(),
        }
    }
}
