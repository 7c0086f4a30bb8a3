//! Close codes (RFC 6455 §7.4).

use std::fmt;

/// A close code, as it stands in a Close frame or would stand there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

impl Code {
    /// 1000: the purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server stops, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of message this end takes none of.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: a message's content is not what its kind says.
    pub const BAD_DATA: Self = Self(1007);
    /// 1008: the peer did what this end's policy forbids.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: this end failed.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: overload, such as a subscriber that does not keep up.
    pub const TRY_AGAIN: Self = Self(1013);

    /// Takes a code that may stand in a Close frame: what RFC 6455 §7.4.1 and the registry define for the
    /// wire (1000–1003, 1007–1014), and 3000–4999 for libraries and applications. `None` for any other.
    pub fn new(code: u16) -> Option<Self> {
        let code = Self(code);
        code.may_be_sent().then_some(code)
    }

    /// Returns the number.
    pub fn as_u16(self) -> u16 {
        self.0
    }

    /// Says whether it may stand in a Close frame.
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Returns a short name for metrics, one of a fixed set: all of 3000–3999 share one, as all of 4000–4999
    /// do.
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
    fn codes_for_the_wire_are_those_of_the_registry_and_the_free_ranges() {
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
