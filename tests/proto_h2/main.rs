//! HTTP/2 as a peer sees it: bytes in, events and bytes out.
#![allow(clippy::unwrap_used)]

mod hpack;
