//! The client's connection preface (RFC 9113 §3.4): it looks like a request that no HTTP/1.1 server accepts,
//! so that the first bytes of a connection tell which protocol they begin.

/// First bytes of a client that knows that the server speaks HTTP/2.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Match of a connection's first bytes with the preface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// The bytes are something else.
    No,
    /// The bytes are the start of the preface, possibly of length 0.
    Partly,
    /// The bytes begin with the whole preface.
    Whole,
}

/// Compares a connection's first bytes with the preface.
pub fn begins(bytes: &[u8]) -> Begins {
    let len = bytes.len().min(PREFACE.len());
    match bytes[..len] == PREFACE[..len] {
        false => Begins::No,
        true if len < PREFACE.len() => Begins::Partly,
        true => Begins::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_may_become_the_preface_and_nothing_else_may() {
        for len in 0..PREFACE.len() {
            assert_eq!(begins(&PREFACE[..len]), Begins::Partly);
            let mut other = PREFACE[..len].to_vec();
            other.push(PREFACE[len] ^ 1);
            assert_eq!(begins(&other), Begins::No);
        }
        assert_eq!(begins(PREFACE), Begins::Whole);
        assert_eq!(begins(&[PREFACE.as_slice(), b"more"].concat()), Begins::Whole);
    }
}
