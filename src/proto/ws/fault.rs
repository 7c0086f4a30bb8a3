//! Why a connection is failed.

use std::{error::Error, fmt};

use super::Code;

/// A fault of the peer that ends its connection: what it was, and the close code that tells (RFC 6455
/// §7.1.7).
///
/// After any of these the place of the next frame, or the meaning of the next message, is not known for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A client's frame that is not masked.
    Unmasked,
    /// A server's frame that is masked.
    Masked,
    /// A reserved bit that no negotiated extension gives a meaning to, at this place.
    ReservedBits,
    /// A reserved opcode.
    Opcode,
    /// A length in more bytes than it needs.
    LengthNotMinimal,
    /// A length of 2^63 or more.
    LengthTooLong,
    /// A control frame in fragments.
    ControlFragmented,
    /// A control frame with more than 125 bytes.
    ControlTooLong,
    /// A continuation of nothing.
    Continuation,
    /// A new message before the one in fragments has ended.
    Interrupted,
    /// A Close with a single byte: half a code.
    ClosePayload,
    /// A close code that must not be sent.
    CloseCode,
    /// A close reason that is not UTF-8.
    CloseReason,
    /// A text message that is not UTF-8.
    Text,
    /// A compressed message that is not DEFLATE.
    Deflate,
    /// A message longer than [`Limits::message_bytes`](super::Limits::message_bytes).
    TooBig,
    /// A compressed message that is longer than that once inflated.
    InflatedTooBig,
}

impl Fault {
    /// All causes, each at the index `cause as usize`, so that counters may be an array.
    pub const ALL: [Self; 17] = [
        Self::Unmasked,
        Self::Masked,
        Self::ReservedBits,
        Self::Opcode,
        Self::LengthNotMinimal,
        Self::LengthTooLong,
        Self::ControlFragmented,
        Self::ControlTooLong,
        Self::Continuation,
        Self::Interrupted,
        Self::ClosePayload,
        Self::CloseCode,
        Self::CloseReason,
        Self::Text,
        Self::Deflate,
        Self::TooBig,
        Self::InflatedTooBig,
    ];

    /// Returns the close code that tells the peer.
    pub fn code(self) -> Code {
        self.row().0
    }

    /// Returns a short name for metrics: lower case and underscores, never anything a peer sent.
    pub fn label(self) -> &'static str {
        self.row().1
    }

    /// Returns the cause in plain words, a sentence without its full stop. Short enough for a close reason.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    #[rustfmt::skip]
    fn row(self) -> (Code, &'static str, &'static str) {
        match self {
            Self::Unmasked => (Code::PROTOCOL, "unmasked", "a client's frame is not masked"),
            Self::Masked => (Code::PROTOCOL, "masked", "a server's frame is masked"),
            Self::ReservedBits => (Code::PROTOCOL, "reserved_bits", "a reserved bit is set"),
            Self::Opcode => (Code::PROTOCOL, "opcode", "an opcode is reserved"),
            Self::LengthNotMinimal => (Code::PROTOCOL, "length_not_minimal", "a length has more bytes than it needs"),
            Self::LengthTooLong => (Code::PROTOCOL, "length_too_long", "a length has its highest bit set"),
            Self::ControlFragmented => (Code::PROTOCOL, "control_fragmented", "a control frame is in fragments"),
            Self::ControlTooLong => (Code::PROTOCOL, "control_too_long", "a control frame is longer than 125 bytes"),
            Self::Continuation => (Code::PROTOCOL, "continuation", "there is no message to continue"),
            Self::Interrupted => (Code::PROTOCOL, "interrupted", "a message begins before the last one has ended"),
            Self::ClosePayload => (Code::PROTOCOL, "close_payload", "a close code has two bytes"),
            Self::CloseCode => (Code::PROTOCOL, "close_code", "a close code must not be sent"),
            Self::CloseReason => (Code::BAD_DATA, "close_reason", "a close reason is not UTF-8"),
            Self::Text => (Code::BAD_DATA, "text", "a text message is not UTF-8"),
            Self::Deflate => (Code::BAD_DATA, "deflate", "a compressed message is not valid"),
            Self::TooBig => (Code::TOO_BIG, "too_big", "a message is too big"),
            Self::InflatedTooBig => (Code::TOO_BIG, "inflated_too_big", "a message is too big once inflated"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_place_a_label_of_its_own_and_a_reason_that_fits() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
            assert!(Fault::ALL.iter().filter(|other| other.label() == fault.label()).count() == 1);
            assert!(fault.text().len() <= 123 && fault.code().may_be_sent());
        }
    }
}
