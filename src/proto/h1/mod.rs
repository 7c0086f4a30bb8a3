//! HTTP/1.1 (RFC 9112) without I/O: parses requests and writes responses. It also parses responses, for the
//! clients of tests and measurements.
//!
//! It must not know sockets, clocks or connections.
//!
//! ```text
//!  bytes ──► Search ──► httparse ──► strict checks ──► Head ──► Body ──► data, trailers
//!            end of     tokens       of what httparse            chunked or with
//!            the head                accepts                     a length
//!
//!  status, headers, body length ──► encode ──► bytes
//!  Image: bytes of a response that never changes, except for its Date
//! ```
//!
//! Parsing copies nothing: a [`Head`] holds offsets into the bytes that it was parsed from. It is therefore
//! valid for a copy of these bytes too. Its memory is reused for the next request.

pub mod body;
pub mod chunk;
pub mod encode;
mod extension;
mod grammar;
pub mod head;
pub mod image;
mod limits;
mod line;
mod parse;
mod reply;
mod search;
mod step;
mod strict;

pub use body::Body;
pub use encode::{Exchange, Length, Sent};
pub use head::{Framing, Head, Version};
pub use image::Image;
pub use limits::Limits;
pub use parse::parse;
pub use reply::{ReplyFault, ReplyHead, parse_reply};
pub use search::Search;
pub use step::Step;

pub use super::semantics::{Form, Method, Reject, Span, is_authority, is_forbidden_trailer, origin_form};
