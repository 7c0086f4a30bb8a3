//! `windlass load` with slow subscribers: received, dropped and queued events add up.

use std::thread;

use serde_json::Value;

use crate::{
    common::{Serving, TempFile, eventually},
    load::{load_without_errors, metric, number, url},
};

#[test]
fn subscribers_receive_every_event_once() {
    let file = TempFile::new("every.toml", include_str!("shed_nothing.toml"));
    let serving = Serving::start(&["--config", file.path(), "--mailbox-events", "1000"]);
    let url = url(serving.address(), "/");
    let result = load_without_errors(&[
        "--workload",
        "sse",
        "--connections",
        "250",
        "--events",
        "400",
        "--event-bytes",
        "64",
        &url,
    ]);
    assert_eq!((number(&result, "published"), number(&result, "subscribers")), (400.0, 250.0), "{result}");
    assert_eq!(
        (number(&result, "deliveries"), number(&result, "dropped_fast")),
        (100_000.0, 0.0),
        "{result}"
    );
}

#[test]
fn received_and_dropped_events_add_up_to_those_published() {
    // Small buffers let the mailboxes of slow subscribers fill up.
    let file =
        TempFile::new("slow.toml", concat!("send_buffer_bytes = 8192\n", include_str!("shed_nothing.toml")));
    let serving = Serving::start(&["--config", file.path()]);
    let url = url(serving.address(), "/");
    let arguments =
        ["--workload", "slow", "--connections", "20", "--event-rate", "200", "--event-bytes", "2000"];
    let result = load_without_errors(&[&arguments[..], &["--duration", "3s", &url]].concat());
    let (fast, slow) = (number(&result, "dropped_fast"), number(&result, "dropped_slow"));
    assert!(fast == 0.0 && slow > 100.0, "{result}");
    let published = number(&result, "published");
    assert_eq!(number(&result, "deliveries") + slow, published * 20.0, "{result}");
    // The server's count of drops must match the gaps.
    let (_, _, topics) = serving.connect().get("/topics");
    let topics: Value = serde_json::from_str(&topics).unwrap();
    assert_eq!(
        (number(&topics[0], "dropped"), number(&topics[0], "published")),
        (slow, published),
        "{topics}"
    );
}

#[test]
fn slow_subscribers_lose_nothing_if_the_mailbox_suffices() {
    let file = TempFile::new(
        "suffices.toml",
        concat!("send_buffer_bytes = 8192\n", include_str!("shed_nothing.toml")),
    );
    let mailbox = ["--mailbox-events", "300", "--mailbox-bytes", "2000000"];
    let serving = Serving::start(&[&["--config", file.path()], &mailbox[..]].concat());
    let url = url(serving.address(), "/");
    // Each subscriber gets 300 KB but reads 10 KB a second, so most of it waits in the mailbox.
    let arguments = ["--workload", "slow", "--connections", "50", "--events", "300", "--event-bytes", "1000"];
    let arguments = [&arguments[..], &["--event-rate", "150", "--slow-rate", "10000", &url]].concat();
    let result = thread::scope(|scope| {
        let loading = scope.spawn(|| load_without_errors(&arguments));
        eventually("the mailboxes hold many events", || {
            metric(&serving, "windlass_topic_lag_events") > 100.0
        });
        loading.join().unwrap()
    });
    assert_eq!((number(&result, "published"), number(&result, "deliveries")), (300.0, 15_000.0), "{result}");
    assert_eq!((number(&result, "dropped_fast"), number(&result, "dropped_slow")), (0.0, 0.0), "{result}");
}
