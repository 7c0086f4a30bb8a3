//! TLS sessions on byte buffers, and replaceable certificates; must not know sockets or HTTP.
//!
//! This is the only room that names rustls. A [`Session`] takes ciphertext and returns plaintext, and the
//! other way round. `conn` puts it between the engine and the protocol. Sessions refuse 0-RTT data, because
//! an attacker could replay it.
//!
//! - `handle`: [`Tls`], the user's handle to a certificate and its key.
//! - `credentials`: parsing and checking of both, with `pem`, `der`, `certificate`, `key` and `validity`.
//! - `session`, `seal`, `records`: one session. `seal` encrypts, `records` writes to the outbox.
//! - `event`, `session_error`: results of a session.
//! - `disabled`: the same names in a build without TLS.

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod clock;
#[cfg(feature = "tls")]
mod credentials;
#[cfg(feature = "tls")]
mod der;
#[cfg(not(feature = "tls"))]
mod disabled;
#[cfg(feature = "tls")]
mod error;
mod event;
#[cfg(feature = "tls")]
mod handle;
#[cfg(feature = "tls")]
mod key;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod records;
#[cfg(feature = "tls")]
mod seal;
#[cfg(feature = "tls")]
mod session;
mod session_error;
#[cfg(all(test, feature = "tls"))]
mod tests;
#[cfg(feature = "tls")]
mod validity;

#[cfg(not(feature = "tls"))]
pub(crate) use disabled::{Acceptor, Session, Tls};
#[cfg(feature = "tls")]
pub use error::TlsError;
pub(crate) use event::{Negotiated, SessionEvent};
#[cfg(feature = "tls")]
pub(crate) use handle::Acceptor;
#[cfg(feature = "tls")]
pub use handle::Tls;
#[cfg(feature = "tls")]
pub(crate) use session::Session;
pub(crate) use session_error::SessionError;
