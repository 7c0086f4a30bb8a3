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
pub mod fields;
mod grammar;
pub mod head;
mod host;
pub mod image;
mod limits;
mod line;
mod parse;
pub mod reject;
mod reply;
mod scan;
mod search;
mod strict;
mod target;
pub(super) mod tokens;

pub use body::{Body, Step};
pub use chunk::is_forbidden_trailer;
pub use encode::{Exchange, Length, Sent};
pub use fields::Span;
pub use head::{Framing, Head, Method, Version};
pub use host::is_authority;
pub use image::Image;
pub use limits::Limits;
pub use parse::parse;
pub use reject::Reject;
pub use reply::{ReplyHead, parse_reply};
pub use search::Search;
pub use target::{Form, origin_form};
