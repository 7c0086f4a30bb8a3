//! Keeps an actor alive as its policy says.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    actor::{Actor, Flow},
    address::Post,
    census::Census,
    contain::{contain, contained},
    context::Context,
    error::panic_message,
    local::Local,
    race::race,
    remote::{Phase, Settled},
};

/// Says after which ends an actor is built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Restart {
    /// After a panic, a failure and [`Flow::Stop`] alike.
    Always,
    /// After a panic and after [`Flow::Fail`].
    #[default]
    OnFailure,
    /// After none.
    Never,
}

/// How an actor is spawned.
#[derive(Clone, Debug)]
pub struct SpawnOptions {
    /// Names it in logs. Default: `actor`.
    pub name: String,
    /// Messages that may wait in its mailbox. Default: 256.
    pub mailbox: usize,
    /// After which ends it is built anew. Default: after failures.
    pub restart: Restart,
    /// How long the first restart waits; each further one within the window waits twice as long. Default: 10 ms.
    pub backoff: Duration,
    /// The longest a restart waits. Default: 5 s.
    pub backoff_max: Duration,
    /// Restarts within the window at most; with the next failure the actor ends for good. Default: 10.
    pub restarts: usize,
    /// The window in which restarts are counted. Default: 60 s.
    pub window: Duration,
}

impl Default for SpawnOptions {
    fn default() -> Self {
        Self {
            name: "actor".to_owned(),
            mailbox: 256,
            restart: Restart::default(),
            backoff: Duration::from_millis(10),
            backoff_max: Duration::from_secs(5),
            restarts: 10,
            window: Duration::from_secs(60),
        }
    }
}

impl SpawnOptions {
    /// Names the actor; everything else is the default.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// An actor's lease in the system; dropped when it has ended, or never began. Nobody waits for it any more then.
pub(crate) struct Lease<M> {
    pub(crate) post: Arc<Post<M>>,
    pub(crate) census: Arc<Census>,
    pub(crate) settled: Settled,
}

impl<M> Drop for Lease<M> {
    fn drop(&mut self) {
        self.post.mailbox.close();
        self.post.mailbox.abandon();
        self.census.counters.stopped.fetch_add(1, Ordering::Relaxed);
        debug_assert!(Arc::ptr_eq(self.settled.shard(), &self.post.shard));
    }
}

/// How one life of an actor ended.
enum End {
    /// Nobody can tell it anything, or the system stops.
    Done,
    Stopped,
    Failed(String),
    Panicked(String),
}

/// Runs an actor, life after life.
pub(crate) async fn supervise<A: Actor>(
    lease: Lease<A::Msg>,
    options: SpawnOptions,
    mut factory: impl FnMut() -> A,
    local: Local,
) {
    let counters = &lease.census.counters;
    let mut cx = Context::new(Arc::clone(&lease.post), local, Arc::clone(&lease.census));
    let mut restarts = Restarts::default();
    loop {
        let end = live(&mut factory, &mut cx).await;
        match &end {
            End::Panicked(panic) => {
                counters.panicked.fetch_add(1, Ordering::Relaxed);
                tracing::error!(actor = options.name, shard = cx.shard(), panic, "an actor panicked");
            }
            End::Failed(error) => tracing::error!(actor = options.name, shard = cx.shard(), error, "an actor failed"),
            End::Done | End::Stopped => {}
        }
        if !options.restart.applies(&end) || cx.phase() != Phase::Running {
            return;
        }
        let Some(delay) = restarts.next(Instant::now(), &options) else {
            counters.gave_up.fetch_add(1, Ordering::Relaxed);
            tracing::error!(actor = options.name, restarts = options.restarts, window = ?options.window, "too many restarts: the actor ends");
            return;
        };
        race(cx.sleep(delay), cx.stop_begins()).await;
        if cx.phase() != Phase::Running {
            return;
        }
        counters.restarted.fetch_add(1, Ordering::Relaxed);
        cx.count_restart();
    }
}

/// Runs one life: from the factory to the last message.
async fn live<A: Actor>(factory: &mut impl FnMut() -> A, cx: &mut Context<A::Msg>) -> End {
    let mut actor = match contain(factory) {
        Ok(actor) => actor,
        Err(payload) => return End::Panicked(panic_message(payload.as_ref())),
    };
    let mut end = work(&mut actor, cx).await;
    if !matches!(end, End::Panicked(_))
        && let Err(payload) = contained(actor.stopped(cx)).await
    {
        end = End::Panicked(panic_message(payload.as_ref()));
    }
    match contain(|| drop(actor)) {
        Ok(()) => end,
        Err(payload) => End::Panicked(panic_message(payload.as_ref())),
    }
}

async fn work<A: Actor>(actor: &mut A, cx: &mut Context<A::Msg>) -> End {
    if let Some(end) = ended(contained(actor.started(cx)).await) {
        return end;
    }
    while let Some(message) = cx.next().await {
        if let Some(end) = ended(contained(actor.handle(message, cx)).await) {
            return end;
        }
    }
    End::Done
}

fn ended(outcome: Result<Flow, crate::contain::Payload>) -> Option<End> {
    match outcome {
        Ok(Flow::Continue) => None,
        Ok(Flow::Stop) => Some(End::Stopped),
        Ok(Flow::Fail(error)) => Some(End::Failed(error.to_string())),
        Err(payload) => Some(End::Panicked(panic_message(payload.as_ref()))),
    }
}

impl Restart {
    fn applies(self, end: &End) -> bool {
        match end {
            End::Done => false,
            End::Stopped => self == Self::Always,
            End::Failed(_) | End::Panicked(_) => self != Self::Never,
        }
    }
}

/// The restarts of the current window, oldest first; never more than the limit.
#[derive(Debug, Default)]
struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Says how long the next restart waits. `None`: there were too many.
    fn next(&mut self, now: Instant, options: &SpawnOptions) -> Option<Duration> {
        while self.0.front().is_some_and(|&at| now.saturating_duration_since(at) > options.window) {
            self.0.pop_front();
        }
        if self.0.len() >= options.restarts {
            return None;
        }
        let doublings = u32::try_from(self.0.len()).unwrap_or(u32::MAX).min(31);
        self.0.push_back(now);
        Some(options.backoff.saturating_mul(1 << doublings).min(options.backoff_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap_and_the_window_forgets() {
        let options = SpawnOptions { restarts: 4, backoff_max: Duration::from_millis(30), ..SpawnOptions::default() };
        let (start, mut restarts) = (Instant::now(), Restarts::default());
        let waits: Vec<_> = (0..5).map(|_| restarts.next(start, &options).map(|wait| wait.as_millis())).collect();
        assert_eq!(waits, [Some(10), Some(20), Some(30), Some(30), None]);

        let later = start + options.window + Duration::from_millis(1);
        assert_eq!(restarts.next(later, &options), Some(options.backoff));
    }

    #[test]
    fn policies_tell_ends_apart() {
        let ends = [End::Done, End::Stopped, End::Failed(String::new()), End::Panicked(String::new())];
        let applies = |restart: Restart| ends.iter().map(|end| restart.applies(end)).collect::<Vec<_>>();
        assert_eq!(applies(Restart::Always), [false, true, true, true]);
        assert_eq!(applies(Restart::OnFailure), [false, false, true, true]);
        assert_eq!(applies(Restart::Never), [false; 4]);
    }
}
