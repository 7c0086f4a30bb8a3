//! Close codes (RFC 6455 §7.4).

use std::fmt;

/// Close code, as sent in a Close frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

impl Code {
    /// 1000: normal end.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server stops, or the user leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer violated the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: the receiver does not accept this type of message.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: the content of a message does not match its type.
    pub const BAD_DATA: Self = Self(1007);
    /// 1008: the peer violated a policy of the receiver.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too large.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: internal error of the sender.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: overload, for example a subscriber that is too slow.
    pub const TRY_AGAIN: Self = Self(1013);

    /// Creates a code that may be sent in a Close frame: 1000–1003 and 1007–1014 of RFC 6455 §7.4.1 and the
    /// IANA registry, and 3000–4999 for libraries and applications. Returns `None` for any other.
    pub fn new(code: u16) -> Option<Self> {
        let code = Self(code);
        code.may_be_sent().then_some(code)
    }

    /// Returns the number.
    pub fn as_u16(self) -> u16 {
        self.0
    }

    /// Returns `true` if the code may be sent in a Close frame.
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Returns the label value for metrics. The set is bounded: 3000–3999 share one label, and so do
    /// 4000–4999.
    pub fn label(self) -> &'static str {
        match self.0 {
            1000 => "normal",
            1001 => "going_away",
            1002 => "protocol",
            1003 => "unsupported",
            1007 => "bad_data",
            1008 => "policy",
            1009 => "too_big",
            1010 => "extension",
            1011 => "internal",
            1012 => "restart",
            1013 => "try_again",
            1014 => "bad_gateway",
            3000..=3999 => "library",
            4000..=4999 => "application",
            _ => "invalid",
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sendable_codes_are_those_of_the_registry_and_the_private_ranges() {
        let mut sendable: Vec<u16> = (0..=u16::MAX).filter(|&code| Code::new(code).is_some()).collect();
        let free = sendable.split_off(12);
        assert_eq!(sendable, [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]);
        assert_eq!(free, (3000..5000).collect::<Vec<_>>());
    }

    #[test]
    fn every_sendable_code_has_a_label() {
        assert!((0..=u16::MAX).filter_map(Code::new).all(|code| code.label() != "invalid"));
    }
}
