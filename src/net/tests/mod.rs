//! Tests with real sockets. Clients run on their own threads. Every test runs with each engine.

mod accepting;
mod backpressure;
mod catching_up;
mod echo;
mod endings;
pub(in crate::net) mod harness;
mod starvation;
mod waiting;
