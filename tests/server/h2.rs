//! HTTP/2 over cleartext sockets. Ordinary use is tested with a client library, the rest frame by frame.

mod attacks;
mod bodies;
mod cancels;
pub(crate) mod client;
mod crosstalk;
mod detection;
mod endings;
mod frames;
mod memory;
mod priorities;
mod replies;
mod requests;
mod upgrade;
