//! The trait that finds the identity of a request, and the reasons to refuse a request's credentials.

use std::fmt;

use super::Identity;
use crate::request::Request;

/// Finds the identity of the client that sent a request. See
/// [`TopicAccess::authorizer`](crate::TopicAccess::authorizer).
///
/// ```
/// use windlass::{Request, identity::{Authorizer, Identity, Refusal, TopicPatterns}};
///
/// /// Trusts a proxy, which has authenticated the client.
/// #[derive(Debug)]
/// struct BehindProxy;
///
/// impl Authorizer for BehindProxy {
///     fn identify(&self, request: &Request) -> Result<Option<Identity>, Refusal> {
///         let Some(user) = request.header("x-user") else { return Ok(None) };
///         let own = TopicPatterns::parse_for(Some(user), ["users/{sub}/*"]);
///         let own = own.map_err(|_| Refusal::Subject)?;
///         Ok(Some(Identity::new(user).may_subscribe(own)))
///     }
/// }
/// ```
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Returns the identity of a request's client, or `None` if the request has no credentials.
    ///
    /// It runs on the connection's shard, so it must not block. Only its result decides: the topics of the
    /// identity are checked by the caller, and so is a [disconnect](super::Subjects::disconnect) of the
    /// subject.
    ///
    /// # Errors
    ///
    /// The credentials are refused. The request is answered with 401. The log has the reason, the answer has
    /// not.
    fn identify(&self, request: &Request) -> Result<Option<Identity>, Refusal>;
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $label:literal $text:literal;)*) => {
        /// Reason to refuse the credentials of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// Returns the label of the metric `windlass_auth_refused_total`.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }

        impl fmt::Display for Refusal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

refusals! {
    /// The token is larger than the limit.
    Oversize "oversize" "the token is too large";
    /// The token cannot be parsed.
    Malformed "malformed" "the token cannot be parsed";
    /// The algorithm of the token is not permitted, or not for its key.
    Algorithm "algorithm" "the algorithm is not permitted";
    /// No configured key has the id that the token names.
    UnknownKey "unknown_key" "no key has the id of the token";
    /// The signature is wrong.
    Signature "signature" "the signature is wrong";
    /// The token has expired.
    Expired "expired" "the token has expired";
    /// The token is not valid yet.
    NotYetValid "not_yet_valid" "the token is not valid yet";
    /// The token is from another issuer.
    Issuer "issuer" "the token is from another issuer";
    /// The token is for another audience.
    Audience "audience" "the token is for another audience";
    /// The token lacks a claim that is required.
    MissingClaim "missing_claim" "the token lacks a required claim";
    /// The token expires further in the future than permitted.
    Lifetime "lifetime" "the token expires further in the future than permitted";
    /// A pattern of the token is invalid.
    Pattern "pattern" "a pattern of the token is invalid";
    /// The subject cannot be a segment of a topic's name, as a pattern of the token needs.
    Subject "subject" "the subject cannot replace {sub} in a pattern";
    /// The subject was disconnected after the token was issued.
    Disconnected "disconnected" "the subject was disconnected after the token was issued";
    /// A reason of the program's own authorizer.
    Other "other" "the authorizer refused the credentials";
}

impl std::error::Error for Refusal {}
