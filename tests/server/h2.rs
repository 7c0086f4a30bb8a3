//! HTTP/2 over cleartext sockets: the ordinary things with a client library, the others frame by frame.

mod attacks;
mod bodies;
mod cancels;
pub(crate) mod client;
mod crosstalk;
mod detection;
mod endings;
mod frames;
mod replies;
mod requests;
