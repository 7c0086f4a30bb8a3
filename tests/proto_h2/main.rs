//! HTTP/2 as a peer sees it: bytes in, events and bytes out.
#![allow(clippy::unwrap_used)]

mod attacks;
mod common;
mod flow;
mod hpack;
mod life;
mod priorities;
mod properties;
mod reference;
mod replies;
mod requests;
