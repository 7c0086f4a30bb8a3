//! Negotiation: selects one of a client's offers (RFC 7692 §5, §7.1).

use std::fmt::Write;

pub use super::extensions::Malformed;
use super::{
    Context, Direction, MAX_WINDOW_BITS, MIN_WINDOW_BITS, Params, Settings,
    extensions::{Offer, offers},
};

/// Accepted offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Negotiated parameters.
    pub params: Params,
    /// Value of Sec-WebSocket-Extensions in the response.
    pub response: String,
}

/// Accepts the first valid offer of permessage-deflate in the values of Sec-WebSocket-Extensions. Returns
/// `None` if there is none; the connection is then not compressed.
///
/// It skips offers of other extensions. It also skips offers with an unknown or repeated parameter, a value
/// out of range, or a server window of 256 bytes, which zlib does not support.
///
/// # Errors
///
/// A value is malformed. The handshake fails (RFC 6455 §9.1).
pub fn negotiate<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    settings: &Settings,
) -> Result<Option<Agreed>, Malformed> {
    let mut agreed = None;
    for value in values {
        for offer in offers(value)? {
            if agreed.is_none() {
                agreed = OfferParams::parse(&offer).and_then(|params| params.accept(settings));
            }
        }
    }
    Ok(agreed)
}

/// Parameters of an offer.
#[derive(Default)]
struct OfferParams {
    server_fresh: bool,
    client_fresh: bool,
    server_window: Option<u8>,
    /// Window of `client_max_window_bits`: `None` without the parameter, `Some(None)` if it has no value. The
    /// server may request a smaller window but never does, because inflating costs the same with any window.
    client_window: Option<Option<u8>>,
}

impl OfferParams {
    /// Parses an offer. Returns `None` if it is not a valid offer of permessage-deflate.
    fn parse(offer: &Offer<'_>) -> Option<Self> {
        if !offer.name.eq_ignore_ascii_case(b"permessage-deflate") {
            return None;
        }
        let mut params = Self::default();
        for (name, value) in &offer.parameters {
            params.add(name, value.as_deref())?;
        }
        Some(params)
    }

    /// Adds a parameter. Returns `None` if it is invalid.
    fn add(&mut self, name: &[u8], value: Option<&[u8]>) -> Option<()> {
        match (name, value) {
            (b"server_no_context_takeover", None) if !self.server_fresh => self.server_fresh = true,
            (b"client_no_context_takeover", None) if !self.client_fresh => self.client_fresh = true,
            (b"server_max_window_bits", Some(bits)) if self.server_window.is_none() => {
                self.server_window = Some(window_bits(bits)?);
            }
            (b"client_max_window_bits", None) if self.client_window.is_none() => {
                self.client_window = Some(None)
            }
            (b"client_max_window_bits", Some(bits)) if self.client_window.is_none() => {
                self.client_window = Some(Some(window_bits(bits)?));
            }
            _ => return None,
        }
        Some(())
    }

    /// Combines the offer with the settings of the server. Returns `None` if the server cannot fulfil the
    /// offer.
    fn accept(self, settings: &Settings) -> Option<Agreed> {
        if self.server_window.is_some_and(|bits| bits < MIN_WINDOW_BITS) {
            return None;
        }
        let context = |fresh: bool, setting| if fresh { Context::Fresh } else { setting };
        let server = Direction {
            context: context(self.server_fresh, settings.server),
            window_bits: self.server_window.unwrap_or(MAX_WINDOW_BITS),
        };
        let client = Direction {
            context: context(self.client_fresh, settings.client),
            window_bits: self.client_window.flatten().unwrap_or(MAX_WINDOW_BITS).max(MIN_WINDOW_BITS),
        };
        let mut response = String::from("permessage-deflate");
        if server.context == Context::Fresh {
            response += "; server_no_context_takeover";
        }
        if client.context == Context::Fresh {
            response += "; client_no_context_takeover";
        }
        if let Some(bits) = self.server_window {
            // Writing to a string cannot fail.
            let _ = write!(response, "; server_max_window_bits={bits}");
        }
        Some(Agreed { params: Params { server, client }, response })
    }
}

/// Parses a window: 8 to 15, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Settings =
        Settings { server: Context::Kept, client: Context::Kept, threshold_bytes: 1024, level: 2 };

    fn response(values: &[&str], settings: &Settings) -> Option<String> {
        let agreed = negotiate(values.iter().map(|value| value.as_bytes()), settings).unwrap();
        agreed.map(|agreed| agreed.response)
    }

    fn is_accepted(value: &str) -> bool {
        response(&[value], &KEPT).is_some()
    }

    #[test]
    fn contexts_are_fresh_unless_both_sides_keep_them() {
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(response(&["permessage-deflate"], &Settings::default()).unwrap(), both);
        assert_eq!(response(&["permessage-deflate"], &KEPT).unwrap(), "permessage-deflate");
        for one in ["server_no_context_takeover", "client_no_context_takeover"] {
            let offer = format!("permessage-deflate; {one}");
            assert_eq!(response(&[&offer], &KEPT).unwrap(), offer);
        }
    }

    #[test]
    fn a_server_window_is_confirmed_and_a_client_window_is_not() {
        let offer = "permessage-deflate; client_max_window_bits; server_max_window_bits=10";
        let agreed = negotiate([offer.as_bytes()].into_iter(), &KEPT).unwrap().unwrap();
        assert_eq!(agreed.response, "permessage-deflate; server_max_window_bits=10");
        assert_eq!(agreed.params.server, Direction { context: Context::Kept, window_bits: 10 });
        assert_eq!(agreed.params.client, Direction { context: Context::Kept, window_bits: 15 });
        let quoted = "permessage-deflate; server_max_window_bits=\"15\"; client_max_window_bits=9";
        let agreed = negotiate([quoted.as_bytes()].into_iter(), &KEPT).unwrap().unwrap();
        assert_eq!(agreed.response, "permessage-deflate; server_max_window_bits=15");
        assert_eq!(agreed.params.client.window_bits, 9);
    }

    #[test]
    fn an_offer_that_cannot_be_fulfilled_is_skipped() {
        let offers = "permessage-deflate; server_max_window_bits=8, x-webkit-deflate-frame, \
                      permessage-deflate; client_no_context_takeover, permessage-deflate";
        let expected = "permessage-deflate; client_no_context_takeover";
        assert_eq!(response(&[offers], &KEPT).unwrap(), expected);
        assert_eq!(response(&["foo, bar", offers], &KEPT).unwrap(), expected);
        assert_eq!(response(&["foo; bar=1"], &KEPT), None);
        assert_eq!(response(&[], &KEPT), None);
    }

    #[test]
    fn unknown_repeated_and_out_of_range_parameters_invalidate_their_offer() {
        assert!(is_accepted("permessage-deflate; client_max_window_bits=8"));
        assert!(is_accepted("PerMessage-Deflate; client_max_window_bits=15"));
        for parameters in [
            "foo",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=1x",
            "client_max_window_bits; client_max_window_bits=10",
        ] {
            assert!(!is_accepted(&format!("permessage-deflate; {parameters}")), "{parameters}");
        }
    }

    #[test]
    fn a_malformed_list_fails_even_after_a_valid_offer() {
        assert_eq!(negotiate([&b"permessage-deflate, ;"[..]].into_iter(), &KEPT), Err(Malformed));
    }
}
