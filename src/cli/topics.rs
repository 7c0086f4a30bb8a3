//! The topics of the binary: flags, the `[topics]` section of the file, and the broker.

#[cfg(feature = "durable")]
use std::sync::{Arc, OnceLock};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::{failure::Failure, tokens::Token};
#[cfg(feature = "durable")]
use windlass::replay::StoreError;
#[cfg(feature = "durable")]
use windlass::replay::durable::{DurableStore, ErrorHook, Options as StoreOptions};
use windlass::{
    Listen, TopicAccess,
    actors::fanout::{self, Overflow},
    broker::{Broker, BrokerSettings, SseTopic, TopicLog, TopicName, TopicPolicy},
    replay::Durability,
};

/// Action when an event does not fit a subscriber's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Policy {
    /// Drop the event for this subscriber, which receives a gap event
    Drop,
    /// Send this subscriber no further events; its connection stays open
    Remove,
    /// End the stream of this subscriber
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

/// Durability of an event when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// In memory only; lost if the process dies
    None,
    /// On disk within 50 ms
    Buffered,
    /// On disk; survives kill -9 and a power cut
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

/// Topic flags of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TopicFlags {
    /// Directory for the history of the topics [default: the history is kept in memory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Durability of an event when it is acknowledged [default: none, with --data fsynced]
    #[arg(long, value_name = "LEVEL")]
    durability: Option<Level>,
    /// Action when an event does not fit a subscriber's mailbox [default: drop]
    #[arg(long, value_name = "POLICY")]
    policy: Option<Policy>,
    /// Capacity of a subscriber's mailbox, events [default: 64]
    #[arg(long, value_name = "N")]
    mailbox_events: Option<usize>,
    /// Capacity of a subscriber's mailbox, bytes [default: 262144]
    #[arg(long, value_name = "N")]
    mailbox_bytes: Option<usize>,
    /// Token that publishers must send as 'Authorization: Bearer TOKEN'. Other users of this machine see it:
    /// use --publish-token-file or the variable WINDLASS_PUBLISH_TOKEN
    #[arg(long, value_name = "TOKEN", conflicts_with = "publish_token_file")]
    publish_token: Option<String>,
    /// File with the token that publishers must send
    #[arg(long, value_name = "FILE")]
    publish_token_file: Option<PathBuf>,
    /// Token that subscribers must send in the same way, or as ?access_token=TOKEN; see --publish-token
    #[arg(long, value_name = "TOKEN", conflicts_with = "subscribe_token_file")]
    subscribe_token: Option<String>,
    /// File with the token that subscribers must send, instead of the variable WINDLASS_SUBSCRIBE_TOKEN
    #[arg(long, value_name = "FILE")]
    subscribe_token_file: Option<PathBuf>,
    /// Origin whose pages may use the topics from a browser, or '*' for all; may be repeated
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    cors_origin: Vec<String>,
    /// Publish messages that clients send over a topic's WebSocket; needs the publish token, if there is one
    #[arg(long)]
    ws_publish: bool,
    /// Serve no topics
    #[arg(long)]
    no_topics: bool,
}

/// The `[topics]` section of the file.
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
    publish_token_file: Option<PathBuf>,
    subscribe_token: Option<String>,
    subscribe_token_file: Option<PathBuf>,
    #[serde(alias = "cors_origins")]
    cors_origin: Origins,
    ws_publish: bool,
    ws_subprotocols: Vec<String>,
    heartbeat: Option<String>,
    retry: Option<String>,
    max_topics: Option<usize>,
    forget_after: Option<String>,
    max_subscriptions: Option<usize>,
    max_client_subscriptions: Option<usize>,
    sse_topic: Option<TopicPlace>,
    pattern: Vec<PatternConfig>,
    log: Vec<LogConfig>,
}

/// Place of an event's topic in event streams of several topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TopicPlace {
    None,
    Event,
    Envelope,
}

impl From<TopicPlace> for SseTopic {
    fn from(place: TopicPlace) -> Self {
        match place {
            TopicPlace::None => Self::None,
            TopicPlace::Event => Self::Event,
            TopicPlace::Envelope => Self::Envelope,
        }
    }
}

/// A `[[topics.log]]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogConfig {
    name: String,
    /// A topic name, or a prefix followed by `*`.
    topics: String,
}

/// The value of `cors_origin`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected an origin such as \"https://app.example\", or a list of origins")]
enum Origins {
    One(String),
    Many(Vec<String>),
}

impl Default for Origins {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Origins {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(origin) => std::slice::from_ref(origin),
            Self::Many(origins) => origins,
        }
    }

    /// Checks the origins and returns the access that they grant: without any only pages of this server.
    fn checked(&self) -> Result<windlass::Origins, String> {
        match self.as_slice() {
            [] => Ok(windlass::Origins::Same),
            [all] if all == "*" => Ok(windlass::Origins::Any),
            origins => match origins.iter().find(|origin| !is_origin(origin)) {
                None => Ok(windlass::Origins::SameOr(origins.to_vec())),
                Some(all) if all == "*" => {
                    Err("topics: cors_origin '*' permits all origins: remove the others".to_owned())
                }
                Some(origin) => Err(format!(
                    "topics: invalid cors_origin '{origin}': write https://app.example, or * for all"
                )),
            },
        }
    }
}

/// Returns `true` for an origin as browsers send it: scheme, host, and the port if it is not the default.
fn is_origin(text: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    text.split_once("://").is_some_and(|(scheme, host)| {
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        is_scheme && !scheme.is_empty() && !host.is_empty() && host.bytes().all(is_name_byte)
    })
}

/// A `[[topics.pattern]]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternConfig {
    /// A topic name, or a prefix followed by `*`.
    topics: String,
    durability: Option<Level>,
    policy: Option<Policy>,
    mailbox_events: Option<usize>,
    mailbox_bytes: Option<usize>,
}

impl TopicConfig {
    /// Overrides the file with the environment and the flags, and reads the tokens unless topics are
    /// disabled.
    pub(super) fn resolve(mut self, flags: &TopicFlags) -> Result<Self, String> {
        self.data = flags.data.clone().or(self.data);
        self.durability = flags.durability.or(self.durability);
        self.policy = flags.policy.or(self.policy);
        self.mailbox_events = flags.mailbox_events.or(self.mailbox_events);
        self.mailbox_bytes = flags.mailbox_bytes.or(self.mailbox_bytes);
        if !flags.cors_origin.is_empty() {
            self.cors_origin = Origins::Many(flags.cors_origin.clone());
        }
        self.ws_publish |= flags.ws_publish;
        if flags.no_topics {
            self.enabled = Some(false);
        }
        if self.is_enabled() {
            let publish = (flags.publish_token.clone(), flags.publish_token_file.clone());
            let configured = (self.publish_token.take(), self.publish_token_file.take());
            self.publish_token =
                Token::resolve("topics.publish_token", publish, "WINDLASS_PUBLISH_TOKEN", configured)?;
            let subscribe = (flags.subscribe_token.clone(), flags.subscribe_token_file.clone());
            let configured = (self.subscribe_token.take(), self.subscribe_token_file.take());
            self.subscribe_token =
                Token::resolve("topics.subscribe_token", subscribe, "WINDLASS_SUBSCRIBE_TOKEN", configured)?;
        }
        Ok(self)
    }

    /// Returns `true` if topics are served.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// Checks the settings, and that publishing needs a token if other machines can reach one of the
    /// addresses. With identities it always does. Checks nothing if topics are disabled.
    pub(super) fn check(&self, listens: &[Listen], has_identities: bool) -> Result<(), String> {
        if !self.is_enabled() {
            return Ok(());
        }
        self.settings()?;
        self.access()?;
        let public = listens.iter().find(|listen| is_public(listen));
        match (public, &self.publish_token) {
            (Some(listen), None) if !has_identities => Err(format!(
                "everyone could publish on {listen}: set --publish-token-file (or topics.publish_token or \
                 [auth] in the configuration file), listen on a loopback address, or use --no-topics"
            )),
            _ => Ok(()),
        }
    }

    /// Creates the broker, and with a data directory opens its store. Returns `None` if topics are disabled.
    pub(super) fn broker(&self) -> Result<Option<Served>, Failure> {
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
        let default = if self.data.is_some() { Durability::Fsynced } else { Durability::None };
        settings.policy.durability = self.durability_or("topics", self.durability, default)?;
        for pattern in &self.pattern {
            let name = format!("topics.pattern '{}'", pattern.topics);
            let bounds = (pattern.mailbox_events, pattern.mailbox_bytes);
            let mut policy = policy(&name, &settings.policy, pattern.policy, bounds)?;
            policy.durability = self.durability_or(&name, pattern.durability, policy.durability)?;
            settings.patterns.push((pattern.topics.clone(), policy));
        }
        settings.logs = self.logs()?;
        settings.sse_topic = self.sse_topic.map_or_else(SseTopic::default, SseTopic::from);
        if let Some(heartbeat) = &self.heartbeat {
            settings.heartbeat =
                if heartbeat == "off" { None } else { Some(duration("heartbeat", heartbeat)?) };
            if settings.heartbeat.is_some_and(|interval| interval.is_zero()) {
                return Err(
                    "topics: heartbeat must be longer than \"0s\": write \"off\" to disable it".to_owned()
                );
            }
        }
        let duration_of =
            |key, text: &Option<String>| text.as_deref().map(|text| duration(key, text)).transpose();
        settings.topic_idle = duration_of("forget_after", &self.forget_after)?;
        settings.topics = self.max_topics.unwrap_or(settings.topics);
        settings.subscriptions = self.max_subscriptions.unwrap_or(settings.subscriptions);
        settings.client_subscriptions =
            self.max_client_subscriptions.unwrap_or(settings.client_subscriptions);
        settings.retry = duration_of("retry", &self.retry)?;
        Ok(settings)
    }

    /// Returns the logs of several topics. Returns an error text if a name is no word or occurs twice.
    fn logs(&self) -> Result<Vec<TopicLog>, String> {
        let mut logs = Vec::<TopicLog>::new();
        for LogConfig { name, topics } in &self.log {
            if name.parse::<TopicName>().is_err() || name.len() > 200 {
                return Err(format!(
                    "topics.log '{name}': invalid name: use up to 200 letters, digits and -_."
                ));
            }
            if logs.iter().any(|log| log.name == *name) {
                return Err(format!("topics.log '{name}': another log has this name"));
            }
            logs.push(TopicLog::new(name, topics));
        }
        Ok(logs)
    }

    /// Returns the durability of a section, or `default` if the section sets none. Returns an error text for
    /// a durability that needs a data directory if there is none.
    fn durability_or(
        &self,
        section: &str,
        level: Option<Level>,
        default: Durability,
    ) -> Result<Durability, String> {
        match level {
            Some(Level::Buffered | Level::Fsynced) if self.data.is_none() => {
                Err(format!("{section}: durability on disk needs a data directory: set --data DIR"))
            }
            level => Ok(level.map_or(default, Durability::from)),
        }
    }

    /// Returns the access rules.
    pub(super) fn access(&self) -> Result<TopicAccess, String> {
        let mut access = TopicAccess::default();
        access.ws_publish = self.ws_publish;
        access.ws_subprotocols.clone_from(&self.ws_subprotocols);
        access.publish_token.clone_from(&self.publish_token);
        access.subscribe_token.clone_from(&self.subscribe_token);
        access.origins = self.cors_origin.checked()?;
        Ok(access)
    }
}

/// A broker and its store.
pub(super) struct Served {
    pub(super) broker: Broker,
    #[cfg(feature = "durable")]
    store: Option<Arc<DurableStore>>,
}

impl Served {
    #[cfg(feature = "durable")]
    fn durable(settings: BrokerSettings, directory: &Path) -> Result<Self, Failure> {
        // The store needs the hook before the broker exists.
        let counter = Arc::new(OnceLock::<Broker>::new());
        let counted = Arc::clone(&counter);
        // The store logs its failures itself.
        let on_error = ErrorHook::new(move |error| {
            counted.get().into_iter().for_each(|broker| broker.store_failed(error));
        });
        let mut options = StoreOptions::default();
        options.on_error = on_error;
        let opened = DurableStore::open(directory, options);
        let failed = |error: StoreError| {
            let message = format!("--data {}: {error}", directory.display());
            if error.is_disk_full() { Failure::Failed(message) } else { Failure::Refused(message) }
        };
        let store = Arc::new(opened.map_err(failed)?);
        let broker = Broker::with_store(settings, store.clone());
        // Set only here.
        let _ = counter.set(broker.clone());
        Ok(Self { broker, store: Some(store) })
    }

    #[cfg(not(feature = "durable"))]
    fn durable(_: BrokerSettings, directory: &Path) -> Result<Self, Failure> {
        Err(Failure::Refused(format!(
            "--data {}: this build has no durable store: build it with the feature `durable`",
            directory.display()
        )))
    }

    /// Writes buffered events to disk and closes the store. Does nothing for a broker in memory.
    pub(super) fn close(self) -> Result<(), String> {
        #[cfg(feature = "durable")]
        if let Some(store) = self.store {
            return store.close().map_err(|error| format!("topic store did not close cleanly: {error}"));
        }
        Ok(())
    }
}

/// Returns the policy of a section: its own settings over the defaults. Returns an error text if a mailbox
/// has no capacity.
fn policy(
    section: &str,
    default: &TopicPolicy,
    overflow: Option<Policy>,
    (events, bytes): (Option<usize>, Option<usize>),
) -> Result<TopicPolicy, String> {
    let mut policy = default.clone();
    policy.overflow =
        overflow.map_or(default.overflow.clone(), |policy| fanout::Policy::from(Overflow::from(policy)));
    policy.mailbox_events = events.unwrap_or(default.mailbox_events);
    policy.mailbox_bytes = bytes.unwrap_or(default.mailbox_bytes);
    if policy.mailbox_events == 0 || policy.mailbox_bytes == 0 {
        return Err(format!("{section}: mailbox_events and mailbox_bytes must be at least 1"));
    }
    Ok(policy)
}

fn duration(name: &str, text: &str) -> Result<Duration, String> {
    let invalid = |_| format!("topics: invalid {name} \"{text}\": write a duration such as \"15s\"");
    humantime::parse_duration(text).map_err(invalid)
}

/// Returns `true` if other machines can reach an address.
fn is_public(listen: &Listen) -> bool {
    match listen {
        Listen::Tcp(address) => match address.ip() {
            IpAddr::V4(ip) => !ip.is_loopback(),
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        },
        // The permissions of its file control access.
        Listen::Unix(_) => false,
        // Only processes of this machine reach it, as on a loopback address.
        Listen::Abstract(_) => false,
    }
}
