//! Protocol violations by the peer.

use std::{error::Error, fmt};

use super::Code;

/// Protocol violation by the peer, which ends the connection. The close code reports it to the peer (RFC 6455
/// §7.1.7).
///
/// After a violation the start of the next frame, or the meaning of the next message, is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A client sent an unmasked frame.
    Unmasked,
    /// A server sent a masked frame.
    Masked,
    /// A reserved bit is set that no negotiated extension defines for this frame.
    ReservedBits,
    /// The opcode is reserved.
    Opcode,
    /// The length is encoded in more bytes than necessary.
    LengthNotMinimal,
    /// The length is 2^63 or more.
    LengthTooLong,
    /// A control frame is fragmented.
    ControlFragmented,
    /// A control frame is longer than 125 bytes.
    ControlTooLong,
    /// A continuation frame arrived without a message to continue.
    Continuation,
    /// A new message started before the fragmented one was complete.
    Interrupted,
    /// The payload of a Close is one byte, half a code.
    ClosePayload,
    /// The close code must not be sent.
    CloseCode,
    /// The close reason is not UTF-8.
    CloseReason,
    /// A text message is not UTF-8.
    Text,
    /// A compressed message is not valid DEFLATE.
    Deflate,
    /// A message, before inflation if it is compressed, is longer than
    /// [`Limits::message_bytes`](super::Limits::message_bytes) allows.
    TooBig,
    /// An inflated message is longer than [`Limits::message_bytes`](super::Limits::message_bytes).
    InflatedTooBig,
}

impl Fault {
    /// All faults, each at the index `fault as usize`, so that counters can be an array.
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

    /// Returns the close code to send to the peer.
    pub fn code(self) -> Code {
        self.row().0
    }

    /// Returns the label value for metrics: lower case with underscores, never text from a peer.
    pub fn label(self) -> &'static str {
        self.row().1
    }

    /// Returns the text of the fault, in lower case without a full stop. It fits a close reason.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    #[rustfmt::skip]
    fn row(self) -> (Code, &'static str, &'static str) {
        match self {
            Self::Unmasked => (Code::PROTOCOL, "unmasked", "a client frame is not masked"),
            Self::Masked => (Code::PROTOCOL, "masked", "a server frame is masked"),
            Self::ReservedBits => (Code::PROTOCOL, "reserved_bits", "a frame has a reserved bit set"),
            Self::Opcode => (Code::PROTOCOL, "opcode", "a frame has a reserved opcode"),
            Self::LengthNotMinimal => {
                (Code::PROTOCOL, "length_not_minimal", "a frame length has more bytes than needed")
            }
            Self::LengthTooLong => (Code::PROTOCOL, "length_too_long", "a frame length is 2^63 or more"),
            Self::ControlFragmented => {
                (Code::PROTOCOL, "control_fragmented", "a control frame is fragmented")
            }
            Self::ControlTooLong => (Code::PROTOCOL, "control_too_long", "a control frame is too long"),
            Self::Continuation => {
                (Code::PROTOCOL, "continuation", "a continuation frame has no message to continue")
            }
            Self::Interrupted => (Code::PROTOCOL, "interrupted", "a message starts inside another one"),
            Self::ClosePayload => (Code::PROTOCOL, "close_payload", "a close frame has one byte of payload"),
            Self::CloseCode => (Code::PROTOCOL, "close_code", "a close frame has a code that is not allowed"),
            Self::CloseReason => (Code::BAD_DATA, "close_reason", "a close reason is not UTF-8"),
            Self::Text => (Code::BAD_DATA, "text", "a text message is not UTF-8"),
            Self::Deflate => (Code::BAD_DATA, "deflate", "a compressed message is not valid DEFLATE"),
            Self::TooBig => (Code::TOO_BIG, "too_big", "a message is too large"),
            Self::InflatedTooBig => (Code::TOO_BIG, "inflated_too_big", "an inflated message is too large"),
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
    fn every_fault_has_its_index_a_unique_label_and_a_text_that_fits() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
            assert!(Fault::ALL.iter().filter(|other| other.label() == fault.label()).count() == 1);
            assert!(fault.text().len() <= 123 && fault.code().may_be_sent());
        }
    }
}
