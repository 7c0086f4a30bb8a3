//! The topics of the binary: flags, the file's section, and the broker they make.

#[cfg(feature = "durable")]
use std::sync::{Arc, OnceLock};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use http::HeaderValue;
use serde::Deserialize;

#[cfg(feature = "durable")]
use windlass::replay::durable::{DurableStore, ErrorHook, Options as StoreOptions};
use windlass::{
    Listen, TopicAccess,
    actors::fanout::{self, Overflow},
    broker::{Broker, BrokerSettings, TopicPolicy},
    replay::Durability,
};

/// What happens to an event that finds a subscriber's mailbox full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Policy {
    /// The event is lost for this subscriber, which is told
    Drop,
    /// The subscriber gets nothing more; its connection stays
    Remove,
    /// The subscriber's stream ends
    Close,
}

impl From<Policy> for Overflow {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Drop => Self::Drop,
            Policy::Remove => Self::Remove,
            Policy::Close => Self::Close,
        }
    }
}

/// How safe an event is before its publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Gone with the process, where nothing else wrote it
    None,
    /// On the disk within 50 ms
    Buffered,
    /// On the disk: survives kill -9 and a power cut
    Fsynced,
}

impl From<Level> for Durability {
    fn from(level: Level) -> Self {
        match level {
            Level::None => Self::None,
            Level::Buffered => Self::Buffered,
            Level::Fsynced => Self::Fsynced,
        }
    }
}

/// Flags of `serve` about topics.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TopicFlags {
    /// Directory that keeps the topics' history [default: it is kept in memory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How safe an event is before its publisher is told: none, buffered or fsynced [default with --data: fsynced]
    #[arg(long, value_name = "LEVEL")]
    durability: Option<Level>,
    /// What happens to an event that finds a subscriber's mailbox full [default: drop]
    #[arg(long, value_name = "POLICY")]
    policy: Option<Policy>,
    /// Events a subscriber's mailbox holds [default: 64]
    #[arg(long, value_name = "N")]
    mailbox_events: Option<usize>,
    /// Bytes a subscriber's mailbox holds [default: 262144]
    #[arg(long, value_name = "N")]
    mailbox_bytes: Option<usize>,
    /// What publishers have to show as 'Authorization: Bearer TOKEN'
    #[arg(long, value_name = "TOKEN")]
    publish_token: Option<String>,
    /// What subscribers have to show, likewise or as ?access_token=TOKEN
    #[arg(long, value_name = "TOKEN")]
    subscribe_token: Option<String>,
    /// Origin whose pages may use the topics from a browser, or '*'
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Option<String>,
    /// Publish what clients send over a topic's WebSocket, if they show the publish token, if there is one
    #[arg(long)]
    ws_publish: bool,
    /// Serve no topics
    #[arg(long)]
    no_topics: bool,
}

/// The file's `[topics]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TopicConfig {
    enabled: Option<bool>,
    data: Option<PathBuf>,
    durability: Option<Level>,
    policy: Option<Policy>,
    mailbox_events: Option<usize>,
    mailbox_bytes: Option<usize>,
    publish_token: Option<String>,
    subscribe_token: Option<String>,
    cors_origin: Option<String>,
    ws_publish: bool,
    heartbeat: Option<String>,
    retry: Option<String>,
    pattern: Vec<PatternConfig>,
}

/// One `[[topics.pattern]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternConfig {
    /// A topic's name, or the beginning of one and a `*`.
    topics: String,
    durability: Option<Level>,
    policy: Option<Policy>,
    mailbox_events: Option<usize>,
    mailbox_bytes: Option<usize>,
}

impl TopicConfig {
    /// Puts the flags over the file.
    pub(super) fn resolve(mut self, flags: &TopicFlags) -> Self {
        self.data = flags.data.clone().or(self.data);
        self.durability = flags.durability.or(self.durability);
        self.policy = flags.policy.or(self.policy);
        self.mailbox_events = flags.mailbox_events.or(self.mailbox_events);
        self.mailbox_bytes = flags.mailbox_bytes.or(self.mailbox_bytes);
        self.publish_token = flags.publish_token.clone().or(self.publish_token);
        self.subscribe_token = flags.subscribe_token.clone().or(self.subscribe_token);
        self.cors_origin = flags.cors_origin.clone().or(self.cors_origin);
        self.ws_publish |= flags.ws_publish;
        if flags.no_topics {
            self.enabled = Some(false);
        }
        self
    }

    /// Says whether topics are served.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// Checks what the parts allow one by one, and that nobody but who shall can publish.
    pub(super) fn check(&self, listens: &[Listen]) -> Result<(), String> {
        if !self.is_enabled() {
            return Ok(());
        }
        self.settings()?;
        self.access()?;
        let open = listens.iter().find(|listen| is_open(listen));
        match (open, &self.publish_token) {
            (Some(listen), None) => Err(format!(
                "on {listen} everybody could publish: give --publish-token (or topics.publish_token in the file), \
                 listen on a loopback address, or serve no topics (--no-topics)"
            )),
            _ => Ok(()),
        }
    }

    /// Makes the broker.
    pub(super) fn broker(&self) -> Result<Option<Served>, String> {
        if !self.is_enabled() {
            return Ok(None);
        }
        let settings = self.settings()?;
        match &self.data {
            Some(directory) => Served::durable(settings, directory).map(Some),
            None => {
                let broker = Broker::new(settings).map_err(|error| format!("topics: {error}"))?;
                Ok(Some(Served {
                    broker,
                    #[cfg(feature = "durable")]
                    store: None,
                }))
            }
        }
    }

    fn settings(&self) -> Result<BrokerSettings, String> {
        let mut settings = BrokerSettings::default();
        let bounds = (self.mailbox_events, self.mailbox_bytes);
        settings.policy = policy("topics", &settings.policy, self.policy, bounds)?;
        let otherwise = if self.data.is_some() { Durability::Fsynced } else { Durability::None };
        settings.policy.durability = self.durability_of("topics", self.durability, otherwise)?;
        for pattern in &self.pattern {
            let name = format!("topics.pattern '{}'", pattern.topics);
            let bounds = (pattern.mailbox_events, pattern.mailbox_bytes);
            let mut policy = policy(&name, &settings.policy, pattern.policy, bounds)?;
            policy.durability = self.durability_of(&name, pattern.durability, policy.durability)?;
            settings.patterns.push((pattern.topics.clone(), policy));
        }
        if let Some(heartbeat) = &self.heartbeat {
            settings.heartbeat =
                if heartbeat == "off" { None } else { Some(duration("heartbeat", heartbeat)?) };
            if settings.heartbeat.is_some_and(|interval| interval.is_zero()) {
                return Err("topics: heartbeat must be longer than \"0s\"; \"off\" sends none".to_owned());
            }
        }
        settings.retry = self.retry.as_deref().map(|retry| duration("retry", retry)).transpose()?;
        Ok(settings)
    }

    /// Says how safe events shall be; what is kept in memory cannot be made safe.
    fn durability_of(
        &self,
        what: &str,
        level: Option<Level>,
        otherwise: Durability,
    ) -> Result<Durability, String> {
        match level {
            Some(Level::Buffered | Level::Fsynced) if self.data.is_none() => {
                Err(format!("{what}: durability needs a data directory (--data DIR)"))
            }
            level => Ok(level.map_or(otherwise, Durability::from)),
        }
    }

    /// Says who may use the topics.
    pub(super) fn access(&self) -> Result<TopicAccess, String> {
        let mut access = TopicAccess::default();
        for (name, token) in
            [("publish_token", &self.publish_token), ("subscribe_token", &self.subscribe_token)]
        {
            if token.as_deref() == Some("") {
                return Err(format!("topics: {name} is empty: everybody would have it"));
            }
        }
        access.ws_publish = self.ws_publish;
        access.publish_token.clone_from(&self.publish_token);
        access.subscribe_token.clone_from(&self.subscribe_token);
        if let Some(origin) = &self.cors_origin {
            let is_origin = origin == "*" || (origin.contains("://") && !origin.ends_with('/'));
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin);
            let wrong = || format!("topics: '{origin}' is no origin; write https://app.example or '*'");
            access.cors_origin = Some(value.ok_or_else(wrong)?);
        }
        Ok(access)
    }
}

/// A broker, and the store to be closed behind it.
pub(super) struct Served {
    pub(super) broker: Broker,
    #[cfg(feature = "durable")]
    store: Option<Arc<DurableStore>>,
}

impl Served {
    #[cfg(feature = "durable")]
    fn durable(settings: BrokerSettings, directory: &Path) -> Result<Self, String> {
        let told = Arc::new(OnceLock::<Broker>::new());
        let counted = Arc::clone(&told);
        let on_error = ErrorHook::new(move |error| {
            tracing::error!(%error, "the topics' store");
            counted.get().into_iter().for_each(|broker| broker.store_failed(error));
        });
        let mut options = StoreOptions::default();
        options.on_error = on_error;
        let opened = DurableStore::open(directory, options);
        let store = Arc::new(opened.map_err(|error| format!("--data {}: {error}", directory.display()))?);
        let broker = Broker::with_store(settings, store.clone());
        // Set once, here.
        let _ = told.set(broker.clone());
        Ok(Self { broker, store: Some(store) })
    }

    #[cfg(not(feature = "durable"))]
    fn durable(_: BrokerSettings, directory: &Path) -> Result<Self, String> {
        Err(format!(
            "--data {}: this build keeps topics in memory only (feature durable)",
            directory.display()
        ))
    }

    /// Writes what the store still holds.
    pub(super) fn close(self) -> Result<(), String> {
        #[cfg(feature = "durable")]
        if let Some(store) = self.store {
            return store
                .close()
                .map_err(|error| format!("the topics' store did not close cleanly: {error}"));
        }
        Ok(())
    }
}

/// Puts what is said over what holds otherwise.
fn policy(
    what: &str,
    otherwise: &TopicPolicy,
    overflow: Option<Policy>,
    (events, bytes): (Option<usize>, Option<usize>),
) -> Result<TopicPolicy, String> {
    let mut policy = otherwise.clone();
    policy.overflow =
        overflow.map_or(otherwise.overflow.clone(), |policy| fanout::Policy::from(Overflow::from(policy)));
    policy.mailbox_events = events.unwrap_or(otherwise.mailbox_events);
    policy.mailbox_bytes = bytes.unwrap_or(otherwise.mailbox_bytes);
    if policy.mailbox_events == 0 || policy.mailbox_bytes == 0 {
        return Err(format!("{what}: mailbox_events and mailbox_bytes must be 1 at least"));
    }
    Ok(policy)
}

fn duration(name: &str, text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("topics: {name} must be a duration such as \"15s\", is \"{text}\"");
    humantime::parse_duration(text).map_err(wrong)
}

/// Says whether others than this machine's can reach an address.
fn is_open(listen: &Listen) -> bool {
    match listen {
        Listen::Tcp(address) => match address.ip() {
            IpAddr::V4(ip) => !ip.is_loopback(),
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        },
        // Who may open its file is up to the file system.
        Listen::Unix(_) => false,
    }
}
