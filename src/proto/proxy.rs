//! Parser of the PROXY protocol preamble, versions 1 and 2, in which a load balancer reports the address of
//! its client.
//!
//! Use it only on a listener whose peers are trusted load balancers. The specification is haproxy.org's
//! `proxy-protocol.txt`. The first bytes tell the version. Any other input is rejected at its first wrong
//! byte.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str,
};

/// Maximum length of a version 1 line, line end included.
pub const V1_BYTES_MAX: usize = 107;

/// Maximum length of the addresses and extensions of version 2, without the 16 bytes before them. Extensions
/// get long if they contain a client certificate.
pub const V2_BYTES_MAX: usize = 2 * 1024;

const V1_MAGIC: &[u8] = b"PROXY ";
const V2_MAGIC: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEADER_BYTES: usize = 16;

/// Parsed preamble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// Length of the preamble. The actual protocol starts after it.
    pub consumed: usize,
    /// Addresses of the client's connection to the balancer. `None` if the balancer opened the connection
    /// itself (a health check), does not name the client, or the client did not connect over IP. Then the
    /// socket's peer counts as the client.
    pub addresses: Option<Addresses>,
}

/// Addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Address of the client.
    pub source: SocketAddr,
    /// Address that the client connected to.
    pub destination: SocketAddr,
}

/// Error of an invalid preamble. Close the connection without a response, because the peer does not speak the
/// PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// The input does not start with a preamble of either version.
    Missing,
    /// The version 1 line is malformed or too long.
    Line,
    /// The version, command, family or transport of version 2 is undefined.
    Header,
    /// The length in version 2 is above [`V2_BYTES_MAX`].
    TooLong,
    /// The length in version 2 is too small for its addresses.
    TooShort,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the connection does not start with a PROXY preamble",
            Self::Line => "the PROXY line is malformed",
            Self::Header => "the PROXY header has an undefined version, command, family or transport",
            Self::TooLong => "the PROXY header is too long",
            Self::TooShort => "the PROXY header is too short for its addresses",
        })
    }
}

impl Error for Reject {}

/// Parses the preamble at the start of `input`. Returns `None` if `input` is the start of one and more bytes
/// are needed.
///
/// # Errors
///
/// `input` does not start with a preamble, or the preamble is malformed or too long.
pub fn parse(input: &[u8]) -> Result<Option<Preamble>, Reject> {
    if starts_with(input, V1_MAGIC) {
        return v1(input);
    }
    if starts_with(input, V2_MAGIC) {
        return v2(input);
    }
    Err(Reject::Missing)
}

/// Returns `true` if `input` starts with `magic`, or is a prefix of it.
fn starts_with(input: &[u8], magic: &[u8]) -> bool {
    let len = input.len().min(magic.len());
    input[..len] == magic[..len]
}

fn v1(input: &[u8]) -> Result<Option<Preamble>, Reject> {
    let window = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(lf) = memchr::memchr(b'\n', window) else {
        return if window.len() == V1_BYTES_MAX { Err(Reject::Line) } else { Ok(None) };
    };
    let line = window[..lf].strip_suffix(b"\r").ok_or(Reject::Line)?;
    let text = line.get(V1_MAGIC.len()..).and_then(|rest| str::from_utf8(rest).ok()).ok_or(Reject::Line)?;
    let mut words = text.split(' ');
    let addresses = match words.next() {
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(v1_addresses::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(v1_addresses::<Ipv6Addr>(words)?),
        _ => return Err(Reject::Line),
    };
    Ok(Some(Preamble { consumed: lf + 1, addresses }))
}

fn v1_addresses<'a, A: str::FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<Addresses, Reject> {
    let mut next = || words.next().ok_or(Reject::Line);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if next().is_ok() {
        return Err(Reject::Line);
    }
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| Reject::Line);
    Ok(Addresses {
        source: SocketAddr::new(address(source)?, port(source_port)?),
        destination: SocketAddr::new(address(destination)?, port(destination_port)?),
    })
}

/// Parses a port: digits only, without leading zeros.
fn port(text: &str) -> Result<u16, Reject> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Reject::Line)
}

fn v2(input: &[u8]) -> Result<Option<Preamble>, Reject> {
    let Some((header, rest)) = input.split_at_checked(V2_HEADER_BYTES) else { return Ok(None) };
    let (command, family) = (header[12], header[13]);
    if !matches!(command, 0x20 | 0x21) || !matches!(family, 0x00 | 0x11 | 0x12 | 0x21 | 0x22 | 0x31 | 0x32) {
        return Err(Reject::Header);
    }
    let len = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if len > V2_BYTES_MAX {
        return Err(Reject::TooLong);
    }
    let Some(block) = rest.get(..len) else { return Ok(None) };
    let local = command == 0x20;
    let addresses = match family {
        _ if local => None,
        0x11 | 0x12 => Some(v2_addresses::<4>(block)?),
        0x21 | 0x22 => Some(v2_addresses::<16>(block)?),
        _ => None,
    };
    Ok(Some(Preamble { consumed: V2_HEADER_BYTES + len, addresses }))
}

/// Parses two addresses of `N` bytes, then two ports. Ignores extensions after them.
fn v2_addresses<const N: usize>(block: &[u8]) -> Result<Addresses, Reject>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>().ok_or(Reject::TooShort)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(Reject::TooShort)?;
    let (source_port, rest) = rest.split_first_chunk::<2>().ok_or(Reject::TooShort)?;
    let (destination_port, _) = rest.split_first_chunk::<2>().ok_or(Reject::TooShort)?;
    Ok(Addresses {
        source: SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes(*destination_port)),
    })
}
