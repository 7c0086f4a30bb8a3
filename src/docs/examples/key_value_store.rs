//! A key-value store in memory: shared state, byte bodies with a limit, and a group for administrators.
//!
//! ```sh
//! cargo run --example key_value_store
//! curl -d 'some bytes' http://127.0.0.1:8080/keys/a
//! curl http://127.0.0.1:8080/keys/a
//! curl -u admin:secret -X DELETE http://127.0.0.1:8080/admin/keys
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use windlass::{
    Router, Server, StopSignal, delete,
    extract::{Path, State},
    get,
    http::StatusCode,
    middleware::{BasicAuth, RequestIds, Trace},
    post,
};

/// The keys and their values. Handlers run inline and never hold the lock across an `await`. Listing or
/// removing all keys holds it for a time that grows with their number.
type Store = Arc<RwLock<BTreeMap<String, Bytes>>>;

/// Maximum size of a value, bytes.
const VALUE_BYTES: usize = 64 * 1024;

/// Returns the routes, with an empty store.
pub fn router() -> Router {
    Router::new()
        .state(Store::default())
        .with(RequestIds::new())
        .with(Trace::new())
        .route(get("/keys", list))
        .route(get("/keys/{key}", read))
        .route(post("/keys/{key}", write).body_limit(VALUE_BYTES))
        .group("/admin", |admin| {
            admin
                .with(BasicAuth::new("administrators").user("admin", "secret"))
                .route(delete("/keys", remove_all))
                .route(delete("/keys/{key}", remove))
        })
}

async fn list(State(store): State<Store>) -> String {
    let store = store.read().unwrap_or_else(PoisonError::into_inner);
    store.keys().map(|key| format!("{key}\n")).collect()
}

async fn read(State(store): State<Store>, Path(key): Path<String>) -> Result<Bytes, StatusCode> {
    let store = store.read().unwrap_or_else(PoisonError::into_inner);
    store.get(&key).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn write(State(store): State<Store>, Path(key): Path<String>, value: Bytes) {
    store.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
}

async fn remove_all(State(store): State<Store>) {
    store.write().unwrap_or_else(PoisonError::into_inner).clear();
}

async fn remove(State(store): State<Store>, Path(key): Path<String>) -> StatusCode {
    match store.write().unwrap_or_else(PoisonError::into_inner).remove(&key) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

#[allow(dead_code, reason = "the tests call `router` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signal = StopSignal::new()?;
    let server = Server::builder().listen("127.0.0.1:8080").router(router()).start()?;
    println!("serving on {:?}", server.addresses());
    println!("{}", server.run(signal));
    Ok(())
}
