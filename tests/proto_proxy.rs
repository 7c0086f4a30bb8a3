//! PROXY preambles: both versions, malformed ones, and truncation at every byte.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::net::SocketAddr;

use windlass::proto::proxy::{Addresses, Preamble, Reject, V1_BYTES_MAX, V2_BYTES_MAX, parse};

const MAGIC: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn addresses(source: &str, destination: &str) -> Option<Addresses> {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Some(Addresses { source: address(source), destination: address(destination) })
}

/// Asserts that the preamble is accepted before other bytes, and that each shorter prefix asks for more.
#[track_caller]
fn accepted(bytes: impl AsRef<[u8]>, addresses: Option<Addresses>) {
    let bytes = bytes.as_ref();
    let all = [bytes, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(parse(&all), Ok(Some(Preamble { consumed: bytes.len(), addresses })));
    for cut in 0..bytes.len() {
        assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
}

#[track_caller]
fn rejected(bytes: impl AsRef<[u8]>, reject: Reject) {
    let bytes = bytes.as_ref();
    assert_eq!(parse(bytes), Err(reject), "{:?}", String::from_utf8_lossy(bytes));
}

/// Builds a version 2 preamble whose length field matches its block.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let len = u16::try_from(block.len()).unwrap().to_be_bytes();
    [MAGIC, &[command, family], &len, block].concat()
}

const BLOCK4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn version_1_names_both_ends() {
    accepted(
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        addresses("192.0.2.1:56324", "198.51.100.2:443"),
    );
    accepted("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", addresses("[2001:db8::1]:0", "[::1]:65535"));
    accepted("PROXY UNKNOWN\r\n", None);
    accepted("PROXY UNKNOWN ffff::1 what ever\r\n", None);
}

#[test]
fn version_1_is_strict() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 1 443\r\n",
        "PROXY TCP4 ::1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 \u{e9}\r\n",
    ] {
        rejected(line, Reject::Line);
    }
}

#[test]
fn version_1_lines_are_bounded() {
    let fits = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 16));
    assert_eq!(fits.len(), V1_BYTES_MAX);
    accepted(&fits, None);
    rejected(format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 15)), Reject::Line);
    rejected(format!("PROXY UNKNOWN {}", "x".repeat(V1_BYTES_MAX)), Reject::Line);
}

#[test]
fn version_2_names_both_ends_and_ignores_extensions() {
    accepted(v2(0x21, 0x11, BLOCK4), addresses("192.0.2.1:56324", "198.51.100.2:443"));
    accepted(v2(0x21, 0x12, BLOCK4), addresses("192.0.2.1:56324", "198.51.100.2:443"));
    accepted(
        v2(0x21, 0x11, &[BLOCK4, &[4, 0, 1, 0]].concat()),
        addresses("192.0.2.1:56324", "198.51.100.2:443"),
    );
    let mut block6 = [0; 36];
    (block6[15], block6[31], block6[33], block6[35]) = (1, 2, 80, 81);
    accepted(v2(0x21, 0x21, &block6), addresses("[::1]:80", "[::2]:81"));
}

#[test]
fn version_2_may_carry_no_addresses() {
    accepted(v2(0x20, 0x00, b""), None);
    accepted(v2(0x20, 0x11, BLOCK4), None);
    accepted(v2(0x21, 0x00, b"whatever"), None);
    accepted(v2(0x21, 0x31, &[0; 216]), None);
}

#[test]
fn version_2_is_strict_and_bounded() {
    for command in [0x00, 0x11, 0x22, 0x2f, 0x31] {
        rejected(v2(command, 0x11, BLOCK4), Reject::Header);
    }
    for family in [0x01, 0x10, 0x13, 0x20, 0x41, 0xff] {
        rejected(v2(0x21, family, BLOCK4), Reject::Header);
    }
    rejected(v2(0x21, 0x11, &BLOCK4[..11]), Reject::TooShort);
    rejected(v2(0x21, 0x21, BLOCK4), Reject::TooShort);
    accepted(v2(0x21, 0x00, &vec![0; V2_BYTES_MAX]), None);
    rejected(&v2(0x21, 0x00, &vec![0; V2_BYTES_MAX + 1])[..16], Reject::TooLong);
}

#[test]
fn other_input_is_rejected_at_its_first_wrong_byte() {
    rejected("G", Reject::Missing);
    rejected("PROXX", Reject::Missing);
    rejected("\r\n\r\n\0\r\nQUIX", Reject::Missing);
    assert_eq!(parse(b""), Ok(None));
}
