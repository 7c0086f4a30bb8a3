//! `windlass serve`: starts the server, waits for signals and drains.

use std::{os::fd::OwnedFd, sync::Arc};

use super::{
    args,
    auth::Auth,
    config::Config,
    demo,
    failure::Failure,
    listeners::Listener,
    logs::{self, Logs},
    page, secure,
    signals::{Caught, Life},
    sockets, systemd,
    topics::Served,
};
use windlass::{
    Builder, DrainReport, Operations, Router, Server, TopicAccess, actors::error::ShardFailure,
    broker::Broker, identity::Subjects, topic_routes,
};

/// Serves until a signal arrives or a shard fails, then drains the server and closes the topic store.
///
/// # Errors
///
/// The server could not start, the topic store did not close cleanly, or a shard failed. The text is for the
/// user.
pub(super) fn run(args: &args::Serve) -> Result<(), Failure> {
    let signals = Caught::new()?;
    let config = Config::resolve(args)?;
    let (listeners, sockets) = sockets::resolve(config.listeners()?)?;
    config.check_exposure(&listeners)?;
    let logs = Logs::start(config.access_log)
        .map_err(|error| format!("cannot start the threads that write the logs: {error}"))?;
    let logs = Arc::new(logs);
    raise_file_limit();
    let ended = signals
        .handle(logs.clone())
        .map_err(Failure::Refused)
        .and_then(|life| serve(&config, listeners, sockets, &life, &logs));
    logs.finish();
    ended
}

fn serve(
    config: &Config,
    listeners: Vec<Listener>,
    sockets: Vec<OwnedFd>,
    life: &Life,
    logs: &Logs,
) -> Result<(), Failure> {
    let builder = secure::listen(sockets.into_iter().fold(Server::builder(), Builder::inherit), listeners)?;
    let topics = config.topics.broker()?;
    let broker = topics.as_ref().map(|topics| &topics.broker);
    let builder = builder.lost_log_lines(logs.lost_lines()).on_shard_failure(stop_after_failure);
    life.start();
    let auth = config.auth.as_ref().map(Auth::new).transpose()?;
    let server = Arc::new(start(builder, config, broker, auth.as_ref())?);
    if let Some(auth) = auth {
        life.on_reload(move || auth.reload());
    }
    for address in server.addresses() {
        tracing::info!(%address, shards = server.system().shards(), "serving");
    }
    systemd::ready();
    life.serve(&server);
    systemd::stopping();
    tracing::info!("draining, send SIGTERM or SIGINT again to close all connections at once");
    let report = server.drain(None);
    log_report(&report);
    life.close();
    topics.map_or(Ok(()), Served::close).map_err(Failure::Failed)?;
    match report.system.failures.first() {
        None => Ok(()),
        Some(failure) => Err(Failure::Failed(failure.to_string())),
    }
}

/// Logs that a shard has failed and sends SIGTERM to this process, which drains the server.
fn stop_after_failure(_: &ShardFailure) {
    tracing::error!("a shard has failed, stopping so that the supervisor starts the server again");
    // Fails only for a signal that does not exist.
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
}

fn start(
    builder: Builder,
    config: &Config,
    broker: Option<&Broker>,
    auth: Option<&Auth>,
) -> Result<Server, String> {
    let access = access(config, auth)?;
    let (builder, router) = operators(builder, config, &access.subjects)?;
    let router = config.file_routes()?.into_iter().fold(router, Router::route);
    let router = if config.demo() { demo::add(router, config.demo_blocking) } else { router };
    #[cfg(feature = "ws")]
    let hub = windlass::hub::Hub::new(windlass::hub::HubSettings::default());
    #[cfg(feature = "ws")]
    let router = if config.demo() { demo::add_chat(router, &hub) } else { router };
    let router = match broker {
        Some(broker) => topic_routes(router, broker, access),
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
        .listen_options(config.listen_options());
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

/// Adds metrics, health checks, the live page and the admin routes: to the admin listener if there is one.
/// The other listeners then have health checks only. Returns the router of the other listeners.
fn operators(builder: Builder, config: &Config, subjects: &Subjects) -> Result<(Builder, Router), String> {
    // A page of the files may be at the path of the live page.
    let has_page = config.admin.has_listener() || !config.has_files_at_root();
    let router = if has_page { Router::new().route(page::route(config)) } else { Router::new() };
    let router = config.admin.add_routes(router, subjects);
    let Some(listen) = config.admin.listen()? else {
        return Ok((builder.operations(Operations::usual()), router));
    };
    let listener = windlass::Listener::new(listen).router(router).operations(Operations::usual());
    let mut public = Operations::usual();
    (public.metrics, public.live) = (None, None);
    Ok((builder.listener(listener).operations(public), Router::new()))
}

/// Returns the access rules of the topics.
fn access(config: &Config, auth: Option<&Auth>) -> Result<TopicAccess, String> {
    let mut access = config.topics.access()?;
    access.authorizer = auth.map(Auth::authorizer);
    Ok(access)
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
    if report.shards_stuck > 0 {
        let shards = report.shards_stuck;
        tracing::warn!(shards, "shards are stuck in a handler, their connections are not counted");
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

/// Raises the soft limit of open files to the hard limit. Each connection is an open file.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // The server also works with the lower limit. `windlass doctor` reports it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
