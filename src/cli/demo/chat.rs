//! A chat: every message goes to every member of one hub.

use windlass::{
    Route,
    hub::{Hub, Member},
    websocket_with,
    ws::{Settings, Socket},
};

/// Largest message of a member, bytes.
const MESSAGE_BYTES: usize = 4 * 1024;

/// Makes the route of the chat's sockets.
pub(super) fn route(hub: &Hub) -> Route {
    let hub = hub.clone();
    websocket_with("/chat", Settings::new().message_bytes(MESSAGE_BYTES), move |socket| {
        talk(socket, hub.clone())
    })
}

async fn talk(mut socket: Socket, hub: Hub) {
    let Ok(member) = hub.register(&mut socket) else { return };
    let _presence = Presence { hub: hub.clone(), member };
    tell_members(&hub);
    while let Some(Ok(message)) = socket.recv().await {
        drop(hub.broadcast(&message));
    }
}

/// Tells everybody how many are there; the page knows it from what members say by its being a number.
fn tell_members(hub: &Hub) {
    drop(hub.broadcast(hub.len().to_string()));
}

/// Leaves the hub, also where the client is gone without a word.
struct Presence {
    hub: Hub,
    member: Member,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.member.unregister();
        tell_members(&self.hub);
    }
}
