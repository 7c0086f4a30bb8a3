//! Engines against real sockets: clients on threads, turns on the test's own. Each engine passes the same tests.

mod accepting;
mod backpressure;
mod echo;
mod endings;
pub(in crate::net) mod harness;
mod waiting;
