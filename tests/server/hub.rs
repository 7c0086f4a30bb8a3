//! The hub: delivery to members, slow members, and closing.

mod closing;
mod slow;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use windlass::{
    Router, Server,
    actors::fanout::Overflow,
    hub::{BroadcastError, Confirmed, Hub, HubError, HubSettings, Sent},
    websocket,
    ws::{Context, Deflate, Prepared, Socket},
};

use crate::{
    common::{Peer, TIMEOUT, builder, eventually, metric},
    ws::peer::{BINARY, TEXT, close, frame, open, read, read_close, read_text},
};

const LONG: Duration = TIMEOUT;

/// Serves `/hub`, whose sockets register with their first message as identity.
fn serve(settings: HubSettings) -> (Server, Hub) {
    let hub = Hub::new(settings);
    let server = builder(routes(&hub)).hub(&hub).start().unwrap();
    (server, hub)
}

fn routes(hub: &Hub) -> Router {
    let hub = hub.clone();
    Router::new().route(websocket("/hub", move |mut socket: Socket| {
        let hub = hub.clone();
        async move {
            let Some(Ok(who)) = socket.recv().await else { return };
            let Ok(member) = hub.register_as(&mut socket, who.as_text().unwrap_or_default().to_owned())
            else {
                return;
            };
            while let Some(Ok(message)) = socket.recv().await {
                match message.as_text() {
                    Some("leave") => member.unregister(),
                    _ => drop(hub.broadcast(&message)),
                }
            }
        }
    }))
}

/// Connects and registers a member with this identity.
fn join(server: &Server, hub: &Hub, who: &str) -> Peer {
    let before = hub.len();
    let mut peer = open(server, "/hub");
    peer.send(frame(TEXT, who));
    eventually("the member is registered", || hub.len() == before + 1);
    peer
}

fn confirmed(sent: &Sent) -> Confirmed {
    pollster::block_on(sent.confirmed(LONG))
}

fn deliveries(sent: &Sent) -> usize {
    let confirmed = confirmed(sent);
    assert_eq!(confirmed.first_error, None);
    confirmed.accepted
}

#[test]
fn every_member_receives_broadcasts_in_order() {
    let (server, hub) = serve(HubSettings::default());
    let mut members: Vec<_> = (0..6).map(|n| join(&server, &hub, &n.to_string())).collect();
    for n in 0..20 {
        let sent = hub.broadcast(n.to_string());
        assert_eq!((sent.members(), deliveries(&sent)), (6, 6));
    }
    members[0].send(frame(BINARY, [1, 2, 3]));
    for member in &mut members {
        for n in 0..20 {
            assert_eq!(read_text(member), n.to_string());
        }
        assert_eq!(
            read(member),
            (BINARY, vec![1, 2, 3]),
            "a member that broadcasts must receive its own message"
        );
    }
    let page = ["windlass_hub_members", "windlass_hub_messages_total", "windlass_hub_deliveries_total"];
    assert_eq!(page.map(|sample| metric(&server, sample)), [6.0, 21.0, 126.0]);
}

#[test]
fn a_broadcast_does_not_poll_the_handler_of_a_member() {
    let (hub, polls) = (Hub::new(HubSettings::default()), Arc::new(AtomicUsize::new(0)));
    let (members, counted) = (hub.clone(), polls.clone());
    let route = websocket("/hub", move |mut socket: Socket| {
        let (hub, polls) = (members.clone(), counted.clone());
        async move {
            let Ok(_member) = hub.register(&mut socket) else { return };
            let mut next = pin!(socket.recv());
            poll_fn(|cx| {
                polls.fetch_add(1, Ordering::SeqCst);
                next.as_mut().poll(cx).map(drop)
            })
            .await;
        }
    });
    let server = builder(Router::new().route(route)).hub(&hub).start().unwrap();
    let mut peer = open(&server, "/hub");
    eventually("the member is registered", || hub.len() == 1);
    for n in 0..20 {
        drop(hub.broadcast(n.to_string()));
        assert_eq!(read_text(&mut peer), n.to_string());
    }
    assert_eq!(polls.load(Ordering::SeqCst), 1, "broadcasts must not poll the handler again");
    peer.send(frame(TEXT, "end"));
    assert_eq!(read_close(&mut peer), 1000);
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_prepared_message_is_compressed_for_members_that_negotiated_it() {
    let deflate = Deflate { threshold_bytes: 0, ..Deflate::default() };
    let settings = windlass::ws::Settings::new().compression(deflate);
    let mut hub_settings = HubSettings::default();
    hub_settings.compression = Some(deflate);
    let hub = Hub::new(hub_settings);
    let joining = hub.clone();
    let member = move |mut socket: Socket| {
        let hub = joining.clone();
        async move {
            hub.register(&mut socket).unwrap();
            while socket.recv().await.is_some() {}
        }
    };
    let route = windlass::websocket_with("/deflate", settings, member.clone());
    let server =
        builder(Router::new().route(websocket("/plain", member)).route(route)).hub(&hub).start().unwrap();
    let mut plain = open(&server, "/plain");
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut deflated = crate::ws::peer::open_at(crate::common::address(&server), "/deflate", offer);
    eventually("both members are registered", || hub.len() == 2);
    let text = "the same again and ".repeat(40);
    let prepared = hub.prepare(text.as_str());
    assert_eq!(deliveries(&hub.broadcast_prepared(&prepared)), 2);
    assert_eq!(read_text(&mut plain), text);
    let (first, payload) = read(&mut deflated);
    assert_eq!(first, 0xc1, "the frame must be compressed text");
    assert!(payload.len() * 5 < text.len(), "{}", payload.len());
    let uncompressed = Prepared::text("short");
    hub.broadcast_prepared(&uncompressed);
    assert_eq!(read_text(&mut deflated), "short");
}

/// With a kept context, each message refers to earlier ones. The shared message resets the context: the
/// handler's next message must not refer to data before it.
#[test]
fn a_compressed_broadcast_does_not_break_a_kept_context() {
    let deflate = Deflate { threshold_bytes: 0, server: Context::Kept, ..Deflate::default() };
    let mut hub_settings = HubSettings::default();
    hub_settings.compression = Some(deflate);
    let hub = Hub::new(hub_settings);
    let joining = hub.clone();
    let text = "the same again and ".repeat(40);
    let reply = text.clone();
    let member = move |mut socket: Socket| {
        let (hub, reply) = (joining.clone(), reply.clone());
        async move {
            hub.register(&mut socket).unwrap();
            while socket.recv().await.is_some() {
                socket.send(reply.as_str()).await.unwrap();
            }
        }
    };
    let settings = windlass::ws::Settings::new().compression(deflate);
    let server = builder(Router::new().route(windlass::websocket_with("/ws", settings, member)))
        .hub(&hub)
        .start()
        .unwrap();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut peer = crate::ws::peer::open_at(crate::common::address(&server), "/ws", offer);
    eventually("the member is registered", || hub.len() == 1);
    let mut exchange = || {
        let mut own = Vec::new();
        for _ in 0..2 {
            peer.send(frame(TEXT, "go on"));
            own.push(read(&mut peer));
        }
        assert_eq!(deliveries(&hub.broadcast("for all ".repeat(100).as_str())), 1);
        assert_eq!(read(&mut peer).0, 0xc1, "the frame must be compressed text");
        own
    };
    let first = exchange();
    assert!(
        first[0].0 == 0xc1 && first[1].1.len() < first[0].1.len(),
        "the second message must refer to the first"
    );
    for _ in 0..5 {
        assert_eq!(exchange(), first, "messages must refer only to data after the broadcast");
    }
}

#[test]
fn a_wake_of_the_handler_is_not_lost_beside_a_broadcast() {
    let (hub, (sender, own_messages)) = (Hub::new(HubSettings::default()), flume::unbounded::<String>());
    let joining = hub.clone();
    let member = move |mut socket: Socket| {
        let (hub, own_messages) = (joining.clone(), own_messages.clone());
        async move {
            hub.register(&mut socket).unwrap();
            while let Ok(own) = own_messages.recv_async().await {
                socket.send(own.as_str()).await.unwrap();
            }
        }
    };
    let server = builder(Router::new().route(websocket("/ws", member))).hub(&hub).start().unwrap();
    let mut peer = open(&server, "/ws");
    eventually("the member is registered", || hub.len() == 1);
    for number in 0..500 {
        // Both messages reach the connection at about the same time, and no later event would wake it again.
        let (own, all) = (format!("own {number}"), format!("all {number}"));
        sender.send(own.clone()).unwrap();
        hub.broadcast(all.as_str());
        let mut got = [read_text(&mut peer), read_text(&mut peer)];
        got.sort();
        assert_eq!(got, [all, own]);
    }
}

#[test]
fn a_member_that_moves_to_another_hub_receives_only_its_messages() {
    let rooms: Vec<_> = (0..2).map(|_| Hub::new(HubSettings::default())).collect();
    let joining = rooms.clone();
    let visitor = move |mut socket: Socket| {
        let rooms = joining.clone();
        async move {
            let mut member = rooms[0].register(&mut socket).unwrap();
            let mut room = 0;
            while socket.recv().await.is_some() {
                member.unregister();
                room = 1 - room;
                member = rooms[room].register(&mut socket).unwrap();
            }
        }
    };
    let router = Router::new().route(websocket("/ws", visitor));
    let server = builder(router).hub(&rooms[0]).hub(&rooms[1]).start().unwrap();
    let mut peer = open(&server, "/ws");
    for visit in 0..20 {
        let (here, there) = (&rooms[visit % 2], &rooms[1 - visit % 2]);
        eventually("the member has moved to the other hub", || (here.len(), there.len()) == (1, 0));
        for message in 0..5 {
            let text = format!("{visit} {message}");
            assert_eq!(deliveries(&here.broadcast(text.as_str())), 1);
            assert_eq!(deliveries(&there.broadcast("not for it")), 0);
            assert_eq!(read_text(&mut peer), text);
        }
        peer.send(frame(TEXT, "on"));
    }
}

#[test]
fn a_filter_selects_members_and_its_panic_counts_as_no_match() {
    let (server, hub) = serve(HubSettings::default());
    let (mut ann, mut bob) = (join(&server, &hub, "ann"), join(&server, &hub, "bob"));
    let is = |name: &'static str| {
        move |who: Option<&(dyn std::any::Any + Send + Sync)>| {
            who.and_then(|who| who.downcast_ref::<String>()).is_some_and(|who| who == name)
        }
    };
    assert_eq!(deliveries(&hub.broadcast_filter("for ann", is("ann"))), 1);
    assert_eq!(deliveries(&hub.broadcast_filter("for nobody", is("eve"))), 0);
    let picky = hub.broadcast_filter("not for bob", move |who| {
        if is("bob")(who) { panic!("deliberate panic of the test") } else { true }
    });
    assert_eq!(deliveries(&picky), 1);
    assert_eq!(metric(&server, "windlass_hub_filter_panics_total"), 1.0);
    assert_eq!(deliveries(&hub.broadcast("for all")), 2);
    assert_eq!(
        [read_text(&mut ann), read_text(&mut ann), read_text(&mut ann)],
        ["for ann", "not for bob", "for all"]
    );
    assert_eq!(read_text(&mut bob), "for all");
}

#[test]
fn a_member_may_unregister_close_or_reset() {
    let (server, hub) = serve(HubSettings::default());
    let (mut left, mut closed, cut) =
        (join(&server, &hub, "a"), join(&server, &hub, "b"), join(&server, &hub, "c"));
    left.send([frame(TEXT, "leave"), frame(TEXT, "leave")].concat());
    eventually("the member has unregistered", || hub.len() == 2);
    closed.send(close(1000));
    assert_eq!(read_close(&mut closed), 1000);
    eventually("the member's socket is closed", || hub.len() == 1);
    cut.reset();
    eventually("the reset member is unregistered", || hub.is_empty());
    assert_eq!(deliveries(&hub.broadcast("anybody?")), 0);
    // The first member's socket stays open.
    left.send(close(1000));
    assert_eq!(read_close(&mut left), 1000);
}

#[test]
fn a_hub_without_a_server_accepts_no_member_and_no_broadcast() {
    let hub = Hub::new(HubSettings::default());
    assert_eq!(hub.member(None).unwrap_err(), HubError::NotStarted);
    let nowhere = confirmed(&hub.broadcast("x"));
    assert_eq!((nowhere.accepted, nowhere.first_error), (0, Some(BroadcastError::NotStarted)));
    assert!(hub.is_empty());
    assert_eq!(HubSettings::default().overflow, Overflow::Close.into());
}
