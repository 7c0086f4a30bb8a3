//! The closing handshake (RFC 6455 §5.5.1, §7.1): who said Close, and what may still be said.
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
//! In `Open` and `Sent` what the peer sends is taken: its messages may have been on their way. In every other
//! state it is thrown away. Only in `Open` is anything but a Close sent.

use super::{Code, Fault};

/// Most bytes of a close reason: a control frame less the code.
pub const MAX_REASON_BYTES: usize = 123;

/// How far the closing handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Closing {
    /// Neither side has said Close.
    #[default]
    Open,
    /// We have; the peer's Close is awaited.
    Sent,
    /// The peer has, with this code; ours is owed.
    Received(Option<Code>),
    /// Both have: the connection may be closed, by the server first.
    Closed,
    /// The peer broke the protocol; a Close that says how is owed.
    Failing(Fault),
    /// The peer broke the protocol and nothing more is said: the connection is closed.
    Failed(Fault),
}

impl Closing {
    /// Says whether messages and pings may be sent.
    pub fn may_send(self) -> bool {
        self == Self::Open
    }

    /// Says whether what the peer sends is taken.
    pub fn takes(self) -> bool {
        matches!(self, Self::Open | Self::Sent)
    }

    /// Says whether nothing more will be sent or taken.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Closed | Self::Failed(_))
    }

    /// Returns the state after a Close of ours; `None` if none may be sent.
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

    /// Returns the state after a fault of the peer.
    pub(super) fn after_fault(self, fault: Fault) -> Self {
        match self {
            Self::Open => Self::Failing(fault),
            Self::Sent => Self::Failed(fault),
            other => other,
        }
    }
}

/// What a Close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// Why, for programs. `None`: the frame was empty.
    pub code: Option<Code>,
    /// Why, for people; often empty.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Parses the payload of a Close frame.
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

    /// Returns the payload: empty without a code; a reason too long is cut between characters.
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
