//! Closing handshake (RFC 6455 §5.5.1, §7.1).
//!
//! ```text
//!            close()                    peer's Close
//!   Open ───────────────────► Sent ─────────────────────► Closed
//!    │ │ peer's Close                                       ▲
//!    │ └───────────────────► Received ──reply(), close()────┘
//!    │
//!    └─fault──► Failing ──reply(), close()──► Failed ◄──fault── Sent
//! ```
//!
//! `Open` and `Sent` accept messages of the peer, which may have been in flight. Every other state discards
//! them. Only `Open` may send anything but a Close.

use super::{Code, Fault};

/// Maximum length of a close reason: the limit of a control frame without the code.
pub const MAX_REASON_BYTES: usize = 123;

/// State of the closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Closing {
    /// Neither side has sent a Close.
    #[default]
    Open,
    /// This side has sent a Close and waits for the peer's.
    Sent,
    /// The peer has sent a Close with this code. The reply is pending.
    Received(Option<Code>),
    /// Both sides have sent a Close. The server closes the connection first.
    Closed,
    /// The peer violated the protocol. A Close with the reason is pending.
    Failing(Fault),
    /// The peer violated the protocol, and this side has sent its last Close. The connection can be closed.
    Failed(Fault),
}

impl Closing {
    /// Returns `true` if messages and pings may be sent: only in `Open`.
    pub fn may_send(self) -> bool {
        self == Self::Open
    }

    /// Returns `true` if messages of the peer are accepted: in `Open` and `Sent`.
    pub fn may_receive(self) -> bool {
        matches!(self, Self::Open | Self::Sent)
    }

    /// Returns `true` if nothing more will be sent or accepted.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Closed | Self::Failed(_))
    }

    /// Returns the state after this side sends a Close, or `None` if it must not send one.
    pub(super) fn after_sent(self) -> Option<Self> {
        match self {
            Self::Open => Some(Self::Sent),
            Self::Received(_) => Some(Self::Closed),
            Self::Failing(fault) => Some(Self::Failed(fault)),
            Self::Sent | Self::Closed | Self::Failed(_) => None,
        }
    }

    /// Returns the state after the peer's Close.
    pub(super) fn after_received(self, code: Option<Code>) -> Self {
        match self {
            Self::Open => Self::Received(code),
            Self::Sent => Self::Closed,
            other => other,
        }
    }

    /// Returns the state after a protocol violation by the peer.
    pub(super) fn after_fault(self, fault: Fault) -> Self {
        match self {
            Self::Open => Self::Failing(fault),
            Self::Sent => Self::Failed(fault),
            other => other,
        }
    }
}

/// Content of a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// Reason as a code. `None` if the frame is empty.
    pub code: Option<Code>,
    /// Reason as text, often empty.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Parses the payload of a Close frame: empty, or a code that may be sent and a reason in UTF-8.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Fault> {
        match payload {
            [] => Ok(Self { code: None, reason: "" }),
            [_] => Err(Fault::ClosePayload),
            [high, low, reason @ ..] => {
                let code = Code::new(u16::from_be_bytes([*high, *low])).ok_or(Fault::CloseCode)?;
                let reason = std::str::from_utf8(reason).map_err(|_| Fault::CloseReason)?;
                Ok(Self { code: Some(code), reason })
            }
        }
    }

    /// Returns the payload. It is empty without a code. A reason that is too long is cut between characters.
    pub(super) fn payload(self) -> Vec<u8> {
        let Some(code) = self.code else { return Vec::new() };
        let reason = &self.reason[..self.reason.floor_char_boundary(MAX_REASON_BYTES)];
        [&code.as_u16().to_be_bytes(), reason.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_empty_or_a_code_and_a_reason() {
        assert_eq!(Close::parse(b""), Ok(Close { code: None, reason: "" }));
        assert_eq!(Close::parse(b"\x03\xe8"), Ok(Close { code: Some(Code::NORMAL), reason: "" }));
        assert_eq!(Close::parse(b"\x03\xe9bye"), Ok(Close { code: Some(Code::GOING_AWAY), reason: "bye" }));
        assert_eq!(Close::parse(b"\x03"), Err(Fault::ClosePayload));
        assert_eq!(Close::parse(b"\x03\xed"), Err(Fault::CloseCode));
        assert_eq!(Close::parse(b"\x03\xe8\xff"), Err(Fault::CloseReason));
    }

    #[test]
    fn a_reason_too_long_is_cut_between_characters() {
        let reason = "ü".repeat(100);
        let payload = Close { code: Some(Code::NORMAL), reason: &reason }.payload();
        assert_eq!(payload.len(), 2 + 122);
        assert_eq!(Close::parse(&payload).unwrap().reason, "ü".repeat(61));
        assert_eq!(Close { code: None, reason: "never sent without a code" }.payload(), b"");
    }
}
