//! Questions to actors from threads, actors, tokio tasks and other executors.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{Count, Counter, LONG, eventually, hosts, system};
use windlass_actors::{
    Actor, Addr, Context, Flow, Placement, Reply, SpawnOptions, System, Undelivered, error::AskError,
};

const SHORT: Duration = Duration::from_millis(30);

fn counter(system: &System, shard: usize) -> Addr<Count> {
    system.spawn(Placement::Shard(shard), SpawnOptions::default(), Counter::default).unwrap()
}

/// Actor that asks another actor for the test.
struct Asker(Addr<Count>);

enum Ask {
    Total(Duration, Reply<Result<u64, AskError>>),
    Blocking(Reply<Result<u64, AskError>>),
}

impl Actor for Asker {
    type Msg = Ask;

    async fn handle(&mut self, message: Ask, _: &mut Context<Ask>) -> Flow {
        match message {
            Ask::Total(timeout, reply) => reply.send(self.0.ask(Count::Total, timeout).await),
            Ask::Blocking(reply) => reply.send(self.0.ask_blocking(Count::Total, LONG)),
        }
        Flow::Continue
    }
}

/// Ends a system whose actor is in the middle of a rest that no test waits for.
fn abort(system: &System) {
    system.stop(Undelivered::Discard);
    assert!(system.join(Duration::ZERO).aborted);
}

#[test]
fn a_plain_thread_asks_and_times_out() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = counter(&system, 0);
        assert_eq!(counter.ask_blocking(Count::Total, LONG), Ok(0));
        counter.try_tell(Count::Rest(LONG)).unwrap();
        let begin = Instant::now();
        assert_eq!(counter.ask_blocking(Count::Total, SHORT), Err(AskError::Timeout));
        assert!(begin.elapsed() >= SHORT, "{:?}", begin.elapsed());
        abort(&system);
    }
}

#[test]
fn an_actor_asks_one_on_its_own_shard_and_one_on_another() {
    for host in hosts() {
        let system = system(host, 2);
        for shard in 0..2 {
            let counter = counter(&system, shard);
            counter.try_tell(Count::Add(5)).unwrap();
            let target = counter.clone();
            let asker = system
                .spawn(Placement::Shard(0), SpawnOptions::default(), move || Asker(target.clone()))
                .unwrap();
            assert_eq!(asker.ask_blocking(|reply| Ask::Total(LONG, reply), LONG), Ok(Ok(5)));

            counter.try_tell(Count::Rest(LONG)).unwrap();
            let begin = Instant::now();
            assert_eq!(
                asker.ask_blocking(|reply| Ask::Total(SHORT, reply), LONG),
                Ok(Err(AskError::Timeout))
            );
            assert!(begin.elapsed() >= SHORT, "{:?}", begin.elapsed());
            assert_eq!(asker.ask_blocking(Ask::Blocking, LONG), Ok(Err(AskError::OnShard)));
        }
        abort(&system);
    }
}

#[test]
fn a_tokio_task_asks_and_times_out() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = counter(&system, 0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let theirs = counter.clone();
        // Spawning requires that the future is `Send`.
        let asked = async move { theirs.ask(Count::Total, LONG).await };
        assert_eq!(runtime.block_on(async { tokio::spawn(asked).await.unwrap() }), Ok(0));
        counter.try_tell(Count::Rest(LONG)).unwrap();
        assert_eq!(runtime.block_on(counter.ask(Count::Total, SHORT)), Err(AskError::Timeout));
        abort(&system);
    }
}

#[test]
fn any_other_executor_asks_and_times_out_with_the_timers_of_the_shard() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = counter(&system, 0);
        assert_eq!(pollster::block_on(counter.ask(Count::Total, LONG)), Ok(0));
        counter.try_tell(Count::Rest(LONG)).unwrap();
        let begin = Instant::now();
        assert_eq!(pollster::block_on(counter.ask(Count::Total, SHORT)), Err(AskError::Timeout));
        assert!(begin.elapsed() >= SHORT, "{:?}", begin.elapsed());
        abort(&system);
    }
}

#[test]
fn a_dropped_reply_is_an_error_at_once() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = counter(&system, 0);
        assert_eq!(counter.ask_blocking(Count::Ignore, LONG), Err(AskError::NoReply));
    }
}

#[test]
fn a_question_to_an_actor_that_exits_ends() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = counter(&system, 0);
        let (sender, answer) = mpsc::channel();
        counter.try_tell(Count::Rest(SHORT)).unwrap();
        counter.try_tell(Count::Stop).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| sender.send(counter.ask_blocking(Count::Total, LONG)).unwrap());
        });
        assert!(matches!(answer.recv().unwrap(), Err(AskError::NoReply | AskError::Closed)));
        eventually("the actor is closed", || !counter.is_open());
        assert_eq!(counter.ask_blocking(Count::Total, LONG), Err(AskError::Closed));
    }
}

#[test]
fn a_timeout_includes_the_wait_for_a_slot() {
    for host in hosts() {
        let system = system(host, 1);
        let options = SpawnOptions { mailbox: 1, ..SpawnOptions::default() };
        let counter = system.spawn(Placement::Shard(0), options, Counter::default).unwrap();
        counter.try_tell(Count::Rest(20 * SHORT)).unwrap();
        eventually("the mailbox is empty", || counter.depth() == 0);
        counter.try_tell(Count::Add(1)).unwrap();
        assert_eq!(pollster::block_on(counter.ask(Count::Total, SHORT)), Err(AskError::Timeout));
        assert_eq!(counter.ask_blocking(Count::Total, SHORT), Err(AskError::Timeout));
        assert_eq!(counter.ask_blocking(Count::Total, LONG), Ok(1));
    }
}
