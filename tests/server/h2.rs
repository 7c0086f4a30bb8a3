//! HTTP/2 over cleartext sockets: the ordinary things with a client library, the others frame by frame.

mod client;
mod detection;
mod frames;
mod requests;
