//! `windlass serve`: starts the server, waits for signals and drains.

use std::{sync::Arc, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{
    config::Config,
    demo,
    logs::{self, Logs},
    page, secure, sockets, systemd,
    topics::Served,
};
use windlass::{Builder, DrainReport, Operations, Router, Server, broker::Broker, topic_routes};

/// Serves until a signal arrives. Returns an error message for the user.
pub(super) fn run(config: Config) -> Result<(), String> {
    let (listeners, sockets) = sockets::resolve(config.listeners()?)?;
    config.check_exposure(&listeners)?;
    let logs = Logs::start(config.access_log).map_err(|error| format!("cannot start the logs: {error}"))?;
    raise_file_limit();
    // Before the server starts, so that no signal is missed.
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| format!("cannot handle signals: {error}"))?;
    let topics = config.topics.broker()?;
    let broker = topics.as_ref().map(|topics| &topics.broker);
    let builder = secure::listen(sockets.into_iter().fold(Server::builder(), Builder::inherit), listeners)?;
    let builder = builder.lost_log_lines(logs.lost_lines());
    let server = Arc::new(start(builder, &config, broker)?);
    for address in server.addresses() {
        tracing::info!(%address, shards = server.system().shards(), "serving");
    }
    systemd::ready();
    wait_for_stop(&mut signals, &server);
    systemd::stopping();
    cut_on_signal(signals, server.clone())?;
    tracing::info!("draining, send a second signal to stop at once");
    log_report(&server.drain(None));
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

fn log_report(report: &DrainReport) {
    let (drained, cut) = (report.drained, report.cut_total());
    let took_ms = report.duration.as_millis() as u64;
    if report.cut.is_empty() {
        tracing::info!(drained, cut, took_ms, "drain complete");
    } else {
        let activity = &report.cut;
        tracing::warn!(drained, cut, ?activity, took_ms, "drain complete, some connections were cut");
    }
    let actors = &report.system;
    if actors.is_clean() {
        let (stopped, handled) = (actors.actors_stopped, actors.messages_drained);
        tracing::info!(
            stopped,
            messages_handled = handled,
            messages_dropped = actors.messages_dropped,
            "actors stopped"
        );
    } else {
        tracing::warn!(report = ?actors, "actors did not stop cleanly");
    }
}

/// Waits for a signal that stops the server. SIGHUP reloads the certificates.
fn wait_for_stop(signals: &mut Signals, server: &Server) {
    for signal in signals.forever() {
        if signal != SIGHUP {
            return;
        }
        secure::reload(server);
    }
}

/// Ends the grace of the drain at the next signal. Its thread runs until the process exits.
fn cut_on_signal(mut signals: Signals, server: Arc<Server>) -> Result<(), String> {
    let listen = move || {
        for signal in signals.forever() {
            if signal != SIGHUP {
                tracing::warn!("second signal, closing all connections");
                server.cut();
            }
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(listen);
    thread.map(|_| ()).map_err(|error| format!("cannot start the signal thread: {error}"))
}

/// Raises the limit of open files to the maximum. Each connection is an open file.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // The server also works with the lower limit. `windlass doctor` reports it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
