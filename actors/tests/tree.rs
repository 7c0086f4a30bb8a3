//! Parents and children: the order of exits, reports to parents, escalation of failures.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::{LONG, eventually, hosts, system};
use windlass_actors::{
    Actor, Addr, ChildExit, Context, ExitReason, Flow, Placement, Reply, Restart, RestartDecision,
    SpawnOptions, System, Undelivered, error::AskError,
};

type Log = Arc<Mutex<Vec<String>>>;

fn log(log: &Log, line: impl Into<String>) {
    log.lock().unwrap().push(line.into());
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().clone()
}

/// Message to a node.
enum Do {
    Panic,
    Fail,
    Stop,
    /// Waits for this time before the next message.
    Rest(Duration),
    /// Asks for the addresses of the children of this run.
    Children(Reply<Vec<Addr<Do>>>),
    /// Asks for the number of restarts.
    Restarts(Reply<u64>),
}

/// Actor in a tree. It spawns its children when it starts.
#[derive(Clone)]
struct Node {
    name: &'static str,
    log: Log,
    /// Shard, options and node of each child.
    children: Vec<(usize, SpawnOptions, Node)>,
    /// Whether it runs on when a child has reached its restart limit. `None` stands for the default of the
    /// trait.
    tolerates: Option<bool>,
    addresses: Vec<Addr<Do>>,
}

impl Node {
    fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: Arc::clone(log), children: Vec::new(), tolerates: None, addresses: Vec::new() }
    }

    fn with(mut self, shard: usize, options: SpawnOptions, child: Node) -> Self {
        self.children.push((shard, options, child));
        self
    }
}

impl Actor for Node {
    type Msg = Do;

    async fn started(&mut self, cx: &mut Context<Do>) -> Flow {
        for (shard, options, child) in self.children.clone() {
            match cx.spawn_on(Placement::Shard(shard), options, move || child.clone()) {
                Ok(address) => self.addresses.push(address),
                Err(error) => return Flow::fail(error),
            }
        }
        Flow::Continue
    }

    async fn handle(&mut self, message: Do, cx: &mut Context<Do>) -> Flow {
        match message {
            Do::Panic => panic!("on request"),
            Do::Fail => return Flow::fail("on request"),
            Do::Stop => return Flow::Stop,
            Do::Rest(time) => cx.sleep(time).await,
            Do::Children(reply) => reply.send(self.addresses.clone()),
            Do::Restarts(reply) => reply.send(cx.restarts()),
        }
        Flow::Continue
    }

    async fn child_exited(&mut self, child: &ChildExit, _: &mut Context<Do>) -> Flow {
        let decision = match child.decision {
            RestartDecision::Restart { .. } => "restarts",
            RestartDecision::Stop => "exits",
            _ => "limit reached",
        };
        log(
            &self.log,
            format!(
                "{} got: {} {} x{}, {decision}",
                self.name, child.exit.name, child.exit.reason, child.failures
            ),
        );
        match self.tolerates {
            Some(true) => Flow::Continue,
            _ if child.decision == RestartDecision::LimitReached => Flow::fail(child.to_string()),
            _ => Flow::Continue,
        }
    }

    async fn stopped(&mut self, cx: &mut Context<Do>) {
        log(&self.log, format!("{} stopped, {} children", self.name, cx.children()));
    }
}

fn options(name: &str, restarts: usize) -> SpawnOptions {
    SpawnOptions { max_restarts: restarts, backoff: Duration::from_millis(1), ..SpawnOptions::named(name) }
}

fn spawn(system: &System, options: SpawnOptions, node: Node) -> Addr<Do> {
    system.spawn(Placement::Shard(0), options, move || node.clone()).unwrap()
}

fn children(parent: &Addr<Do>) -> Vec<Addr<Do>> {
    parent.ask_blocking(Do::Children, LONG).unwrap()
}

#[test]
fn children_drain_and_exit_before_their_parent_on_every_shard() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let leaf = |name| Node::new(name, &log);
        let middle = leaf("middle").with(0, options("leaf", 1), leaf("leaf"));
        let root =
            leaf("root").with(1, options("middle", 1), middle).with(1, options("other", 1), leaf("other"));
        let root = spawn(&system, options("root", 1), root);
        let ends: Vec<_> = children(&root);
        let (sender, reply) = std::sync::mpsc::channel();
        // The messages in a child's mailbox are handled before the child exits.
        let other = ends[1].clone();
        other.try_tell(Do::Rest(Duration::from_millis(50))).unwrap();
        eventually("the actor is busy", || other.depth() == 0);
        let asker = std::thread::spawn(move || sender.send(other.ask_blocking(Do::Restarts, LONG)).unwrap());
        eventually("the message waits", || ends[1].depth() == 1);
        root.stop(Undelivered::Drain);
        assert_eq!(root.exited_blocking(LONG).unwrap().reason, ExitReason::StopRequested);
        assert_eq!(reply.recv().unwrap(), Ok(0));
        asker.join().unwrap();
        for child in &ends {
            assert_eq!(child.exited_blocking(LONG).unwrap().reason, ExitReason::StopRequested);
        }
        let lines = lines(&log);
        let place =
            |name: &str| lines.iter().position(|line| line.starts_with(&format!("{name} stopped"))).unwrap();
        assert!(place("leaf") < place("middle") && place("middle") < place("root"), "{lines:?}");
        assert!(place("other") < place("root"), "{lines:?}");
        eventually("all exits are counted", || system.counts().stopped == 4);
    }
}

#[test]
fn a_parent_gets_each_failure_and_the_exit_of_a_child() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let root = Node::new("root", &log).with(1, options("child", 5), Node::new("child", &log));
        let root = spawn(&system, options("root", 0), root);
        let child = children(&root).remove(0);
        child.try_tell(Do::Panic).unwrap();
        eventually("one report has arrived", || lines(&log).len() == 1);
        child.try_tell(Do::Fail).unwrap();
        eventually("two reports have arrived", || {
            lines(&log).iter().filter(|line| line.contains("got")).count() == 2
        });
        child.try_tell(Do::Stop).unwrap();
        eventually("three reports have arrived", || {
            lines(&log).iter().filter(|line| line.contains("got")).count() == 3
        });
        let reports: Vec<_> = lines(&log).into_iter().filter(|line| line.contains("got")).collect();
        assert_eq!(
            reports,
            [
                "root got: child panicked: on request x1, restarts",
                "root got: child failed: on request x1, restarts",
                "root got: child stopped itself x0, exits",
            ]
        );
        assert_eq!(root.ask_blocking(Do::Restarts, LONG), Ok(0), "the parent runs on");
        let counts = system.counts();
        assert_eq!(
            (counts.panicked, counts.failed, counts.restarted, counts.restart_limit_reached),
            (1, 1, 2, 0)
        );
    }
}

#[test]
fn failures_during_a_long_message_of_the_parent_are_one_report() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let root = Node::new("root", &log).with(1, options("child", 5), Node::new("child", &log));
        let root = spawn(&system, options("root", 0), root);
        let child = children(&root).remove(0);
        root.try_tell(Do::Rest(Duration::from_millis(150))).unwrap();
        eventually("the actor is busy", || root.depth() == 0);
        for _ in 0..3 {
            child.try_tell(Do::Panic).unwrap();
        }
        assert_eq!(child.ask_blocking(Do::Restarts, LONG), Ok(3));
        eventually("the report has arrived", || !lines(&log).is_empty());
        assert_eq!(lines(&log), ["root got: child panicked: on request x3, restarts"]);
    }
}

#[test]
fn a_child_that_fails_too_often_fails_its_parent_and_both_restart() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let root = Node::new("root", &log).with(1, options("child", 1), Node::new("child", &log));
        let root = spawn(&system, options("root", 3), root);
        let child = children(&root).remove(0);
        child.try_tell(Do::Panic).unwrap();
        child.try_tell(Do::Panic).unwrap();
        assert!(matches!(child.exited_blocking(LONG).unwrap().reason, ExitReason::Panicked(_)));
        eventually("the parent has restarted", || root.ask_blocking(Do::Restarts, LONG) == Ok(1));
        let new = children(&root).remove(0);
        assert!(new != child && new.is_open());
        assert_eq!(new.ask_blocking(Do::Restarts, LONG), Ok(0));
        assert_eq!(system.counts().restart_limit_reached, 1);
    }
}

#[test]
fn failures_escalate_until_a_parent_tolerates_them() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let leaf = Node::new("leaf", &log);
        let middle = Node::new("middle", &log).with(0, options("leaf", 0), leaf);
        let mut root = Node::new("root", &log).with(1, options("middle", 0), middle);
        root.tolerates = Some(true);
        let root = spawn(&system, options("root", 0), root);
        let middle = children(&root).remove(0);
        let leaf = children(&middle).remove(0);
        leaf.try_tell(Do::Fail).unwrap();
        let exit = middle.exited_blocking(LONG).unwrap();
        let ExitReason::Failed(text) = &exit.reason else { panic!("{exit}") };
        assert!(text.contains("'leaf'") && text.contains("on request"), "{exit}");
        eventually("the root has the report", || {
            lines(&log).iter().any(|line| line.starts_with("root got: middle failed"))
        });
        assert_eq!(root.ask_blocking(Do::Restarts, LONG), Ok(0));
        assert_eq!(system.counts().restart_limit_reached, 2);
    }
}

#[test]
fn a_parent_that_panics_restarts_with_new_children() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let root = Node::new("root", &log).with(1, options("child", 1), Node::new("child", &log));
        let root = spawn(&system, options("root", 3), root);
        let child = children(&root).remove(0);
        // The messages in the mailboxes of a failed parent's children are dropped.
        child.try_tell(Do::Rest(Duration::from_millis(20))).unwrap();
        eventually("the actor is busy", || child.depth() == 0);
        child.try_tell(Do::Stop).unwrap();
        root.try_tell(Do::Panic).unwrap();
        assert_eq!(child.exited_blocking(LONG).unwrap().reason, ExitReason::StopRequested);
        assert_eq!(system.counts().messages_dropped, 1);
        eventually("the parent has new children", || children(&root) != [child.clone()]);
        assert_eq!(root.ask_blocking(Do::Restarts, LONG), Ok(1));
    }
}

#[test]
fn a_child_that_does_not_exit_in_time_is_dropped() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let root = Node::new("root", &log).with(1, options("child", 1), Node::new("child", &log));
        let slow = SpawnOptions { children_grace: Duration::from_millis(30), ..options("root", 1) };
        let root = spawn(&system, slow, root);
        let child = children(&root).remove(0);
        child.try_tell(Do::Rest(LONG)).unwrap();
        eventually("the actor is busy", || child.depth() == 0);
        let begin = Instant::now();
        root.stop(Undelivered::Drain);
        assert_eq!(root.exited_blocking(LONG).unwrap().reason, ExitReason::StopRequested);
        assert_eq!(child.exited_blocking(LONG).unwrap().reason, ExitReason::Aborted);
        assert!(begin.elapsed() < LONG / 2 && begin.elapsed() >= Duration::from_millis(30));
    }
}

/// Actor that sends each message to its child, which counts it.
struct Foreman(Option<Addr<u64>>, Arc<AtomicU64>);

struct Hand(Arc<AtomicU64>);

impl Actor for Hand {
    type Msg = u64;

    async fn handle(&mut self, n: u64, cx: &mut Context<u64>) -> Flow {
        cx.sleep(Duration::from_millis(1)).await;
        self.0.fetch_add(n, Ordering::SeqCst);
        Flow::Continue
    }
}

impl Actor for Foreman {
    type Msg = u64;

    async fn started(&mut self, cx: &mut Context<u64>) -> Flow {
        let sum = Arc::clone(&self.1);
        let options = SpawnOptions { mailbox: 4, ..SpawnOptions::named("hand") };
        match cx.spawn_on(Placement::Shard(1), options, move || Hand(Arc::clone(&sum))) {
            Ok(hand) => self.0 = Some(hand),
            Err(error) => return Flow::fail(error),
        }
        Flow::Continue
    }

    async fn handle(&mut self, n: u64, _: &mut Context<u64>) -> Flow {
        let Some(hand) = &self.0 else { return Flow::fail("no hand") };
        hand.tell(n).await.into()
    }
}

#[test]
fn a_draining_system_runs_children_until_their_parents_are_done() {
    for host in hosts() {
        let system = system(host, 2);
        let sum = Arc::new(AtomicU64::new(0));
        let ours = Arc::clone(&sum);
        let options = SpawnOptions { mailbox: 100, ..SpawnOptions::named("foreman") };
        let foreman =
            system.spawn(Placement::Shard(0), options, move || Foreman(None, Arc::clone(&ours))).unwrap();
        for _ in 0..50 {
            foreman.try_tell(1).unwrap();
        }
        system.stop(Undelivered::Drain);
        let report = system.join(LONG);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(sum.load(Ordering::SeqCst), 50);
        assert_eq!((report.actors_stopped, report.messages_dropped), (2, 0), "{report:?}");
    }
}

#[test]
fn a_discarding_stop_ends_a_whole_tree_and_all_questions() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let middle = Node::new("middle", &log).with(0, options("leaf", 1), Node::new("leaf", &log));
        let root =
            spawn(&system, options("root", 1), Node::new("root", &log).with(1, options("middle", 1), middle));
        let middle = children(&root).remove(0);
        let leaf = children(&middle).remove(0);
        leaf.try_tell(Do::Rest(Duration::from_millis(50))).unwrap();
        eventually("the actor is busy", || leaf.depth() == 0);
        let asker = {
            let leaf = leaf.clone();
            std::thread::spawn(move || leaf.ask_blocking(Do::Restarts, LONG))
        };
        eventually("the message waits", || leaf.depth() == 1);
        system.stop(Undelivered::Discard);
        let report = system.join(LONG);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.actors_stopped, 3, "{report:?}");
        assert_eq!(asker.join().unwrap(), Err(AskError::NoReply));
    }
}

#[test]
fn a_child_that_never_restarts_does_not_fail_its_parent() {
    for host in hosts() {
        let (system, log) = (system(host, 1), Log::default());
        let never = SpawnOptions { restart: Restart::Never, ..SpawnOptions::named("child") };
        let root = Node::new("root", &log).with(0, never, Node::new("child", &log));
        let root = spawn(&system, options("root", 0), root);
        children(&root)[0].try_tell(Do::Panic).unwrap();
        eventually("the report has arrived", || {
            lines(&log) == ["root got: child panicked: on request x1, exits"]
        });
        assert_eq!(root.ask_blocking(Do::Restarts, LONG), Ok(0));
    }
}

#[test]
fn a_parent_that_exits_is_woken_by_a_child_with_an_unread_failure() {
    for host in hosts() {
        let (system, log) = (system(host, 2), Log::default());
        let root = Node::new("root", &log).with(1, options("child", 5), Node::new("child", &log));
        let patient = SpawnOptions { children_grace: 10 * LONG, ..options("root", 0) };
        let root = spawn(&system, patient, root);
        let child = children(&root).remove(0);
        root.try_tell(Do::Rest(Duration::from_millis(100))).unwrap();
        eventually("the actor is busy", || root.depth() == 0);
        child.try_tell(Do::Panic).unwrap();
        assert_eq!(child.ask_blocking(Do::Restarts, LONG), Ok(1));
        root.stop(Undelivered::Discard);
        // It does not exit within this time if it waits for the whole grace of its children.
        assert_eq!(root.exited_blocking(LONG).unwrap().reason, ExitReason::StopRequested);
    }
}
