//! One topic, its publisher and its subscribers, who must all get what was published or be told what they do not get.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    events,
    follow::{Follower, Seen},
    gate::Gate,
    h1::Connection,
    run::Load,
    subscription::Stream,
};
use crate::client::fault::{Fault, Kind};

/// How often it is looked whether all have everything.
const LOOK: Duration = Duration::from_millis(10);

/// How fast a subscriber reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Fast,
    /// At a rate of its own, until nothing more is published.
    Slow,
}

/// What the publisher and the subscribers know of each other.
#[derive(Debug)]
pub(super) struct Topic {
    /// When events are due.
    pub(super) gate: Gate,
    /// What the times in events count from.
    epoch: Instant,
    published: Cell<u64>,
    /// Subscribers that were answered or failed.
    begun: Cell<u32>,
    /// How far each subscriber is that did not fail.
    reached: RefCell<Vec<Option<u64>>>,
    /// Whether slow subscribers read what is there.
    is_over: Cell<bool>,
}

impl Topic {
    pub(super) fn new(gate: Gate, subscribers: u32) -> Self {
        Self {
            gate,
            epoch: Instant::now(),
            published: Cell::new(0),
            begun: Cell::new(0),
            reached: RefCell::new(vec![Some(0); subscribers as usize]),
            is_over: Cell::new(false),
        }
    }

    /// Returns how many deliveries have not come.
    fn owed(&self) -> u64 {
        let published = self.published.get();
        self.reached.borrow().iter().flatten().map(|reached| published.saturating_sub(*reached)).sum()
    }
}

/// Waits until every subscriber was answered, or failed.
pub(super) async fn begun(load: &Load) {
    let all = load.shares.subscribers();
    let answered = async {
        while load.topic.begun.get() < all {
            sleep(LOOK).await;
        }
    };
    if timeout(load.plan.traffic.timeout, answered).await.is_err() {
        let missing = all - load.topic.begun.get();
        load.fail(&Fault::new(Kind::Timeout, "a subscription was not answered"), u64::from(missing));
    }
}

/// Subscribes and follows until it is dropped, or fails.
pub(super) async fn subscribe(load: Rc<Load>, index: usize, pace: Pace) {
    let opened = Stream::open(&load, pace).await;
    load.topic.begun.set(load.topic.begun.get() + 1);
    let followed = match opened {
        Ok(stream) => follow(&load, index, pace, stream).await,
        Err(fault) => Err(fault),
    };
    let Err(fault) = followed;
    load.topic.reached.borrow_mut()[index] = None;
    load.fail(&fault, 1);
}

/// Follows until something is wrong.
async fn follow(load: &Load, index: usize, pace: Pace, mut stream: Stream) -> Result<Infallible, Fault> {
    load.tally.subscribed();
    let mut follower = Follower::default();
    loop {
        for event in stream.events()? {
            match follower.take(&event)? {
                Seen::Delivery(due) => {
                    let latency = load.topic.epoch.elapsed().saturating_sub(due);
                    load.deliver((pace == Pace::Fast).then_some(latency));
                }
                Seen::Gap(missed) => load.tally.dropped(missed, pace == Pace::Slow),
            }
        }
        load.topic.reached.borrow_mut()[index] = Some(follower.reached());
        stream.read(pace == Pace::Slow && !load.topic.is_over.get()).await?;
    }
}

/// Publishes whenever an event is due, up to so many as there shall be; then waits until all have everything.
pub(super) async fn publish(load: Rc<Load>) {
    let mut publisher = Publisher { load: &load, connection: Connection::new(load.plan.target.address) };
    let events = load.plan.traffic.events;
    while events.is_none_or(|events| load.topic.published.get() < events)
        && let Some(due) = load.topic.gate.next().await
    {
        let is_taken = publisher.publish(due).await;
        if !is_taken && events.is_some() {
            break;
        }
    }
    load.topic.gate.end();
    load.topic.is_over.set(true);
    publisher.settle().await;
}

struct Publisher<'a> {
    load: &'a Load,
    connection: Connection,
}

impl Publisher<'_> {
    /// Publishes the next event; says whether the server took it.
    async fn publish(&mut self, due: Instant) -> bool {
        let (load, traffic) = (self.load, &self.load.plan.traffic);
        let since = due.saturating_duration_since(load.topic.epoch);
        let data = events::data(load.topic.published.get(), since, traffic.event_bytes);
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{data}",
            traffic.topic,
            load.plan.target.authority,
            data.len()
        );
        let answered = timeout(traffic.timeout, self.connection.ask(request.as_bytes())).await;
        match answered.unwrap_or_else(|_| Err(Load::late())) {
            Ok(200..=299) => {
                load.topic.published.set(load.topic.published.get() + 1);
                load.tally.published();
                return true;
            }
            Ok(status) => {
                load.fail(&Fault::new(Kind::Status, format_args!("publishing was answered {status}")), 1)
            }
            Err(fault) => load.fail(&fault, 1),
        }
        sleep(super::run::RECOVERY).await;
        false
    }

    /// Waits until every subscriber has everything or was told what it does not get.
    async fn settle(&self) {
        let deadline = Instant::now() + self.load.plan.traffic.timeout;
        let owed = || self.load.topic.owed();
        while owed() > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        let owed = owed();
        if owed > 0 {
            self.load.tally.queued(owed);
            self.load
                .fail(&Fault::new(Kind::Timeout, "deliveries that never came and that no gap told of"), owed);
        }
    }
}
