//! A chat over WebSockets. The first message of a client is its name; every other one goes to everybody.
//!
//! ```sh
//! cargo run --example websocket_chat
//! ```

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::broadcast;
use windlass::{
    IntoResponse, Router, Server, StopSignal,
    extract::State,
    get,
    ws::{Message, Socket, WebSocketUpgrade},
};

/// Number of messages that a slow client may be behind.
const BACKLOG: usize = 100;

/// Maximum number of clients in the chat.
const CLIENTS: usize = 1000;

/// The names that are taken, and the channel of the messages.
struct Chat {
    names: Mutex<HashSet<String>>,
    messages: broadcast::Sender<String>,
}

impl Chat {
    /// Returns `false` if the name is taken or empty, or if the chat is full.
    fn enter(&self, name: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.len() < CLIENTS && !name.is_empty() && names.insert(name.to_owned())
    }
}

/// Takes a client out of the chat when its handler ends, for whatever reason.
struct Present {
    chat: Arc<Chat>,
    name: String,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.chat.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        // An error means that nobody is left.
        let _ = self.chat.messages.send(format!("{} leaves", self.name));
    }
}

/// Returns the routes, with an empty chat.
pub fn router() -> Router {
    let chat = Chat { names: Mutex::default(), messages: broadcast::channel(BACKLOG).0 };
    Router::new().state(Arc::new(chat)).route(get("/chat", join))
}

async fn join(upgrade: WebSocketUpgrade, State(chat): State<Arc<Chat>>) -> impl IntoResponse {
    upgrade.on_upgrade(move |socket| talk(socket, chat))
}

async fn talk(mut socket: Socket, chat: Arc<Chat>) {
    let Some(Ok(Message::Text(name))) = socket.recv().await else { return };
    if !chat.enter(&name) {
        let _ = socket.send("this name is taken").await;
        return;
    }
    let mut messages = chat.messages.subscribe();
    let present = Present { chat: chat.clone(), name };
    let _ = chat.messages.send(format!("{} joins", present.name));
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    let _ = chat.messages.send(format!("{}: {text}", present.name));
                }
                _ => return,
            },
            message = messages.recv() => match message {
                Ok(message) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                // The client was too slow and has missed some.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
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
