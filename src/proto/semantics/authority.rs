//! The syntax of a host and port (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use super::scan;

/// Returns `true` for `uri-host [ ":" [ port ] ]`, the value of Host. An empty value is one: it belongs to
/// a target without an authority.
///
/// A port without a host is refused (RFC 9110 §4.2.1), and so are user information, an IPv6 zone and
/// `IPvFuture`.
pub(in crate::proto) fn is_host(value: &[u8]) -> bool {
    match value {
        [b':', ..] => false,
        [b'[', ..] => is_bracketed(value),
        _ => is_named(value),
    }
}

/// Returns `true` for the authority of an HTTP URI: a host that is not empty, with or without a port.
pub fn is_authority(value: &[u8]) -> bool {
    !value.is_empty() && is_host(value)
}

/// Returns `true` for a host and a port, neither of them empty: the target of CONNECT.
pub(in crate::proto) fn is_host_and_port(value: &[u8]) -> bool {
    let port_at = value.iter().rposition(|&byte| byte == b':').map(|colon| colon + 1);
    is_authority(value) && port_at.is_some_and(|at| at < value.len() && !value[at..].contains(&b']'))
}

fn is_named(mut value: &[u8]) -> bool {
    loop {
        value = match &value[scan::plain_len(value, &NAME)..] {
            [] => return true,
            [b':', port @ ..] => return is_port(port),
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            _ => return false,
        };
    }
}

fn is_bracketed(value: &[u8]) -> bool {
    let Some(close) = value.iter().position(|&byte| byte == b']') else { return false };
    let address = std::str::from_utf8(&value[1..close]).ok().map(str::parse::<Ipv6Addr>);
    let port = match &value[close + 1..] {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    };
    port && matches!(address, Some(Ok(_)))
}

/// Returns `true` if both name the same host and port. A port that is missing or empty is `default_port`,
/// and the case of a host does not matter (RFC 3986 §6.2.3, §6.2.2.1).
pub(in crate::proto) fn is_same_authority(one: &[u8], other: &[u8], default_port: &[u8]) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let ((host, port), (other_host, other_port)) = (split_port(one), split_port(other));
    let number = |port: &[u8]| std::str::from_utf8(port).ok().and_then(|digits| digits.parse::<u16>().ok());
    let or_default = |port: &[u8]| if port.is_empty() { number(default_port) } else { number(port) };
    host.eq_ignore_ascii_case(other_host) && or_default(port) == or_default(other_port)
}

/// Splits an authority into its host, and its port if it has one.
fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    match authority.iter().rposition(|&byte| matches!(byte, b':' | b']')) {
        Some(colon) if authority[colon] == b':' => (&authority[..colon], &authority[colon + 1..]),
        _ => (authority, &[]),
    }
}

/// Returns `true` for the digits of a port up to 65535. No digits are valid too, as in `host:`.
fn is_port(digits: &[u8]) -> bool {
    if digits.len() > 5 {
        return false;
    }
    let mut port = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return false;
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    port <= u32::from(u16::MAX)
}

/// Byte classes of a `reg-name`: 0 for its plain bytes, 1 for all others, `%` included.
const NAME: [u8; 256] = {
    let mut table = [1; 256];
    let mut byte = 0;
    while byte < 256 {
        let plain = matches!(byte as u8,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        table[byte] = !plain as u8;
        byte += 1;
    }
    table
};
