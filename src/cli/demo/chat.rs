//! A chat: a hub that broadcasts every message to all members.

use windlass::{
    Route,
    hub::{Hub, Member},
    websocket_with,
    ws::{Settings, Socket},
};

/// Maximum size of a message, bytes.
const MESSAGE_BYTES: usize = 4 * 1024;

/// Returns the route of the chat's WebSockets.
pub(super) fn route(hub: &Hub) -> Route {
    let hub = hub.clone();
    websocket_with("/chat", Settings::new().message_bytes(MESSAGE_BYTES), move |socket| {
        talk(socket, hub.clone())
    })
}

async fn talk(mut socket: Socket, hub: Hub) {
    let Ok(member) = hub.register(&mut socket) else { return };
    let _presence = Presence { hub: hub.clone(), member };
    broadcast_count(&hub);
    while let Some(Ok(message)) = socket.recv().await {
        drop(hub.broadcast(&message));
    }
}

/// Sends all members their number. The page distinguishes it from chat messages, which are objects.
fn broadcast_count(hub: &Hub) {
    drop(hub.broadcast(hub.len().to_string()));
}

/// Unregisters the member when it is dropped, which also happens if the connection is lost.
struct Presence {
    hub: Hub,
    member: Member,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.member.unregister();
        broadcast_count(&self.hub);
    }
}
