//! JSON in and out: a handler that creates a user, and one that greets.
//!
//! ```sh
//! cargo run --example users
//! curl -i -H 'content-type: application/json' -d '{"name":"ann"}' http://127.0.0.1:8080/users
//! ```

use serde::{Deserialize, Serialize};
use windlass::{Json, Router, Server, StopSignal, get, http::StatusCode, post};

/// Body of a request for a new user.
#[derive(Deserialize)]
struct NewUser {
    name: String,
}

/// A user, as the response shows it.
#[derive(Serialize)]
struct User {
    id: u64,
    name: String,
}

/// Returns the routes.
pub fn router() -> Router {
    Router::new().route(get("/", greet)).route(post("/users", create))
}

async fn greet() -> &'static str {
    "Hello!\n"
}

// `Json` refuses other content types with 415, invalid JSON with 400 and a missing name with 422.
async fn create(Json(new): Json<NewUser>) -> (StatusCode, Json<User>) {
    (StatusCode::CREATED, Json(User { id: 1, name: new.name }))
}

#[allow(dead_code, reason = "the tests call `router` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signal = StopSignal::new()?;
    let server = Server::builder().listen("127.0.0.1:8080").router(router()).start()?;
    println!("serving on {:?}", server.addresses());
    println!("{}", server.run(signal));
    Ok(())
}
