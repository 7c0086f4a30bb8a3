//! The command line: `windlass serve`, `doctor`, `load`, `soak`, `check-config`, `dev-cert` and
//! `token`.
//!
//! Errors are reported as one line on standard error. The exit status is 2 if the flags, the configuration or
//! the system prevent the command, and 1 if the server or a measurement failed.
//!
//! - `admin`, `args`, `auth`, `config`, `files`, `listeners`, `tokens`, `topics`: flags and the configuration
//!   file.
//! - `serve`: the server's life. It uses `signals`, `secure` (certificates), `sockets` and `systemd` (service
//!   manager), `logs`, `html`, `page` and `demo`. `failure` decides its exit status.
//! - `load`, `soak`, `client`: measuring a server.
//! - `doctor`: checks of the system.
//! - `token`: keys and JSON Web Tokens.
//! - `output`: standard output and standard error.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a closed stream makes them panic: use `output`"
)]

mod admin;
mod args;
mod auth;
pub mod client;
mod config;
mod demo;
#[cfg(feature = "dev-cert")]
mod dev_cert;
mod doctor;
mod failure;
#[cfg(feature = "files")]
mod files;
mod html;
mod listeners;
mod load;
mod logs;
mod output;
mod page;
mod progress;
mod secure;
mod serve;
mod signals;
mod soak;
mod sockets;
mod systemd;
#[cfg(test)]
#[cfg_attr(not(feature = "io-uring"), expect(dead_code, reason = "only tests of io_uring need it"))]
#[path = "../testing.rs"]
mod testing;
#[cfg(feature = "jwt")]
mod token;
mod tokens;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use config::Config;
use failure::Failure;

use doctor::Needs;

/// Exit status of a command that the flags, the configuration or the system prevent.
const INVALID: u8 = 2;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return fail(&args::one_line(&error)),
        Err(help) => {
            // The reader may close standard output before the end.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(serve_args)) => serve(&serve_args),
        Some(Command::Doctor) => diagnose(),
        Some(Command::Load(args)) => judged(load::run(&args)),
        Some(Command::Soak(args)) => judged(soak::run(&args)),
        #[cfg(feature = "dev-cert")]
        Some(Command::DevCert { out, name }) => match dev_cert::create(&out.unwrap_or_default(), name) {
            Ok(message) => {
                output::print(&message);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        #[cfg(feature = "jwt")]
        Some(Command::Token(command)) => match token::run(&command) {
            Ok(text) => {
                output::print(&text);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        Some(Command::CheckConfig { file }) => match Config::check_file(&file) {
            Ok(()) => {
                output::print(&format!("{}: the configuration is valid\n", file.display()));
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
    }
}

fn serve(args: &args::Serve) -> ExitCode {
    match serve::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(error)) => fail(&error),
        Err(Failure::Failed(error)) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn diagnose() -> ExitCode {
    let needs = Needs { fallback: cfg!(feature = "epoll"), ..Needs::default() };
    let report = doctor::examine(&needs);
    output::print(&report.to_string());
    ExitCode::from(report.exit_status())
}

/// Returns exit status 0 for a good result and 1 for a bad one. Prints an error and returns 2.
fn judged(outcome: Result<bool, String>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Prints an error and returns its exit status.
fn fail(error: &str) -> ExitCode {
    output::print_error(error);
    ExitCode::from(INVALID)
}
