//! Event streams with history: missed events come first, each send is appended once, and the order is that of
//! the store.

use std::sync::Arc;

use windlass::{
    Request, Router, Server,
    broker::Event,
    event_stream_with,
    replay::{MemoryStore, Query, ReplayStore, Retention, Start, StoreLimits},
    sse::{Client, Overflow, Replay, Settings},
};

use super::{Received, StreamServer, Subscriber, connect, start};

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Retention::default(), StoreLimits::default()).unwrap())
}

fn stored_data(store: &Arc<MemoryStore>, name: &str) -> Vec<String> {
    let page = store.read_blocking(Query::new(name.to_owned(), Start::Earliest)).unwrap();
    page.events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect()
}

/// Serves `/job/{name}`, whose handler sends three events and returns.
fn serve(store: &Arc<MemoryStore>) -> Server {
    let replay = Replay::new(store.clone(), |request: &Request| request.param("name").unwrap().into_owned());
    let handler = |_: Request, client: Client| async move {
        for word in ["one", "two", "three"] {
            client.send(Event::new(word)).await.unwrap();
        }
    };
    start(Router::new().route(event_stream_with("/job/{name}", Settings::new().replay(replay), handler)))
}

fn read_events(client: &mut Subscriber) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    while let Received::Event { id, name, data } = client.next() {
        all.push((id, name, data));
    }
    all
}

fn words(events: &[(String, String, String)]) -> Vec<&str> {
    events.iter().map(|(_, _, data)| data.as_str()).collect()
}

#[test]
fn missed_events_precede_those_of_the_handler() {
    let store = store();
    let server = serve(&store);
    let first = read_events(&mut Subscriber::subscribe(&server, "/job/a", None));
    assert_eq!(words(&first), ["one", "two", "three"]);
    assert_eq!(stored_data(&store, "a"), ["one", "two", "three"], "each event must be appended once");
    let again = read_events(&mut Subscriber::subscribe(&server, "/job/a", Some(&first[0].0)));
    assert_eq!(words(&again), ["two", "three", "one", "two", "three"]);
    assert_eq!(again[..2], first[1..], "missed events must keep their ids");
    let seqs: Vec<u64> =
        again.iter().map(|(id, ..)| id.split_once('-').unwrap().1.parse().unwrap()).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
    assert_eq!(
        words(&read_events(&mut Subscriber::subscribe(&server, "/job/b", Some("earliest")))),
        ["one", "two", "three"]
    );
}

#[test]
fn an_unknown_id_is_reported_as_a_gap_and_the_handler_runs() {
    let store = store();
    let server = serve(&store);
    for (last, why) in [("no id", "unknown_id"), ("0123456789abcdef-7", "unknown_epoch")] {
        let all = read_events(&mut Subscriber::subscribe(&server, "/job/a", Some(last)));
        assert_eq!(
            (all[0].1.as_str(), all[0].2.as_str()),
            ("gap", format!(r#"{{"reset":"{why}"}}"#).as_str())
        );
        assert_eq!(words(&all[1..]), ["one", "two", "three"]);
    }
}

#[test]
fn a_dropped_event_stays_in_the_store_and_is_reported_as_a_gap() {
    let store = store();
    let replay = Replay::new(store.clone(), |_| "kept");
    let fixture = StreamServer::serve(Settings::new().queue(4).overflow(Overflow::Drop).replay(replay));
    let peer = connect(&fixture.server);
    peer.set_receive_buffer(8 * 1024);
    let mut reading = Subscriber::from_peer(peer, "/e", None);
    let client = fixture.client();
    let mut sent = 0;
    while client.dropped() < 20 {
        sent += 1;
        pollster::block_on(client.send(Event::new(format!("{sent} {}", "x".repeat(4000))))).unwrap();
    }
    let (mut last, mut missed, mut asked) = (0, 0, false);
    loop {
        let Received::Event { id, name, data } = reading.next() else { panic!("the stream ended early") };
        let seq = id.split_once('-').unwrap().1.parse::<u64>().unwrap();
        if name == "gap" {
            missed += seq - last;
        } else {
            assert_eq!(seq, last + 1);
        }
        last = seq;
        if client.depth() == 0 && !asked {
            asked = true;
            pollster::block_on(client.send(Event::new("after"))).unwrap();
        }
        if data == "after" {
            break;
        }
    }
    assert_eq!(
        (missed, last),
        (client.dropped(), sent + 1),
        "each number must occur once, as an event or in a gap"
    );
    assert_eq!(stored_data(&store, "kept").len() as u64, sent + 1);
}

#[test]
fn events_of_many_threads_are_sent_in_the_order_of_the_store() {
    let store = store();
    let fixture = StreamServer::serve(Settings::new().replay(Replay::new(store.clone(), |_| "kept")));
    let mut reading = Subscriber::subscribe(&fixture.server, "/e", None);
    let client = fixture.client();
    let senders: Vec<_> = (0..4)
        .map(|thread| {
            let client = client.clone();
            let send =
                move |n: u32| pollster::block_on(client.send(Event::new(format!("{thread} {n}")))).unwrap();
            std::thread::spawn(move || (0..200).for_each(send))
        })
        .collect();
    let mut words = Vec::new();
    for expected in 1..=800 {
        let Received::Event { id, data, .. } = reading.next() else { panic!("the stream ended early") };
        assert!(id.ends_with(&format!("-{expected}")), "expected number {expected}, got id {id}");
        words.push(data);
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(words, all_stored_data(&store));
}

fn all_stored_data(store: &Arc<MemoryStore>) -> Vec<String> {
    let query = Query::new("kept", Start::Earliest);
    let window =
        windlass::replay::Window { events: 10_000, bytes: usize::MAX, ..windlass::replay::Window::default() };
    let page = store.read_blocking(query.window(window)).unwrap();
    page.events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect()
}
