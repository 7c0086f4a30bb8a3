//! A REST service for a list of things to do: query parameters, JSON bodies, status codes, JSON errors.
//!
//! ```sh
//! cargo run --example todos
//! curl -H 'content-type: application/json' -d '{"text":"write"}' http://127.0.0.1:8080/todos
//! curl 'http://127.0.0.1:8080/todos?offset=0&limit=10'
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use windlass::{
    ErrorContext, Json, Response, Router, Server, StopSignal, delete,
    extract::{Path, Query, State},
    get,
    http::StatusCode,
    patch, post,
};

/// Maximum number of entries. Further ones are refused.
const ENTRIES: usize = 10_000;

/// An entry of the list.
#[derive(Clone, Serialize)]
struct Todo {
    id: u64,
    text: String,
    done: bool,
}

/// The entries by their number, and the next number.
#[derive(Default)]
struct List {
    next: u64,
    entries: BTreeMap<u64, Todo>,
}

#[derive(Clone, Default)]
struct Todos(Arc<Mutex<List>>);

impl Todos {
    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the list.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct NewTodo {
    text: String,
}

/// A change of an entry. What is absent stays as it is.
#[derive(Deserialize)]
struct Change {
    text: Option<String>,
    done: Option<bool>,
}

/// Returns the routes, with an empty list.
pub fn router() -> Router {
    Router::new()
        .state(Todos::default())
        .group("/todos", |todos| {
            todos
                .route(get("/", list))
                .route(post("/", create))
                .route(patch("/{id}", change))
                .route(delete("/{id}", remove))
        })
        .on_error_response(as_json)
}

async fn list(State(todos): State<Todos>, Query(page): Query<Page>) -> Json<Vec<Todo>> {
    let list = todos.list();
    let limit = page.limit.unwrap_or(usize::MAX);
    Json(list.entries.values().skip(page.offset).take(limit).cloned().collect())
}

async fn create(
    State(todos): State<Todos>,
    Json(new): Json<NewTodo>,
) -> Result<(StatusCode, Json<Todo>), StatusCode> {
    let mut list = todos.list();
    if list.entries.len() >= ENTRIES {
        return Err(StatusCode::INSUFFICIENT_STORAGE);
    }
    list.next += 1;
    let todo = Todo { id: list.next, text: new.text, done: false };
    list.entries.insert(todo.id, todo.clone());
    Ok((StatusCode::CREATED, Json(todo)))
}

async fn change(
    State(todos): State<Todos>,
    Path(id): Path<u64>,
    Json(change): Json<Change>,
) -> Result<Json<Todo>, StatusCode> {
    let mut list = todos.list();
    let todo = list.entries.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    if let Some(text) = change.text {
        todo.text = text;
    }
    todo.done = change.done.unwrap_or(todo.done);
    Ok(Json(todo.clone()))
}

async fn remove(State(todos): State<Todos>, Path(id): Path<u64>) -> StatusCode {
    match todos.list().entries.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

/// Gives the responses that the server creates itself a JSON body.
fn as_json(context: &ErrorContext<'_>, response: Response) -> Response {
    let body = format!(r#"{{"error":"{:?}"}}"#, context.cause());
    response.with_header("content-type", "application/json").with_body(body)
}

#[allow(dead_code, reason = "the tests call `router` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signal = StopSignal::new()?;
    let server = Server::builder().listen("127.0.0.1:8080").router(router()).start()?;
    println!("serving on {:?}", server.addresses());
    println!("{}", server.run(signal));
    Ok(())
}
