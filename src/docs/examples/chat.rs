//! Chat rooms in an actor. Clients listen with an event stream and speak with `POST`.
//!
//! ```sh
//! cargo run --example chat
//! curl -N http://127.0.0.1:8080/rooms/tea?name=ann &
//! curl -d 'hello, all' http://127.0.0.1:8080/rooms/tea?name=bob
//! ```

use std::{collections::HashMap, time::Duration};

use windlass::{
    Body, BodySender, Builder, HandlerError, Rejection, Request, Response, Server, StartError,
    actors::{Actor, Addr, Context, Flow, Placement, Reply, SpawnOptions},
    get,
    http::{HeaderValue, StatusCode},
    post,
};

/// Bytes that may wait for a listener. One that lags more is removed from its room.
const BACKLOG_BYTES: usize = 64 * 1024;
/// Maximum number of rooms.
const ROOMS: usize = 1000;
/// Maximum number of listeners in all rooms.
const LISTENERS: usize = 10_000;

enum Msg {
    Join { room: String, name: String, listener: BodySender, joined: Reply<bool> },
    Say { room: String, text: String, heard: Reply<usize> },
}

/// The rooms of the server and their listeners. The actor lives on one shard, so it needs no lock.
#[derive(Default)]
struct Rooms(HashMap<String, Vec<BodySender>>);

impl Rooms {
    /// Sends a text to all listeners in a room and returns their number. Removes listeners that are gone or
    /// lag too far behind.
    fn send(&mut self, room: &str, text: &str) -> usize {
        let Some(listeners) = self.0.get_mut(room) else { return 0 };
        // A line break would end the `data` field, so each line gets a field of its own.
        let lines = text.split(['\r', '\n']).map(|line| format!("data: {line}\n"));
        let event = bytes::Bytes::from(lines.collect::<String>() + "\n");
        listeners.retain_mut(|listener| listener.try_send(event.clone()).is_ok());
        let heard = listeners.len();
        if heard == 0 {
            self.0.remove(room);
        }
        heard
    }
}

impl Actor for Rooms {
    type Msg = Msg;

    async fn handle(&mut self, message: Msg, _: &mut Context<Msg>) -> Flow {
        match message {
            Msg::Join { room, name, listener, joined } => {
                self.send(&room, &format!("{name} joins"));
                let is_known = self.0.contains_key(&room);
                let listeners: usize = self.0.values().map(Vec::len).sum();
                let has_room = listeners < LISTENERS && (is_known || self.0.len() < ROOMS);
                if has_room {
                    self.0.entry(room).or_default().push(listener);
                }
                joined.send(has_room);
            }
            Msg::Say { room, text, heard } => heard.send(self.send(&room, &text)),
        }
        Flow::Continue
    }
}

/// Time that the actor may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

async fn listen(rooms: Addr<Msg>, request: Request) -> Result<Response, HandlerError> {
    let (room, name) = (request.param_as("room")?, name_of(&request));
    let (listener, body) = Body::channel(BACKLOG_BYTES);
    if !rooms.ask(|joined| Msg::Join { room, name, listener, joined }, ASK_TIMEOUT).await? {
        return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "The chat is full.").into());
    }
    Ok(Response::typed(HeaderValue::from_static("text/event-stream"), body))
}

async fn say(rooms: Addr<Msg>, mut request: Request) -> Result<String, HandlerError> {
    let (room, name) = (request.param_as("room")?, name_of(&request));
    let body = request.take_body().collect(4096).await.map_err(Rejection::from)?;
    let text = format!("{name}: {}", String::from_utf8_lossy(&body));
    let heard = rooms.ask(|heard| Msg::Say { room, text, heard }, ASK_TIMEOUT).await?;
    Ok(format!("{heard} heard it\n"))
}

fn name_of(request: &Request) -> String {
    request.query_value("name").map_or("somebody".to_owned(), |name| name.replace(['\r', '\n'], " "))
}

/// Starts a server with the chat.
///
/// # Errors
///
/// The server cannot start.
pub fn start(builder: Builder) -> Result<Server, StartError> {
    builder
        .with_actors(|system, routes| {
            let rooms = system.spawn(Placement::LeastLoaded, SpawnOptions::named("rooms"), Rooms::default)?;
            let listening = rooms.clone();
            Ok(routes
                .route(get("/rooms/{room}", move |request| listen(listening.clone(), request)))
                .route(post("/rooms/{room}", move |request| say(rooms.clone(), request)).body_limit(4096)))
        })
        .start()
}

#[allow(dead_code, reason = "the tests call `start` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = start(Server::builder().listen("127.0.0.1:8080"))?;
    println!("serving on {:?}; press Enter to stop", server.addresses());
    std::io::stdin().read_line(&mut String::new())?;
    println!("{}", server.drain(Some(Duration::from_secs(1))));
    Ok(())
}
