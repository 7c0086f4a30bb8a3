//! Publishing while the server drains: an event is acknowledged and kept, or its request is not accepted.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use windlass::{
    Router, Server, TopicAccess,
    broker::{Broker, BrokerSettings, Event},
    topic_routes,
};

#[cfg(feature = "durable")]
use crate::common::TIMEOUT;
use crate::{
    common::{Peer, address, builder, eventually},
    topics::client::{Client, Received},
};

/// Publishes until the server ends the connection. Returns the number of acknowledged events and the other
/// replies.
fn publish_until_closed(address: std::net::SocketAddr, acknowledged: &AtomicUsize) -> Vec<String> {
    let mut peer = Peer::connect(address);
    loop {
        let request = "POST /topics/news HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";
        match peer.try_exchange(request) {
            Ok(Some(reply)) if reply.status == 202 => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                if reply.closes() {
                    return Vec::new();
                }
            }
            Ok(None) => return Vec::new(),
            Ok(Some(reply)) => return vec![format!("{}: {}", reply.status, reply.text())],
            Err(error) => return vec![error.to_string()],
        }
    }
}

/// Drains under load. Returns the number of acknowledged events, and of those that a subscriber has received.
fn drain_under_load(server: &Server) -> (usize, usize) {
    const PUBLISHERS: usize = 16;
    let acknowledged = AtomicUsize::new(0);
    let mut subscriber = Client::subscribe(server, "/topics/news", None);
    let (failed, received, report) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut received = 0;
            loop {
                match subscriber.next() {
                    Received::End => return received,
                    Received::Event { name, .. } if name == "message" => received += 1,
                    _ => {}
                }
            }
        });
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| scope.spawn(|| publish_until_closed(address(server), &acknowledged)))
            .collect();
        eventually("everybody publishes", || acknowledged.load(Ordering::SeqCst) > PUBLISHERS * 10);
        let report = server.drain(None);
        let failed: Vec<_> = publishers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (failed, reader.join().unwrap(), report)
    });
    assert!(failed.is_empty(), "{failed:?}; {report}");
    assert_eq!(report.cut_total(), 0, "{report}");
    (acknowledged.into_inner(), received)
}

fn serve(broker: &Broker) -> Server {
    builder(topic_routes(Router::new(), broker, TopicAccess::default())).broker(broker).start().unwrap()
}

#[test]
fn an_event_of_an_accepted_request_is_acknowledged_and_delivered_at_a_drain() {
    for _ in 0..3 {
        let mut settings = BrokerSettings::default();
        // Nothing is dropped.
        (settings.policy.mailbox_events, settings.policy.mailbox_bytes) = (1 << 20, 1 << 30);
        let broker = Broker::new(settings).unwrap();
        let server = serve(&broker);
        let (acknowledged, received) = drain_under_load(&server);
        assert_eq!(received, acknowledged);
        let late = broker.publish(&"news".parse().unwrap(), Event::new("late"));
        assert!(block_on(late).is_err(), "the server has stopped");
    }
}

#[cfg(feature = "durable")]
#[test]
fn an_event_that_was_acknowledged_at_a_drain_is_in_the_durable_store() {
    use windlass::replay::{
        Query, ReplayStore, Start,
        durable::{DurableStore, Options},
    };
    let path = std::env::temp_dir().join(format!("windlass-drain-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let store = std::sync::Arc::new(DurableStore::open(&path, Options::default()).unwrap());
    let broker = Broker::with_store(BrokerSettings::default(), store.clone());
    let server = serve(&broker);
    let (acknowledged, _) = drain_under_load(&server);
    let (sender, pages) = std::sync::mpsc::channel();
    let key = bytes::Bytes::from_static(b"news");
    store.read(Query::new(key, Start::Earliest), Box::new(move |page| sender.send(page).unwrap()));
    let page = pages.recv_timeout(TIMEOUT).unwrap().unwrap();
    assert_eq!(page.end.seq(), acknowledged as u64);
    drop((server, broker));
    drop(store);
    std::fs::remove_dir_all(&path).unwrap();
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
