//! Publisher of the topic.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    h1::Connection,
    run::{RECOVERY, Run},
};
use crate::client::{
    fault::{Fault, Kind},
    payload,
};

/// Publishes whenever an event is due, up to the requested number of events. Then waits until all subscribers
/// have received them.
pub(super) async fn publish(run: Rc<Run>) {
    let mut publisher = Publisher { run: &run, connection: Connection::new(run.plan.target.address) };
    let events = run.plan.traffic.events;
    while events.is_none_or(|events| run.topic.published() < events)
        && let Some(due) = run.topic.gate.next().await
    {
        let is_accepted = publisher.publish_event(due).await;
        if !is_accepted && events.is_some() {
            break;
        }
    }
    run.topic.gate.end();
    run.topic.end();
    let pending = run.topic.drain(Instant::now() + run.plan.traffic.timeout).await;
    if pending > 0 {
        run.tally.update(|totals| totals.queued += pending);
        let fault = Fault::new(Kind::Timeout, "events neither delivered nor reported missing by a gap");
        run.count_fault(&fault, pending);
    }
}

struct Publisher<'a> {
    run: &'a Run,
    connection: Connection,
}

impl Publisher<'_> {
    /// Publishes the next event. Returns `true` if the server accepted it.
    async fn publish_event(&mut self, due: Instant) -> bool {
        let (run, traffic) = (self.run, &self.run.plan.traffic);
        let request = self.request(run.topic.time(due));
        let sent = Instant::now();
        let response = timeout(traffic.timeout, self.connection.request(&request)).await;
        match response.unwrap_or_else(|_| Err(Run::timed_out())) {
            Ok(200..=299) => {
                run.topic.count_published();
                run.tally.update(|totals| {
                    totals.published += 1;
                    totals.publishing.record(sent.elapsed());
                });
                return true;
            }
            Ok(status) => {
                let detail = format_args!("server answered a published event with status {status}");
                run.count_fault(&Fault::new(Kind::Status, detail), 1);
            }
            Err(fault) => run.count_fault(&fault, 1),
        }
        sleep(RECOVERY).await;
        false
    }

    fn request(&self, due: Duration) -> Vec<u8> {
        let plan = &self.run.plan;
        let bytes = plan.traffic.event_bytes as usize;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: {bytes}\r\n\r\n",
            plan.traffic.topic, plan.target.authority,
        );
        [head.as_bytes(), &payload::event(self.run.topic.published(), due, bytes)].concat()
    }
}
