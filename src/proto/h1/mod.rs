//! HTTP/1.1 (RFC 9112), the server's side, sans-I/O.
//!
//! ```text
//!  bytes ──► Search ──► httparse ──► strict pass ──► Head ──► Body ──► data, trailers
//!            end of     tokens       what httparse            chunked or
//!            the head                lets through             a length
//!
//!  status, headers, body length ──► encode ──► bytes        Image: a reply built once, Date spliced in
//! ```
//!
//! Everything is parsed in place: a [`Head`] holds offsets into the bytes it was parsed from, so it stays valid
//! for a copy of them, and its memory serves the next request.

pub mod body;
pub mod chunk;
pub mod encode;
mod grammar;
pub mod head;
pub mod image;
mod limits;
mod line;
mod parse;
mod reply;
mod search;
mod strict;

pub use body::{Body, Step};
pub use encode::{Exchange, Length, Sent};
pub use head::{Framing, Head, Version};
pub use image::Image;
pub use limits::Limits;
pub use parse::parse;
pub use reply::{ReplyHead, parse_reply};
pub use search::Search;

pub use super::semantics::{Form, Method, Reject, Span, is_authority, is_forbidden_trailer, origin_form};
