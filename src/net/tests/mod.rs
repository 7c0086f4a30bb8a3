//! Tests of the engines with real sockets. Clients run on threads of their own. Every test runs with each
//! engine.

mod accepting;
mod backpressure;
mod echo;
mod endings;
pub(in crate::net) mod harness;
mod waiting;
