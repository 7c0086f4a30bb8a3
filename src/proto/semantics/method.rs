//! Request methods.

use super::Reject;

/// The methods of RFC 9110 §9.3 and RFC 5789; any other token is `Other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its own name")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token. The parsed head has its bytes.
    Other,
}

impl Method {
    /// Returns the method that a token names. Methods are case-sensitive, and an unknown token is `Other`.
    pub fn from_bytes(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Returns `true` for the methods that change nothing (RFC 9110 §9.2.1), whose requests may overlap
    /// others.
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Returns the method as a type of the `http` crate. `token` is the text that it was recognized from. For
    /// `Other` it is copied, with an allocation if it has more than 15 bytes.
    ///
    /// # Errors
    ///
    /// [`Reject::Method`] if the method is `Other` and `token` is not a token.
    pub fn to_http(self, token: &[u8]) -> Result<http::Method, Reject> {
        Ok(match self {
            Self::Get => http::Method::GET,
            Self::Head => http::Method::HEAD,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Delete => http::Method::DELETE,
            Self::Connect => http::Method::CONNECT,
            Self::Options => http::Method::OPTIONS,
            Self::Trace => http::Method::TRACE,
            Self::Patch => http::Method::PATCH,
            Self::Other => http::Method::from_bytes(token).map_err(|_| Reject::Method)?,
        })
    }
}
