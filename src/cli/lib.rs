//! The command line: `windlass serve`, `windlass load`, `windlass soak`, `windlass doctor`, `windlass check-config`, `windlass dev-cert`.
//!
//! Whatever is wrong with what the user gave is one line on standard error and exit status 2.

mod args;
pub mod client;
mod config;
mod demo;
#[cfg(feature = "dev-cert")]
mod dev_cert;
mod doctor;
mod listeners;
mod load;
mod logs;
mod page;
mod progress;
mod secure;
mod serve;
mod soak;
mod sockets;
mod systemd;
#[cfg(test)]
#[path = "../testing.rs"]
mod testing;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use config::Config;

use doctor::Needs;

/// Exit status of a command line, a configuration or a system that does not let the server start.
const REFUSED: u8 = 2;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return refused(&args::one_line(&error)),
        Err(help) => {
            // Help and version go to standard output; a closed pipe is the reader's choice.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(serve_args)) => serve(&serve_args),
        Some(Command::Doctor) => diagnose(),
        Some(Command::Load(args)) => told(load::run(&args)),
        Some(Command::Soak(args)) => told(soak::run(&args)),
        #[cfg(feature = "dev-cert")]
        Some(Command::DevCert { out, name }) => match dev_cert::make(&out.unwrap_or_default(), name) {
            Ok(told) => {
                print!("{told}");
                ExitCode::SUCCESS
            }
            Err(error) => refused(&error),
        },
        Some(Command::CheckConfig { file }) => match Config::read(&file).and_then(|config| config.check()) {
            Ok(()) => {
                println!("{}: the configuration is valid", file.display());
                ExitCode::SUCCESS
            }
            Err(error) => refused(&error),
        },
    }
}

fn serve(args: &args::Serve) -> ExitCode {
    match Config::resolve(args).and_then(serve::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refused(&error),
    }
}

fn diagnose() -> ExitCode {
    let needs = Needs { fallback: cfg!(feature = "epoll"), ..Needs::default() };
    let report = doctor::examine(&needs);
    print!("{report}");
    ExitCode::from(report.exit_status())
}

/// Exit status 0 where all was well, 1 where what was looked at was not, 2 where it could not be looked at.
fn told(outcome: Result<bool, String>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => refused(&error),
    }
}

fn refused(error: &str) -> ExitCode {
    eprintln!("windlass: {error}");
    ExitCode::from(REFUSED)
}
