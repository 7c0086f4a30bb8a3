//! A chat: each room is an actor, whoever listens has an event stream, whoever speaks posts.
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

/// What one listener may lag behind before it is dropped from its room, bytes.
const LAG_BYTES: usize = 64 * 1024;
const ROOMS: usize = 1000;
const LISTENERS: usize = 10_000;

enum Msg {
    Join { room: String, name: String, listener: BodySender, joined: Reply<bool> },
    Say { room: String, text: String, heard: Reply<usize> },
}

/// All rooms of the server. They live on one shard, so nothing here needs a lock.
#[derive(Default)]
struct Rooms(HashMap<String, Vec<BodySender>>);

impl Rooms {
    /// Hands a text to everybody in a room; who is gone, or lags too far behind, is no longer in it.
    fn tell(&mut self, room: &str, text: &str) -> usize {
        let Some(listeners) = self.0.get_mut(room) else { return 0 };
        // A line break of any kind would end the line of the event.
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
                self.tell(&room, &format!("{name} comes in"));
                let is_known = self.0.contains_key(&room);
                let listeners: usize = self.0.values().map(Vec::len).sum();
                let has_room = listeners < LISTENERS && (is_known || self.0.len() < ROOMS);
                if has_room {
                    self.0.entry(room).or_default().push(listener);
                }
                joined.send(has_room);
            }
            Msg::Say { room, text, heard } => heard.send(self.tell(&room, &text)),
        }
        Flow::Continue
    }
}

const PATIENCE: Duration = Duration::from_secs(1);

async fn listen(rooms: Addr<Msg>, request: Request) -> Result<Response, HandlerError> {
    let (room, name) = (request.param_as("room")?, name_of(&request));
    let (listener, body) = Body::channel(LAG_BYTES);
    if !rooms.ask(|joined| Msg::Join { room, name, listener, joined }, PATIENCE).await? {
        return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "all rooms are full").into());
    }
    Ok(Response::typed(HeaderValue::from_static("text/event-stream"), body))
}

async fn say(rooms: Addr<Msg>, mut request: Request) -> Result<String, HandlerError> {
    let (room, name) = (request.param_as("room")?, name_of(&request));
    let said = request.take_body().collect(4096).await.map_err(Rejection::from)?;
    let text = format!("{name}: {}", String::from_utf8_lossy(&said));
    let heard = rooms.ask(|heard| Msg::Say { room, text, heard }, PATIENCE).await?;
    Ok(format!("{heard} heard it\n"))
}

fn name_of(request: &Request) -> String {
    request.query_value("name").map_or("somebody".to_owned(), |name| name.replace(['\r', '\n'], " "))
}

/// Starts the chat on a server that listens where `builder` says.
///
/// # Errors
///
/// The server does not start.
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

#[allow(dead_code, reason = "the tests start it by themselves")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = start(Server::builder().listen("127.0.0.1:8080".parse()?))?;
    println!("chat at {:?}; Enter ends", server.addresses());
    std::io::stdin().read_line(&mut String::new())?;
    println!("{}", server.drain(Some(Duration::from_secs(1))));
    Ok(())
}
