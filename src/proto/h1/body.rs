//! Decoder of a request body, with a length or chunked.

use super::{Framing, Limits, chunk::Chunked, step::Step};
use crate::proto::semantics::{Fields, Reject};

/// Decoder of one request body.
#[derive(Debug)]
pub enum Body {
    /// Body with a length: this many bytes are left.
    Length(u64),
    /// Chunked body.
    Chunked(Chunked),
}

impl Body {
    /// Returns a decoder for the bytes after a head.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new(limits)),
        }
    }

    /// Decodes up to the end of the next run of data. Call it again with the bytes that were not consumed,
    /// until the result is [`Step::NeedMore`] or [`Step::Done`].
    ///
    /// # Errors
    ///
    /// The framing is invalid or exceeds a limit: answer with [`Reject::status`] and close the connection.
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

    /// Returns how many bytes of data are still to come; `None` if the framing does not tell.
    pub fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(chunked) => chunked.is_done().then_some(0),
        }
    }

    /// Returns how many bytes of data are known to follow: the rest of the body, or of the current chunk.
    pub fn announced(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(chunked) => chunked.announced(),
        }
    }

    /// Returns `true` if the whole body was decoded.
    pub fn is_done(&self) -> bool {
        self.remaining() == Some(0)
    }

    /// Returns the trailer fields of a chunked body that is complete. They are never added to the header
    /// fields.
    pub fn trailers(&self) -> Fields<'_> {
        match self {
            Self::Length(_) => Fields::new(&[], &[]),
            Self::Chunked(chunked) => chunked.trailers(),
        }
    }
}
