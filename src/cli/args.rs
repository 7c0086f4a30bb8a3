//! Flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{load::Load, soak::Soak, topics::TopicFlags};
use windlass::EngineKind;

/// An actor-model HTTP server for Linux. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve until a signal: TERM or INT drains, a second one ends at once
    Serve(Box<Serve>),
    /// Tell what this system allows and refuses, and how to mend it; exit status 1 if something must be
    Doctor,
    /// Load a server and print its latency; exit status 1 if nothing was served, or anything failed
    Load(Box<Load>),
    /// Load a server for long, watch its process, write a report and judge; exit status 1 if it does not pass
    Soak(Box<Soak>),
    /// Read a configuration file as 'serve' would, and tell what is wrong with it
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Make a self-signed certificate for tests on this machine: localhost, 127.0.0.1 and ::1
    #[cfg(feature = "dev-cert")]
    DevCert {
        /// Folder for cert.pem and key.pem; files that are there are not overwritten [default: the current one]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Another name or address it shall be good for; may be repeated
        #[arg(long, value_name = "HOST")]
        name: Vec<String>,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Serve {
    /// Address to listen on: 127.0.0.1:8080, [::1]:8080, :8080, unix:/path, or systemd[:NAME] for the sockets a .socket unit passed; may be repeated [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Vec<String>,
    /// PEM file with a certificate chain: every --listen speaks HTTPS; see 'windlass dev-cert'
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// PEM file with the private key of --tls-cert; HUP reads both again
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Engine that drives the sockets: auto, io_uring or epoll [default: auto: io_uring where it may be used]
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<EngineKind>,
    /// Number of shards [default: one for each core this process may use]
    #[arg(long, value_name = "N")]
    pub(super) shards: Option<usize>,
    /// Cores to pin one shard each to, such as 0,2-3; with --shards the two must agree
    #[arg(long, value_name = "LIST")]
    pub(super) cores: Option<String>,
    /// Worker threads for async routes [default: one for each shard, at least two]
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// Configuration file (TOML); flags win over it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// How long a drain waits for running requests, seconds [default: 30]
    #[arg(long, value_name = "SECS")]
    pub(super) grace: Option<u64>,
    /// Log every request, as JSON on standard output
    #[arg(long)]
    pub(super) access_log: bool,
    /// No demo routes
    #[arg(long)]
    pub(super) no_demo: bool,
    #[command(flatten)]
    pub(super) topics: TopicFlags,
    /// Add /demo/block?ms=N and /demo/burn?ms=N, which hold a thread of the pool
    #[arg(long, hide = true)]
    pub(super) demo_blocking: bool,
}

/// Makes clap's message one line that says what is wrong and where help is.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines();
    let mut what = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    if what.ends_with(':') {
        // A list follows, a line for each.
        for item in lines.take_while(|line| !line.is_empty()) {
            what = format!("{what} {}", item.trim());
        }
    }
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let tip = tip.map(|tip| format!(" ({tip})")).unwrap_or_default();
    format!("{what}{tip}; see 'windlass --help'")
}

/// Reads a list of cores such as `0,2-3`.
pub(super) fn cores(list: &str) -> Result<Vec<usize>, String> {
    let wrong = || format!("'{list}' is no list of cores; write 0,2-3");
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        /// More than any machine has: a slip of the pen must not make a million shards.
        const MOST: usize = 4096;
        if first > last || last >= MOST {
            return Err(wrong());
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_numbers_and_ranges() {
        assert_eq!(cores("0,2-4"), Ok(vec![0, 2, 3, 4]));
        assert_eq!(cores("7"), Ok(vec![7]));
        for wrong in ["", "a", "3-1", "1-", "0,,1", "0-1000000"] {
            assert!(cores(wrong).unwrap_err().contains("0,2-3"), "{wrong}");
        }
    }

    #[test]
    fn without_a_command_flags_are_those_of_serve() {
        let cli = Cli::try_parse_from(["windlass", "--listen", "127.0.0.1:1", "--grace", "3"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!((cli.serve.listen, cli.serve.grace), (vec!["127.0.0.1:1".to_owned()], Some(3)));
    }

    #[test]
    fn a_bad_flag_is_one_line() {
        let error = Cli::try_parse_from(["windlass", "--lisen", "x"]).unwrap_err();
        let line = one_line(&error);
        assert!(line.contains("'--lisen'") && line.contains("--help") && !line.contains('\n'), "{line}");
        let error = Cli::try_parse_from(["windlass", "check-config"]).unwrap_err();
        assert!(one_line(&error).contains("not provided: <FILE>; see"), "{}", one_line(&error));
    }
}
