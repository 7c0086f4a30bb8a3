//! The PROXY protocol preamble, versions 1 and 2: who a load balancer in front says the client is.
//!
//! Trust it only on a listener whose peers are such balancers. The text is haproxy.org's
//! `proxy-protocol.txt`; both versions are told apart by their first bytes, and what is neither is refused at
//! its first wrong byte.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str,
};

/// Longest version 1 line, its line end included.
pub const V1_BYTES_MAX: usize = 107;

/// Longest version 2 addresses and extensions, without the 16 bytes before them. A client certificate among
/// the extensions is what makes them long.
pub const V2_BYTES_MAX: usize = 2 * 1024;

const V1_MAGIC: &[u8] = b"PROXY ";
const V2_MAGIC: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEADER_BYTES: usize = 16;

/// What the preamble says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// Its length: the protocol proper starts there.
    pub consumed: usize,
    /// The two ends of the client's connection to the balancer. None if the balancer speaks for itself (a
    /// health check) or does not say, or if the client came by something other than IP: then the socket's own
    /// peer is it.
    pub ends: Option<Ends>,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// Why a preamble is refused. Close without an answer: nobody who speaks HTTP is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// The first bytes are of neither version.
    Missing,
    /// A version 1 line is malformed or too long.
    Line,
    /// Version, command, family or transport of version 2 is undefined.
    Header,
    /// Version 2 declares more than [`V2_BYTES_MAX`].
    TooLong,
    /// Version 2 declares less than its addresses need.
    TooShort,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the connection does not start with a PROXY preamble",
            Self::Line => "the PROXY line is malformed",
            Self::Header => "the PROXY header holds undefined values",
            Self::TooLong => "the PROXY header is too long",
            Self::TooShort => "the PROXY header is too short for its addresses",
        })
    }
}

impl Error for Reject {}

/// Parses the preamble of a connection; `None` asks for more bytes behind the same ones.
///
/// # Errors
///
/// There is no preamble, or it is malformed.
pub fn parse(input: &[u8]) -> Result<Option<Preamble>, Reject> {
    if starts(input, V1_MAGIC) {
        return v1(input);
    }
    if starts(input, V2_MAGIC) {
        return v2(input);
    }
    Err(Reject::Missing)
}

/// Says whether the input starts with the magic, as far as it goes.
fn starts(input: &[u8], magic: &[u8]) -> bool {
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
    let ends = match words.next() {
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(v1_ends::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(v1_ends::<Ipv6Addr>(words)?),
        _ => return Err(Reject::Line),
    };
    Ok(Some(Preamble { consumed: lf + 1, ends }))
}

fn v1_ends<'a, A: str::FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<Ends, Reject> {
    let mut next = || words.next().ok_or(Reject::Line);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if next().is_ok() {
        return Err(Reject::Line);
    }
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| Reject::Line);
    Ok(Ends {
        source: SocketAddr::new(address(source)?, port(source_port)?),
        destination: SocketAddr::new(address(destination)?, port(destination_port)?),
    })
}

/// Reads a port: digits only, no leading zero.
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
    let ends = match family {
        _ if local => None,
        0x11 | 0x12 => Some(v2_ends::<4>(block)?),
        0x21 | 0x22 => Some(v2_ends::<16>(block)?),
        _ => None,
    };
    Ok(Some(Preamble { consumed: V2_HEADER_BYTES + len, ends }))
}

/// Reads two addresses of `N` bytes, then two ports; extensions behind them are passed over.
fn v2_ends<const N: usize>(block: &[u8]) -> Result<Ends, Reject>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>().ok_or(Reject::TooShort)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(Reject::TooShort)?;
    let (source_port, rest) = rest.split_first_chunk::<2>().ok_or(Reject::TooShort)?;
    let (destination_port, _) = rest.split_first_chunk::<2>().ok_or(Reject::TooShort)?;
    Ok(Ends {
        source: SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes(*destination_port)),
    })
}
