//! A server inside an async program, which starts it, reads its metrics and stops it.
//!
//! The library installs no signal handler and has no global state: the program decides when the server stops.
//! Its metrics go into the program's own registry.
//!
//! ```sh
//! cargo run --example embedded
//! ```

use std::time::Duration;

use windlass::{Builder, DrainReport, Request, Router, Server, get};

async fn slow(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(200)).await;
    "done\n"
}

/// Serves until `stop` completes, then finishes the open requests and returns the report.
///
/// It runs on the program's own runtime. The server has its own threads and does not block the runtime.
///
/// # Errors
///
/// The server cannot start.
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

    let report = server.run_until(stop).await;
    println!("{} metrics in the registry", registry.gather().len());
    Ok(report)
}

#[allow(dead_code, reason = "the tests call `start` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let stop = async { tokio::time::sleep(Duration::from_secs(30)).await };
    let builder = Server::builder().listen("127.0.0.1:8080");
    let report =
        runtime.block_on(serve(builder, |server| println!("serving on {:?}", server.addresses()), stop))?;
    println!("{report}");
    Ok(())
}
