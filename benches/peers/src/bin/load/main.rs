//! A load generator for loads that wrk cannot generate. It pipelines mixed paths, paces an open loop, opens a
//! connection for each request, holds idle connections, and checks every byte of every response.
//!
//! It shares protocols, checks, counters and the report with `windlass load`, see [`windlass_cli::client`].
//! Only its I/O is its own: one thread and one epoll drive everything, so that the client costs less than the
//! servers it compares. `windlass load` runs a task per connection instead, which holds more protocols at
//! once.
//!
//! Without `--rate` it is a closed loop: each connection keeps `--pipeline` requests in flight. With `--rate`
//! arrivals follow a schedule that does not wait for the server, see [`windlass_cli::client::pacing`].
//!
//! - `--grpc` calls the service of [`windlass_peers::echo`] over HTTP/2, see [`grpc`].
//! - `--ws` sends messages that a WebSocket must echo. A request is a message.
//! - `--sse` and `--ws-topic` subscribe to a topic and publish to it, see [`fanout`]. `--streams` puts
//!   several subscriptions on one HTTP/2 connection.
//!
//! Prints one `key=value` per line. Exit status: 0, 1 after an error or without a request, 2 if the load
//! cannot start.

mod connection;
mod fanout;
mod generator;
#[cfg(feature = "grpc")]
mod grpc;
mod options;
mod setup;
mod template;
#[cfg(feature = "tls")]
mod tls;

use std::{io, num::NonZeroU64, process::ExitCode};

use clap::Parser;
use windlass_cli::client::{fault::Fault, report::Report};

use crate::{fanout::Transport, generator::Generator, options::Options};

fn main() -> ExitCode {
    // The default timer slack would add 50 µs to every pause of the open loop.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    match run(&Options::parse()) {
        Ok(report) => {
            report.totals.examples.iter().for_each(|fault| eprintln!("load: {fault}"));
            print!("{}", report.pairs());
            if report.totals.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<Report> {
    #[cfg(feature = "grpc")]
    if let Some(method) = options.grpc {
        return grpc::run(options, method);
    }
    if let Some(subscribers) = options.sse {
        let transport = match options.streams {
            Some(streams) if !subscribers.is_multiple_of(streams) => {
                return Err(io::Error::other("--sse must be a multiple of --streams"));
            }
            Some(streams) => Transport::Multiplexed { streams: streams as usize },
            None => Transport::EventStream,
        };
        return fanout::run(options, transport, subscribers);
    }
    if let Some(subscribers) = options.ws_topic {
        return fanout::run(options, Transport::WebSocket, subscribers);
    }
    let templates = setup::templates(options).map_err(refused)?;
    let idle = setup::idle_connections(options, &templates).map_err(refused)?;
    if !idle.is_empty() {
        setup::pause(options, idle.len())?;
    }
    let mut report = Generator::new(options, templates)?.run()?;
    setup::check_idle(&idle, &mut report.totals);
    Ok(report)
}

fn refused(fault: Fault) -> io::Error {
    io::Error::other(format!("server check failed before the load: {fault}"))
}
