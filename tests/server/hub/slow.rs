//! Members that do not read, under each overflow policy; delivered and dropped must add up.

use std::time::{Duration, Instant};

use windlass::{
    ListenOptions, PoolSettings, Server, Timeouts,
    actors::fanout::{ChooserOptions, Overflow, TopicStats},
    hub::{BroadcastError, Hub, HubSettings},
};

use super::{confirmed, join, routes};
use crate::{
    common::{Peer, TIMEOUT, builder, connect, endless, eventually, metric},
    ws::peer::{TEXT, assert_opened, frame, opening, read},
};

const BYTES: usize = 4000;
const MAILBOX: usize = 16;

/// Serves a hub on connections with small, fixed send buffers.
fn serve(mut settings: HubSettings, timeouts: Timeouts) -> (Server, Hub) {
    settings.mailbox_events = MAILBOX;
    let hub = Hub::new(settings);
    let (mut options, mut pool) = (ListenOptions::default(), PoolSettings::default());
    options.send_buffer = Some(16 * 1024);
    // Callbacks must run even while other threads use the processor.
    pool.blocking_idle = false;
    let builder = builder(routes(&hub)).listen_options(options).timeouts(timeouts).pool(pool).hub(&hub);
    (builder.start().unwrap(), hub)
}

fn with(overflow: Overflow) -> HubSettings {
    let mut settings = HubSettings::default();
    settings.overflow = overflow.into();
    settings
}

/// Connects a member that does not read.
fn join_without_reading(server: &Server, hub: &Hub) -> Peer {
    let before = hub.len();
    let mut peer = connect(server);
    peer.set_receive_buffer(8 * 1024);
    peer.send(opening("/hub", ""));
    assert_opened(&peer.reply());
    peer.send(frame(TEXT, "stalled"));
    eventually("the member is registered", || hub.len() == before + 1);
    peer
}

/// Broadcasts numbered messages until the condition holds, and 20 more. Returns the number of messages.
fn broadcast_beyond(hub: &Hub, done: impl Fn(&TopicStats) -> bool) -> u64 {
    let until = Instant::now() + TIMEOUT;
    let mut sent = 0;
    let mut broadcast = || {
        confirmed(&hub.broadcast(format!("{sent} {}", "x".repeat(BYTES))));
        sent += 1;
    };
    while !done(&hub.stats()) {
        assert!(Instant::now() < until, "the mailbox did not fill up in time: {:?}", hub.stats());
        broadcast();
    }
    (0..20).for_each(|_| broadcast());
    sent
}

/// Reads up to `most` numbered messages. Returns their numbers, and the first other frame if one arrives.
fn numbers(peer: &mut Peer, most: u64) -> (Vec<u64>, Option<(u8, Vec<u8>)>) {
    let mut numbers = Vec::new();
    while (numbers.len() as u64) < most {
        let (first, payload) = read(peer);
        if first != TEXT {
            return (numbers, Some((first, payload)));
        }
        let text = String::from_utf8(payload).unwrap();
        numbers.push(text.split(' ').next().unwrap().parse().unwrap());
    }
    (numbers, None)
}

#[test]
fn drop_loses_and_counts_messages_of_the_slow_member() {
    let (server, hub) = serve(with(Overflow::Drop), endless());
    let mut slow = join_without_reading(&server, &hub);
    let sent = broadcast_beyond(&hub, |stats| stats.dropped > 50);
    let stats = hub.stats();
    assert_eq!(stats.delivered + stats.dropped, sent);
    let (received, _) = numbers(&mut slow, stats.delivered);
    assert!(received.is_sorted(), "{received:?}");
    assert_eq!(received.len() as u64 + stats.dropped, sent);
    assert_eq!(metric(&server, "windlass_hub_overflows_total{policy=\"drop\"}"), stats.dropped as f64);
}

#[test]
fn remove_ends_the_membership_and_keeps_the_socket_open() {
    let (server, hub) = serve(with(Overflow::Remove), endless());
    let mut slow = join_without_reading(&server, &hub);
    broadcast_beyond(&hub, |stats| stats.removed > 0);
    let stats = hub.stats();
    assert_eq!((stats.removed, hub.len()), (1, 0));
    let (received, _) = numbers(&mut slow, stats.delivered);
    assert_eq!(received, (0..stats.delivered).collect::<Vec<_>>());
    slow.send(crate::ws::peer::close(1000));
    assert_eq!(crate::ws::peer::read_close(&mut slow), 1000);
}

#[test]
fn close_is_the_default_and_sends_1013_after_the_queued_messages() {
    let (server, hub) = serve(HubSettings::default(), endless());
    let mut slow = join_without_reading(&server, &hub);
    let until = Instant::now() + TIMEOUT;
    let error = loop {
        let sent = hub.stats().published;
        let confirmed = confirmed(&hub.broadcast(format!("{sent} {}", "x".repeat(BYTES))));
        if let Some(error) = confirmed.first_error {
            break error;
        }
        assert!(Instant::now() < until, "the mailbox did not fill up in time");
    };
    assert!(matches!(error, BroadcastError::Full(_, Overflow::Close)), "{error}");
    let stats = hub.stats();
    assert_eq!((stats.closed, hub.len()), (1, 0));
    let (received, end) = numbers(&mut slow, u64::MAX);
    assert_eq!(received, (0..stats.delivered).collect::<Vec<_>>());
    assert_eq!(end, Some((crate::ws::peer::CLOSE, b"\x03\xf5the client reads too slowly".to_vec())));
}

#[test]
fn a_callback_that_panics_closes_the_member() {
    let settings = HubSettings::default()
        .overflow_by(ChooserOptions::default(), |_| panic!("deliberate panic of the test"));
    let (server, hub) = serve(settings, endless());
    let _slow = join_without_reading(&server, &hub);
    broadcast_beyond(&hub, |stats| stats.ask_panics > 0);
    eventually("the member is closed", || hub.is_empty());
    assert_eq!(metric(&server, "windlass_hub_overflows_total{policy=\"close\"}"), 1.0);
}

#[test]
fn a_member_with_a_write_stall_is_cut_unregistered_and_counted() {
    let mut timeouts = endless();
    timeouts.write_stall = Some(Duration::from_millis(300));
    let (server, hub) = serve(with(Overflow::Drop), timeouts);
    let _slow = join_without_reading(&server, &hub);
    eventually("the stalled member is unregistered", || {
        // A full mailbox does not imply a full kernel buffer, so the test broadcasts until the buffer is full
        // too.
        let _ = hub.broadcast("x".repeat(BYTES));
        hub.is_empty()
    });
    let closed = |shard| {
        metric(
            &server,
            &format!("windlass_connections_closed_total{{shard=\"{shard}\",cause=\"write_stall\"}}"),
        )
    };
    assert_eq!((0..2).map(closed).sum::<f64>(), 1.0);
}

#[test]
fn a_slow_member_does_not_affect_others() {
    let (server, hub) = serve(with(Overflow::Drop), endless());
    let _slow = join_without_reading(&server, &hub);
    let mut quick: Vec<_> = (0..10).map(|n| join(&server, &hub, &n.to_string())).collect();
    for n in 0..100 {
        confirmed(&hub.broadcast(format!("{n} {}", "x".repeat(BYTES))));
        for peer in &mut quick {
            assert_eq!(numbers(peer, 1).0, [n]);
        }
    }
    assert!(hub.stats().dropped > 0, "the stalled member must have lost messages");
}
