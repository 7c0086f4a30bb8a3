//! Topics whose store fails: which events are still delivered, who gets an error, and which streams end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use windlass::{
    TopicAccess,
    broker::{Broker, BrokerSettings},
    replay::{
        Append, Appended, Completion, Durability, ErrorKind, MemoryStore, Operation, Page, Query,
        RejectedAppend, ReplayStore, Retention, StoreError, StoreLimits,
    },
};

use super::{
    client::{Client, Received},
    publish, serve,
};
use crate::common::{connect, eventually, metric};

/// A memory store whose appends and reads can be made to fail.
struct FailingStore {
    store: MemoryStore,
    appends: AtomicBool,
    reads: AtomicBool,
}

fn failure(operation: Operation) -> StoreError {
    StoreError::new(ErrorKind::Io, operation, "the disk is full")
}

impl ReplayStore for FailingStore {
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), RejectedAppend> {
        if self.appends.load(SeqCst) {
            done(Err(failure(Operation::Append)));
            return Ok(());
        }
        self.store.append(append, done)
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        if self.reads.load(SeqCst) {
            return done(Err(failure(Operation::Read)));
        }
        self.store.read(query, done);
    }
}

fn serve_failing_store(durability: Durability) -> (windlass::Server, Arc<FailingStore>) {
    let mut limits = StoreLimits::default();
    limits.data_bytes = 1000;
    let store = MemoryStore::new(Retention::default(), limits).unwrap();
    let store =
        Arc::new(FailingStore { store, appends: AtomicBool::new(false), reads: AtomicBool::new(false) });
    let mut settings = BrokerSettings::default();
    settings.policy.durability = durability;
    let broker = Broker::with_store(settings, store.clone());
    (serve(&broker, TopicAccess::default()), store)
}

#[test]
fn below_fsynced_an_event_that_was_not_stored_is_delivered_without_an_id() {
    for durability in [Durability::None, Durability::Buffered] {
        let (server, store) = serve_failing_store(durability);
        let mut client = Client::subscribe(&server, "/topics/t", None);
        let before = publish(&server, "/topics/t", "before");
        store.appends.store(true, SeqCst);
        let reply = connect(&server).post("/topics/t?event=tick", "meanwhile");
        assert_eq!((reply.status, reply.text().as_str()), (202, "{\"id\":null,\"subscribers\":1}\n"));
        store.appends.store(false, SeqCst);
        let after = publish(&server, "/topics/t", "after");
        assert_eq!(client.next(), Received::event(&before, "message", "before"));
        assert_eq!(client.next(), Received::event("", "tick", "meanwhile"));
        assert_eq!(client.next(), Received::event(&after, "message", "after"));
        assert_eq!(metric(&server, "windlass_replay_errors_total{op=\"append\"}"), 1.0);
    }
}

#[test]
fn at_fsynced_a_failed_append_is_an_error_and_delivers_nothing() {
    let (server, store) = serve_failing_store(Durability::Fsynced);
    let mut client = Client::subscribe(&server, "/topics/t", None);
    store.appends.store(true, SeqCst);
    assert_eq!(connect(&server).post("/topics/t", "never").status, 500);
    store.appends.store(false, SeqCst);
    let after = publish(&server, "/topics/t", "after");
    assert_eq!(client.next(), Received::event(&after, "message", "after"));
    assert_eq!(metric(&server, "windlass_replay_errors_total{op=\"append\"}"), 1.0);
}

#[test]
fn an_event_over_the_stores_limit_is_refused_at_any_level() {
    let (server, _) = serve_failing_store(Durability::None);
    let mut client = Client::subscribe(&server, "/topics/t", None);
    let much = "x".repeat(1001);
    assert_eq!(connect(&server).post("/topics/t", much).status, 413);
    let id = publish(&server, "/topics/t", "small");
    assert_eq!(client.next(), Received::event(&id, "message", "small"));
    assert_eq!(metric(&server, "windlass_replay_errors_total{op=\"append\"}"), 0.0);
}

#[test]
fn a_history_that_cannot_be_read_ends_the_stream() {
    let (server, store) = serve_failing_store(Durability::None);
    let id = publish(&server, "/topics/t", "x");
    store.reads.store(true, SeqCst);
    let mut client = Client::subscribe(&server, "/topics/t", Some(&id));
    let (rest, _) = client.peer.read_to_close();
    assert!(rest.is_empty(), "the body must end without its last chunk: {}", rest.escape_ascii());
    let counted = || metric(&server, "windlass_replay_errors_total{op=\"read\"}");
    eventually("the error is counted", || counted() > 0.0);
    assert_eq!(counted(), 1.0);
    // A subscriber that needs no history is served.
    let mut live = Client::subscribe(&server, "/topics/t", None);
    let id = publish(&server, "/topics/t", "y");
    assert_eq!(live.next(), Received::event(&id, "message", "y"));
}
