//! A server inside a program that has a life of its own: it is started, watched and stopped like any other part of it.
//!
//! Windlass takes no signal handlers and has no global state; the program decides when it ends. Its figures go into the
//! program's own registry.
//!
//! ```sh
//! cargo run --example embedded
//! ```

use std::time::Duration;

use windlass::{Builder, DrainReport, Request, Router, Server, get};

async fn slow(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(200)).await;
    "answered to the end\n"
}

/// Serves until `stop` ends, then answers what is in progress and returns how that went.
///
/// It is a future of the program's own runtime; the server has threads of its own, and blocks none of the runtime's.
///
/// # Errors
///
/// The server does not start, or the registry has its figures already.
pub async fn serve(
    builder: Builder,
    started: impl FnOnce(&Server),
    stop: impl Future<Output = ()>,
) -> Result<DrainReport, Box<dyn std::error::Error>> {
    let router = Router::new().route(get("/slow", slow).run_async()).route(get("/", |_: Request| "hello\n"));
    let server = builder.router(router).start()?;
    let registry = prometheus::Registry::new();
    registry.register(Box::new(server.collector()))?;
    started(&server);

    stop.await;
    let figures = server.metrics();
    println!("{} requests, {} async routes; stopping", figures.requests, figures.async_routes);
    // A drain blocks its thread, so it gets one.
    let report = tokio::task::spawn_blocking(move || server.drain(Some(Duration::from_secs(5)))).await?;
    println!("{} families of figures at the end", registry.gather().len());
    Ok(report)
}

#[allow(dead_code, reason = "the tests start it by themselves")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let a_while = async { tokio::time::sleep(Duration::from_secs(30)).await };
    let builder = Server::builder().listen("127.0.0.1:8080".parse()?);
    let report =
        runtime.block_on(serve(builder, |server| println!("at {:?}", server.addresses()), a_while))?;
    println!("{report}");
    Ok(())
}
