//! Server side of the opening handshake: Upgrade over HTTP/1.1 (RFC 6455 §4.2) and extended CONNECT over
//! HTTP/2 (RFC 8441 §5).

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use sha1::{Digest, Sha1};

use super::{
    Origins, Refusal,
    deflate::{Agreed, Params, Settings, negotiate},
};
use crate::proto::semantics;

/// Text appended to the key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only protocol version.
const VERSION: &[u8] = b"13";
/// Base64 decoder that accepts non-zero unused bits, because a key in an example of the RFC has them (§4.1).
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Policy of a WebSocket route.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Origins whose pages may connect. Default: the same origin.
    pub origins: Origins,
    /// Selection of the subprotocol. Default: none is supported.
    pub subprotocols: Subprotocols,
    /// Settings of permessage-deflate. Default: `None`, no compression.
    pub deflate: Option<Settings>,
}

/// Selection of the subprotocol from those that the client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subprotocols {
    /// Supported subprotocols, in order of preference. The first one that the client offers is selected.
    Supported(Vec<String>),
    /// The first one that the client offers.
    FirstOffered,
}

impl Default for Subprotocols {
    fn default() -> Self {
        Self::Supported(Vec::new())
    }
}

/// Request of an opening handshake, without its header fields.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Method.
    pub method: &'a Method,
    /// HTTP version. From HTTP/2 on, the handshake is an extended CONNECT.
    pub version: Version,
    /// Host and port that the request is for, from an absolute target, Host, or `:authority`.
    pub authority: Option<&'a [u8]>,
    /// HTTP/2 pseudo-header field `:protocol`.
    pub protocol: Option<&'a [u8]>,
}

/// Successful handshake.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Status of the response: 101, or 200 over HTTP/2.
    pub status: StatusCode,
    /// Header fields of the response.
    pub headers: HeaderMap,
    /// Selected subprotocol, if any.
    pub protocol: Option<String>,
    /// Parameters of permessage-deflate, if it was negotiated.
    pub deflate: Option<Params>,
}

/// Checks a client's handshake and returns the response. `fields` are the header fields of the request in
/// order; their names are compared without case.
///
/// # Errors
///
/// The request does not open a WebSocket, or the policy forbids it. Respond with [`Refusal::status`] and
/// [`Refusal::headers`].
pub fn accept<'a>(
    opening: &Opening<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    policy: &Policy,
) -> Result<Accepted, Refusal> {
    let fields = Fields(fields);
    let mut headers = HeaderMap::new();
    let status = if opening.version >= Version::HTTP_2 {
        check_connect(opening)?;
        StatusCode::OK
    } else {
        check_upgrade(opening, &fields)?;
        StatusCode::SWITCHING_PROTOCOLS
    };
    if fields.only(b"sec-websocket-version") != Some(VERSION) {
        return Err(Refusal::Version);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let key = fields.only(b"sec-websocket-key").ok_or(Refusal::Key)?;
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, value(&accept_key(key).ok_or(Refusal::Key)?)?);
    }
    check_origin(opening, &fields, &policy.origins)?;
    let protocol = fields.subprotocol(&policy.subprotocols);
    if let Some(protocol) = &protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(protocol)?);
    }
    let agreed = fields.deflate(policy.deflate.as_ref())?;
    if let Some(agreed) = &agreed {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, value(&agreed.response)?);
    }
    Ok(Accepted { status, headers, protocol, deflate: agreed.map(|agreed| agreed.params) })
}

/// Returns the Sec-WebSocket-Accept for a key, or `None` if the key is not 16 bytes in base64.
pub fn accept_key(key: &[u8]) -> Option<String> {
    let mut nonce = [0; 18];
    let len = LENIENT.decode_slice(key, &mut nonce).ok()?;
    if len != 16 {
        return None;
    }
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    Some(STANDARD.encode(hash))
}

fn check_upgrade<'a>(
    opening: &Opening<'_>,
    fields: &Fields<impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone>,
) -> Result<(), Refusal> {
    if opening.method != Method::GET {
        return Err(Refusal::Method);
    }
    if opening.version != Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    if !fields.list_contains(b"upgrade", b"websocket") {
        return Err(Refusal::NotAnUpgrade);
    }
    if fields.list_contains(b"connection", b"upgrade") { Ok(()) } else { Err(Refusal::Connection) }
}

fn check_connect(opening: &Opening<'_>) -> Result<(), Refusal> {
    if opening.method != Method::CONNECT {
        return Err(Refusal::Method);
    }
    let websocket = opening.protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    if websocket { Ok(()) } else { Err(Refusal::Protocol) }
}

fn check_origin<'a>(
    opening: &Opening<'_>,
    fields: &Fields<impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone>,
    origins: &Origins,
) -> Result<(), Refusal> {
    let mut all = fields.all(b"origin");
    let allowed = match (all.next(), all.next()) {
        (None, _) => true,
        (Some(origin), None) => origins.allow(origin, opening.authority),
        // A proxy in front may have checked either of the two.
        (Some(_), Some(_)) => *origins == Origins::Any,
    };
    if allowed { Ok(()) } else { Err(Refusal::Origin) }
}

/// Converts text to a header value. This cannot fail for text of this module or for a selected subprotocol,
/// which is a token.
fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| Refusal::Protocol)
}

/// Header fields of the request.
#[derive(Clone)]
struct Fields<I>(I);

impl<'a, I: Iterator<Item = (&'a [u8], &'a [u8])> + Clone> Fields<I> {
    /// Returns the values of all fields with this name.
    fn all<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n, I> {
        self.0
            .clone()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| semantics::trim(value))
    }

    /// Returns the value of a field that occurs exactly once.
    fn only(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// Returns `true` if the comma-separated lists of this name contain `element`, compared without case.
    fn list_contains(&self, name: &[u8], element: &[u8]) -> bool {
        self.all(name).flat_map(semantics::list).any(|other| other.eq_ignore_ascii_case(element))
    }

    /// Returns the selected subprotocol. Names are compared with case.
    fn subprotocol(&self, ours: &Subprotocols) -> Option<String> {
        let offered = || self.all(b"sec-websocket-protocol").flat_map(semantics::list);
        match ours {
            Subprotocols::Supported(ours) => {
                let mut ours = ours.iter().filter(|own| semantics::is_token(own.as_bytes()));
                ours.find(|own| offered().any(|offered| offered == own.as_bytes())).cloned()
            }
            Subprotocols::FirstOffered => {
                let first = offered().find(|offered| semantics::is_token(offered))?;
                Some(String::from_utf8_lossy(first).into_owned())
            }
        }
    }

    fn deflate(&self, settings: Option<&Settings>) -> Result<Option<Agreed>, Refusal> {
        let Some(settings) = settings else { return Ok(None) };
        negotiate(self.all(b"sec-websocket-extensions"), settings).map_err(|_| Refusal::Extensions)
    }
}
