//! The `windlass` binary: flags, files, signals, subcommands, output and exit status.
#![allow(clippy::unwrap_used)]

mod access_log;
mod activation;
#[cfg(feature = "jwt")]
mod auth;
mod common;
#[cfg(feature = "durable")]
mod disk;

mod configuration;
mod doctor;
#[cfg(all(feature = "io-uring", feature = "epoll"))]
mod engine;
#[cfg(all(feature = "io-uring", feature = "epoll"))]
mod failing;
mod faults;
#[cfg(feature = "files")]
mod files;
mod load;
mod load_ends;
mod matrix;
mod operating;
mod output;
mod overload;
mod page;
mod pauses;
mod refused;
#[cfg(feature = "dev-cert")]
mod secure;
mod serving;
mod signals;
mod slow;
mod soak;
#[cfg(feature = "ws")]
mod sockets;
#[cfg(feature = "durable")]
mod topics;
#[cfg(all(feature = "io-uring", feature = "epoll"))]
#[path = "../support/without_io_uring.rs"]
mod without_io_uring;
