//! Commands and flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "jwt")]
use super::token::TokenCommand;
use super::{admin::AdminFlags, load::Load, soak::Soak, topics::TopicFlags};
use windlass::EngineKind;

/// HTTP and push server for Linux. Runs the server unless a command is given.
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
    /// Run the server. SIGTERM or SIGINT drains it, a second one stops it at once
    Serve(Box<Serve>),
    /// Check this system and suggest fixes. Exit status 1 if the server cannot run
    Doctor,
    /// Send requests to a server and print its latency. Exit status 1 if nothing was served or anything
    /// failed
    Load(Box<Load>),
    /// Load a server for a long time, watch its process and judge the result. Exit status 1 if the verdict is
    /// FAIL
    Soak(Box<Soak>),
    /// Check a configuration file without starting a server
    CheckConfig {
        /// Configuration file (TOML)
        file: PathBuf,
    },
    /// Create keys and JSON Web Tokens for development
    #[cfg(feature = "jwt")]
    #[command(subcommand)]
    Token(TokenCommand),
    /// Create a self-signed certificate for tests on this machine: localhost, 127.0.0.1 and ::1
    #[cfg(feature = "dev-cert")]
    DevCert {
        /// Folder for cert.pem and key.pem. Existing files are not overwritten [default: the current folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Further name or address for the certificate; may be repeated
        #[arg(long, value_name = "HOST")]
        name: Vec<String>,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Serve {
    /// Address to listen on: 127.0.0.1:8080, [::1]:8080, :8080, unix:/path, unix:@name, or systemd[:NAME] for
    /// sockets from a .socket unit; may be repeated [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Vec<String>,
    /// PEM file with a certificate chain. Every --listen address then speaks HTTPS; see 'windlass dev-cert'
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// PEM file with the private key of --tls-cert. SIGHUP reloads both files
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// I/O engine: auto, io_uring or epoll [default: auto, which is io_uring if it works, else epoll]
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<EngineKind>,
    /// Number of shards [default: one for each core that this process may use]
    #[arg(long, value_name = "N")]
    pub(super) shards: Option<usize>,
    /// Cores such as 0,2-3, one for each shard. With --shards the numbers must agree
    #[arg(long, value_name = "LIST")]
    pub(super) cores: Option<String>,
    /// Worker threads for async routes [default: one for each shard, at least two]
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// Configuration file (TOML). Flags take precedence
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Seconds that a drain waits for open requests [default: 30]
    #[arg(long, value_name = "SECS")]
    pub(super) grace: Option<u64>,
    /// Write one JSON line per request to standard output
    #[arg(long)]
    pub(super) access_log: bool,
    /// Serve no demo routes
    #[arg(long)]
    pub(super) no_demo: bool,
    /// Serve the files of a directory at /, instead of the live page and the demo routes
    #[cfg(feature = "files")]
    #[arg(long, value_name = "DIR")]
    pub(super) files: Option<PathBuf>,
    #[command(flatten)]
    pub(super) topics: TopicFlags,
    #[command(flatten)]
    pub(super) admin: AdminFlags,
    /// Add /demo/block?ms=N and /demo/burn?ms=N, which block a thread of the pool
    #[arg(long, hide = true)]
    pub(super) demo_blocking: bool,
}

/// Formats an error of clap as one line: the problem, clap's tip if there is one, and the command for help.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines();
    let mut message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    if message.ends_with(':') {
        // A list follows, one item per line.
        for item in lines.take_while(|line| !line.is_empty()) {
            message = format!("{message} {}", item.trim());
        }
    }
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let tip = tip.map(|tip| format!(" ({tip})")).unwrap_or_default();
    format!("{message}{tip}; see 'windlass --help'")
}

/// Parses a list of cores such as `0,2-3`. Returns an error text for a core above 4095 or an empty range.
pub(super) fn cores(list: &str) -> Result<Vec<usize>, String> {
    let invalid = || format!("invalid core list '{list}': write numbers below 4096 and ranges such as 0,2-3");
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| invalid());
        let (first, last) = (number(first)?, number(last)?);
        /// Upper bound of core numbers, so that a typing error does not create a million shards.
        const MAX_CORES: usize = 4096;
        if first > last || last >= MAX_CORES {
            return Err(invalid());
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
