//! The smallest server: one route that answers with HTML.
//!
//! ```sh
//! cargo run --example hello_world
//! curl http://127.0.0.1:8080/
//! ```

use windlass::{Html, Router, Server, StopSignal, get};

/// Returns the routes.
pub fn router() -> Router {
    Router::new().route(get("/", hello))
}

async fn hello() -> Html<&'static str> {
    Html("<h1>Hello, world!</h1>\n")
}

#[allow(dead_code, reason = "the tests call `router` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signal = StopSignal::new()?;
    let server = Server::builder().listen("127.0.0.1:8080").router(router()).start()?;
    println!("serving on {:?}", server.addresses());
    println!("{}", server.run(signal));
    Ok(())
}
