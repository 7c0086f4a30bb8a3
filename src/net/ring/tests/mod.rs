//! The ring against real sockets: clients on threads, turns on the test's own.

mod accepting;
mod backpressure;
mod echo;
mod endings;
mod harness;
mod waiting;
