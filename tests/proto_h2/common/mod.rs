//! Both sides of a connection without sockets: frames of a peer, and a server that responds according to the
//! path.
#![allow(dead_code, reason = "not every constant is used by a test")]

pub(crate) mod frames;
pub(crate) mod server;

pub(crate) use frames::Frame;
pub(crate) use server::{Seen, Server};
