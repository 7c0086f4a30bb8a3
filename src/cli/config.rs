//! The configuration: the file, overridden by flags.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;

#[cfg(feature = "files")]
use super::files::FilesConfig;
use super::{
    admin::{AdminConfig, AdminFlags},
    args::{self, Serve},
    auth::{self, AuthConfig},
    listeners::{CertificateFiles, Listener, Socket},
    secure,
    topics::{TopicConfig, TopicFlags},
};
use windlass::{
    EngineKind, Limits, ListenOptions, PoolSettings, Route, Timeouts, TrustedProxies, actors::Cores,
};

/// The configuration of the server. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// Addresses as in `--listen`.
    listen: Vec<String>,
    /// PEM file with the certificate chain of every listener that has none of its own, as in `--tls-cert`.
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of `tls_cert`, as in `--tls-key`.
    tls_key: Option<PathBuf>,
    /// Listeners with their own settings, in addition to those of `listen`.
    listener: Vec<ListenerConfig>,
    pub(super) engine: EngineKind,
    shards: Option<usize>,
    /// Cores that the shards are pinned to, as in `--cores`.
    cores: Option<String>,
    /// Shards are not pinned to cores.
    unpinned: bool,
    pub(super) access_log: bool,
    demo: Option<bool>,
    #[serde(skip)]
    pub(super) demo_blocking: bool,
    trusted_proxies: Vec<String>,
    backlog: Option<u32>,
    send_buffer_bytes: Option<usize>,
    http2: Option<bool>,
    /// HTTP/1.1 requests may switch their connection to HTTP/2 with `Upgrade: h2c`.
    pub(super) h2c_upgrade: bool,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) pool: PoolSettings,
    pub(super) topics: TopicConfig,
    #[cfg(feature = "files")]
    files: Vec<FilesConfig>,
    pub(super) auth: Option<AuthConfig>,
    pub(super) admin: AdminConfig,
}

/// A `[[listener]]` section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerConfig {
    address: String,
    /// Every connection must start with a header of the PROXY protocol.
    #[serde(default)]
    proxy_protocol: bool,
    /// The listener speaks TLS. `None`: it does if it or the top level of the file has a certificate.
    tls: Option<bool>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// `None`: the listener follows the server's `http2`.
    http2: Option<ListenerHttp2>,
}

/// The value of `http2` of one listener.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ListenerHttp2 {
    /// Every client speaks HTTP/2 from the first byte.
    Only,
}

impl ListenerConfig {
    /// Returns the listener. `default` is the certificate of the file's top level. Returns an error text if
    /// the settings contradict each other or the address is invalid.
    fn listener(&self, default: Option<&CertificateFiles>) -> Result<Listener, String> {
        let is_http2_only = self.http2 == Some(ListenerHttp2::Only);
        let certificate = self.certificate(default)?;
        if is_http2_only && certificate.is_some() {
            let address = &self.address;
            return Err(format!(
                "listener {address}: http2 = \"only\" needs tls = false: with TLS, clients select HTTP/2"
            ));
        }
        let (socket, proxy_protocol) = (Socket::parse(&self.address)?, self.proxy_protocol);
        Ok(Listener { socket, proxy_protocol, certificate, is_http2_only })
    }

    /// Returns the listener's own certificate, or else the one of the file's top level. Returns `None` if the
    /// listener does not speak TLS.
    fn certificate(&self, default: Option<&CertificateFiles>) -> Result<Option<CertificateFiles>, String> {
        let own = CertificateFiles::from_options(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        match (self.tls, own) {
            (Some(false), None) => Ok(None),
            (Some(false), Some(_)) => Err(format!(
                "listener {}: tls = false contradicts tls_cert: remove one of them",
                self.address
            )),
            (_, Some(own)) => Ok(Some(own)),
            (Some(true), None) if default.is_none() => Err(format!(
                "listener {}: tls = true needs a certificate: set tls_cert and tls_key",
                self.address
            )),
            (_, None) => Ok(default.cloned()),
        }
    }
}

impl Config {
    /// Reads and parses a configuration file, without checking the values. The error text names the file, and
    /// the line if it is known.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read the configuration file {name}: {error}"))?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| line_of(&text, &span)).unwrap_or_default();
            // Errors are one line.
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            format!("{name}{line}: {message}")
        })
    }

    /// Reads and checks a configuration file, together with its tokens, which the environment may override,
    /// and the certificates and token files that it names.
    pub(super) fn check_file(file: &Path) -> Result<(), String> {
        let mut config = Self::read(file)?;
        config.topics = config.topics.resolve(&TopicFlags::default())?;
        config.admin = config.admin.resolve(&AdminFlags::default())?;
        config.check()?;
        config.auth.as_ref().map_or(Ok(()), auth::check)?;
        secure::check(&config.listeners()?)
    }

    /// Reads the file that the flags name, if any, overrides it with the environment and the flags, and
    /// checks the result, except for the certificates and the
    /// keys of tokens: they are read once, when the server starts.
    pub(super) fn resolve(args: &Serve) -> Result<Self, String> {
        let mut config = args.config.as_deref().map(Self::read).transpose()?.unwrap_or_default();
        if !args.listen.is_empty() {
            (config.listen, config.listener) = (args.listen.clone(), Vec::new());
        }
        if args.tls_cert.is_some() {
            (config.tls_cert, config.tls_key) = (args.tls_cert.clone(), args.tls_key.clone());
        }
        if args.shards.is_some() || args.cores.is_some() {
            (config.shards, config.cores, config.unpinned) = (args.shards, args.cores.clone(), false);
        }
        config.engine = args.engine.unwrap_or(config.engine);
        config.pool.workers = args.workers.or(config.pool.workers);
        if let Some(seconds) = args.grace {
            config.timeouts.grace = std::time::Duration::from_secs(seconds);
        }
        config.access_log |= args.access_log;
        config.demo_blocking = args.demo_blocking;
        config.topics = config.topics.resolve(&args.topics)?;
        #[cfg(feature = "files")]
        if let Some(dir) = &args.files {
            config.files.retain(|section| !section.is_at_root());
            config.files.push(FilesConfig::of_dir(dir));
        }
        config.admin = config.admin.resolve(&args.admin)?;
        if args.no_demo {
            config.demo = Some(false);
        }
        config.check()?;
        Ok(config)
    }

    /// Checks the limits, the pool, the listeners, the topics, the cores and the trusted proxies. The error
    /// text names the wrong setting.
    pub(super) fn check(&self) -> Result<(), String> {
        self.limits.check()?;
        self.pool.check()?;
        self.check_exposure(&self.listeners()?)?;
        self.admin.listen()?;
        self.cores()?;
        self.file_routes()?;
        self.trusted_proxies().map(|_| ())
    }

    /// Returns the routes of the static files.
    pub(super) fn file_routes(&self) -> Result<Vec<Route>, String> {
        #[cfg(feature = "files")]
        return self.files.iter().map(FilesConfig::route).collect();
        #[cfg(not(feature = "files"))]
        Ok(Vec::new())
    }

    /// Returns `true` if static files take the place of the live page.
    pub(super) fn has_files_at_root(&self) -> bool {
        #[cfg(feature = "files")]
        return self.files.iter().any(FilesConfig::is_at_root);
        #[cfg(not(feature = "files"))]
        false
    }

    /// Checks the topics, and that publishing needs a token if other machines can reach one of these
    /// listeners. A socket from systemd has no address until it is resolved, and is left out before.
    pub(super) fn check_exposure(&self, listeners: &[Listener]) -> Result<(), String> {
        let listens: Vec<_> =
            listeners.iter().filter_map(|listener| listener.socket.address().cloned()).collect();
        self.topics.check(&listens, self.auth.is_some())
    }

    /// Returns the listeners of `listen` and of the sections, or one on `127.0.0.1:8080` if there are none.
    pub(super) fn listeners(&self) -> Result<Vec<Listener>, String> {
        let parse = |address: &str, certificate| {
            let socket = Socket::parse(address)?;
            Ok(Listener { socket, proxy_protocol: false, certificate, is_http2_only: false })
        };
        let default = CertificateFiles::from_options(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        if self.listen.is_empty() && self.listener.is_empty() {
            return Ok(vec![parse("127.0.0.1:8080", default)?]);
        }
        let simple = self.listen.iter().map(|address| parse(address, default.clone()));
        let section = |config: &ListenerConfig| config.listener(default.as_ref());
        simple.chain(self.listener.iter().map(section)).collect()
    }

    pub(super) fn listen_options(&self) -> ListenOptions {
        let mut options = ListenOptions::default();
        options.backlog = self.backlog.unwrap_or(options.backlog);
        options.send_buffer = self.send_buffer_bytes;
        options
    }

    pub(super) fn cores(&self) -> Result<Cores, String> {
        let list = self.cores.as_deref().map(args::cores).transpose()?;
        match (list, self.shards) {
            (_, Some(0)) => Err("shards must be at least 1".to_owned()),
            (Some(list), Some(shards)) if list.len() != shards => {
                Err(format!("{shards} shards but {} cores: list one core for each shard", list.len()))
            }
            (Some(list), _) => Ok(Cores::List(list)),
            (None, Some(shards)) if self.unpinned => Ok(Cores::Unpinned(shards)),
            (None, Some(shards)) => Ok(Cores::Count(shards)),
            (None, None) if self.unpinned => Err("unpinned needs a number of shards: set shards".to_owned()),
            (None, None) => Ok(Cores::PerCore),
        }
    }

    pub(super) fn trusted_proxies(&self) -> Result<TrustedProxies, String> {
        TrustedProxies::parse(&self.trusted_proxies).map_err(|error| format!("trusted_proxies: {error}"))
    }

    pub(super) fn http2(&self) -> bool {
        self.http2.unwrap_or(true)
    }

    pub(super) fn demo(&self) -> bool {
        self.demo.unwrap_or(!self.has_files_at_root())
    }
}

/// Returns `, line N` for the start of a span.
fn line_of(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    format!(", line {}", before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let file = std::env::temp_dir().join(format!("windlass-{:?}.toml", std::thread::current().id()));
        std::fs::write(&file, text).unwrap();
        let config = Config::read(&file).and_then(|config| config.check().map(|()| config));
        std::fs::remove_file(&file).unwrap();
        config
    }

    #[test]
    fn every_limit_and_timeout_can_be_set() {
        let config = parse(
            "listen = [\"127.0.0.1:9\"]\nengine = \"io_uring\"\n\
             [limits]\nhead_bytes = 4096\nrequest_line_bytes = 1000\nconnections = 7\n\
             [timeouts]\nheader = \"250ms\"\nkeep_alive = \"off\"\nage = \"2h\"\nbody_rate = 9\n\
             [pool]\nqueue = 3\n[[listener]]\naddress = \"[::1]:0\"\nproxy_protocol = true\n",
        )
        .unwrap();
        assert_eq!((config.limits.head_bytes, config.limits.connections), (4096, Some(7)));
        assert_eq!(config.timeouts.header, Some(Duration::from_millis(250)));
        assert_eq!((config.timeouts.keep_alive, config.timeouts.body_rate), (None, 9));
        assert_eq!((config.pool.queue, config.engine), (3, EngineKind::IoUring));
        let listeners = config.listeners().unwrap();
        assert_eq!(listeners.iter().map(|e| e.proxy_protocol).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_listener_without_tls_may_be_for_http2_only() {
        let config = parse("[[listener]]\naddress = \"127.0.0.1:9\"\nhttp2 = \"only\"\n").unwrap();
        assert!(config.listeners().unwrap()[0].is_http2_only);
        let unknown = parse("[[listener]]\naddress = \"127.0.0.1:9\"\nhttp2 = \"never\"\n").unwrap_err();
        assert!(unknown.contains("`only`"), "{unknown}");
        let text =
            "[[listener]]\naddress = \"127.0.0.1:9\"\nhttp2 = \"only\"\ntls_cert = \"c\"\ntls_key = \"k\"\n";
        assert!(toml::from_str::<Config>(text).unwrap().listeners().unwrap_err().contains("tls = false"));
    }

    #[test]
    fn sockets_of_the_service_manager_are_named() {
        let config = parse(
            "listen = [\"systemd\", \"127.0.0.1:9\"]\n\
             [[listener]]\naddress = \"systemd:proxied\"\nproxy_protocol = true\n",
        )
        .unwrap();
        let places: Vec<_> =
            config.listeners().unwrap().into_iter().map(|listener| listener.socket).collect();
        let tcp = Socket::Bound("127.0.0.1:9".parse().unwrap());
        assert_eq!(places, [Socket::Systemd(None), tcp, Socket::Systemd(Some("proxied".to_owned()))]);
        assert!(parse("listen = [\"systemd:\"]").unwrap_err().contains("name"));
    }

    #[test]
    fn errors_are_one_line_with_their_place() {
        let unknown = parse("shards = 1\nspeed = \"fast\"\n").unwrap_err();
        assert!(
            unknown.contains("line 2") && unknown.contains("speed") && !unknown.contains('\n'),
            "{unknown}"
        );
        let nested = parse("[limits]\nhead = 1\n").unwrap_err();
        assert!(nested.contains("line 2") && nested.contains("head"), "{nested}");
        let duration = parse("[timeouts]\nheader = \"ten\"\n").unwrap_err();
        assert!(duration.contains("line 2") && duration.contains("\"10s\""), "{duration}");
        assert!(parse("[limits]\nhead_bytes = 1\n").unwrap_err().contains("head_bytes"));
        assert!(parse("cores = \"x\"").unwrap_err().contains("core list"));
        assert!(parse("listen = [\"nowhere\"]").unwrap_err().contains("nowhere"));
        assert!(parse("trusted_proxies = [\"x\"]").unwrap_err().contains("'x'"));
        assert!(parse("shards = 3\ncores = \"0-1\"").unwrap_err().contains("3 shards but 2 cores"));
        assert!(parse("engine = \"kqueue\"").unwrap_err().contains("`auto`, `io_uring`, `epoll`"));
        assert!(parse("shards = 0").unwrap_err().contains("at least 1"));
    }
}
