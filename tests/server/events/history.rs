//! Handlers whose events are kept: missed ones come first, each send is appended once, in the order of the wire.

use std::sync::Arc;

use windlass::{
    Request, Router, Server,
    broker::Event,
    event_stream_with,
    replay::{MemoryStore, Query, ReplayStore, Retention, Start, StoreLimits},
    sse::{Client, Replay, Settings, WhenFull},
};

use super::{Kept, Seeing, Seen, connect, start};

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Retention::default(), StoreLimits::default()).unwrap())
}

fn held(store: &Arc<MemoryStore>, name: &str) -> Vec<String> {
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

fn rest(client: &mut Seeing) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    while let Seen::Event { id, name, data } = client.next() {
        all.push((id, name, data));
    }
    all
}

fn words(events: &[(String, String, String)]) -> Vec<&str> {
    events.iter().map(|(_, _, data)| data.as_str()).collect()
}

#[test]
fn what_was_missed_comes_before_what_the_handler_sends() {
    let store = store();
    let server = serve(&store);
    let first = rest(&mut Seeing::subscribe(&server, "/job/a", None));
    assert_eq!(words(&first), ["one", "two", "three"]);
    assert_eq!(held(&store, "a"), ["one", "two", "three"], "each was appended once");
    let again = rest(&mut Seeing::subscribe(&server, "/job/a", Some(&first[0].0)));
    assert_eq!(words(&again), ["two", "three", "one", "two", "three"]);
    assert_eq!(again[..2], first[1..], "with the ids they had");
    let seqs: Vec<u64> =
        again.iter().map(|(id, ..)| id.split_once('-').unwrap().1.parse().unwrap()).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
    assert_eq!(
        words(&rest(&mut Seeing::subscribe(&server, "/job/b", Some("earliest")))),
        ["one", "two", "three"]
    );
}

#[test]
fn an_id_that_means_nothing_is_told_and_the_handler_runs() {
    let store = store();
    let server = serve(&store);
    for (last, why) in [("no id", "unknown_id"), ("0123456789abcdef-7", "unknown_epoch")] {
        let all = rest(&mut Seeing::subscribe(&server, "/job/a", Some(last)));
        assert_eq!(
            (all[0].1.as_str(), all[0].2.as_str()),
            ("gap", format!(r#"{{"reset":"{why}"}}"#).as_str())
        );
        assert_eq!(words(&all[1..]), ["one", "two", "three"]);
    }
}

#[test]
fn an_event_dropped_for_the_client_is_kept_and_told_as_a_gap() {
    let store = store();
    let replay = Replay::new(store.clone(), |_| "kept");
    let kept = Kept::serve(Settings::new().queue(4).when_full(WhenFull::Drop).replay(replay));
    let peer = connect(&kept.server);
    peer.set_receive_buffer(8 * 1024);
    let mut reading = Seeing::over(peer, "/e", None);
    let client = kept.client();
    let mut sent = 0;
    while client.dropped() < 20 {
        sent += 1;
        pollster::block_on(client.send(Event::new(format!("{sent} {}", "x".repeat(4000))))).unwrap();
    }
    let (mut last, mut missed, mut asked) = (0, 0, false);
    loop {
        let Seen::Event { id, name, data } = reading.next() else { panic!("an end") };
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
        "each number comes once, as an event or in a gap"
    );
    assert_eq!(held(&store, "kept").len() as u64, sent + 1);
}

#[test]
fn sends_from_many_threads_leave_in_the_stores_order() {
    let store = store();
    let kept = Kept::serve(Settings::new().replay(Replay::new(store.clone(), |_| "kept")));
    let mut reading = Seeing::subscribe(&kept.server, "/e", None);
    let client = kept.client();
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
        let Seen::Event { id, data, .. } = reading.next() else { panic!("an end") };
        assert!(id.ends_with(&format!("-{expected}")), "{id} is not {expected}");
        words.push(data);
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(words, held_all(&store));
}

fn held_all(store: &Arc<MemoryStore>) -> Vec<String> {
    let query = Query::new("kept", Start::Earliest);
    let window = windlass::replay::Window { events: 10_000, bytes: usize::MAX };
    let page = store.read_blocking(query.window(window)).unwrap();
    page.events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect()
}
