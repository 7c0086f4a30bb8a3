//! `windlass serve`: start, wait for signals, drain.

use std::{sync::Arc, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{config::Config, demo, logs, page, secure, sockets, systemd, topics::Served};
use windlass::{Builder, Operations, Router, Server, broker::Broker, topic_routes};

/// Serves until a signal. The error is what to tell the user.
pub(super) fn run(config: Config) -> Result<(), String> {
    let (listeners, sockets) = sockets::resolve(config.listeners()?)?;
    config.check_exposure(&listeners)?;
    let _logs = logs::start(config.access_log);
    raise_file_limit();
    // Before the shards start, so that their threads inherit the handlers and no signal is lost.
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| format!("cannot catch signals: {e}"))?;
    let topics = config.topics.broker()?;
    let broker = topics.as_ref().map(|topics| &topics.broker);
    let builder = secure::listen(sockets.into_iter().fold(Server::builder(), Builder::inherit), listeners)?;
    let server = Arc::new(start(builder, &config, broker)?);
    for address in server.addresses() {
        tracing::info!(%address, shards = server.system().shards(), "serving");
    }
    systemd::ready();
    wait(&mut signals, &server);
    systemd::stopping();
    cut_on_signal(signals, server.clone())?;
    tracing::info!("draining; a second signal ends at once");
    // Not within the macro: what the drain logs itself would confuse the filters of this event.
    let report = server.drain(None);
    tracing::info!("{report}");
    topics.map_or(Ok(()), Served::close)
}

fn start(builder: Builder, config: &Config, broker: Option<&Broker>) -> Result<Server, String> {
    let router = Router::new().route(page::route(config));
    let router = if config.demo() { demo::add(router, config.demo_blocking) } else { router };
    #[cfg(feature = "ws")]
    let hub = windlass::hub::Hub::new(windlass::hub::HubSettings::default());
    #[cfg(feature = "ws")]
    let router = if config.demo() { demo::add_chat(router, &hub) } else { router };
    let router = match broker {
        Some(broker) => topic_routes(router, broker, config.topics.access()?),
        None => router,
    };
    let mut builder = builder
        .router(router)
        .limits(config.limits.clone())
        .timeouts(config.timeouts.clone())
        .pool(config.pool.clone())
        .engine(config.engine)
        .http2(config.http2())
        .cores(config.cores()?)
        .trusted_proxies(config.trusted_proxies()?)
        .listen_options(config.listen_options())
        .operations(Operations::usual());
    #[cfg(feature = "http2")]
    {
        builder = builder.h2c_upgrade(config.h2c_upgrade);
    }
    if let Some(broker) = broker {
        builder = builder.broker(broker);
    }
    #[cfg(feature = "ws")]
    if config.demo() {
        builder = builder.hub(&hub);
    }
    if config.access_log {
        builder = builder.hooks(logs::access_hooks());
    }
    builder.start().map_err(|error| error.to_string())
}

/// Returns at the first signal that ends the server; HUP reads certificates again.
fn wait(signals: &mut Signals, server: &Server) {
    for signal in signals.forever() {
        if signal != SIGHUP {
            return;
        }
        secure::reload(server);
    }
}

/// Ends the drain's grace at the next signal; the thread for it lives as long as the process.
fn cut_on_signal(mut signals: Signals, server: Arc<Server>) -> Result<(), String> {
    let listen = move || {
        for signal in signals.forever() {
            if signal != SIGHUP {
                tracing::warn!("a second signal: cutting what still runs");
                server.cut();
            }
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(listen);
    thread.map(|_| ()).map_err(|error| format!("cannot start a thread for signals: {error}"))
}

/// Takes all the open files this process may have: each connection is one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised is one to live with; doctor tells of it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
