//! Both sides of a connection without sockets: frames a peer sends, and a server that answers by simple
//! rules.
#![allow(dead_code, reason = "a vocabulary: its users come one by one")]

pub(crate) mod frames;
pub(crate) mod server;

pub(crate) use frames::Frame;
pub(crate) use server::{Seen, Server};
