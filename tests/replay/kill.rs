//! `kill -9` at any moment: no event acknowledged as fsynced is lost, and no position is used twice.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use windlass::replay::{
    Append, Durability, Event, Filter, Matcher, Query, ReplayStore, Start,
    durable::{DurableStore, Options},
};

use crate::{
    common::{Random, Scratch, rounds, seed},
    oracle::Oracle,
};

const KILLS: u64 = 24;
/// Environment variables of the child: the store's directory, and the number that its data starts with.
const DIRECTORY: &str = "WINDLASS_REPLAY_KILL_DIRECTORY";
const LIFE: &str = "WINDLASS_REPLAY_KILL_LIFE";

#[test]
fn a_kill_loses_nothing_acknowledged_as_fsynced() {
    let (scratch, mut random) = (Scratch::new("kill"), Random::new(seed()));
    let mut oracle = Oracle::keeping(Some(Options::default().retention.events));
    for life in 0..rounds() * KILLS {
        let child = AppendingChild::start(scratch.path(), life);
        thread::sleep(Duration::from_millis(random.next() % 120));
        for line in child.kill() {
            record(&mut oracle, &line);
        }
        // Every other time the store is left as the kill left it, and the next child opens it.
        if life % 2 == 1 {
            let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
            oracle.check(&store, &mut random);
            check_labels(&store);
        }
    }
    println!("{} kills, {} events acknowledged", rounds() * KILLS, oracle.acknowledged());
    assert!(oracle.acknowledged() as u64 > 4 * KILLS, "too few events were acknowledged to prove anything");
}

/// Labels of the events of the log `labels`, which also have an id and a key.
const LABELS: [&[&str]; 3] = [&["x"], &["y"], &["x", "z"]];

/// Returns an event of the log `labels`.
pub(crate) fn labelled(number: usize, id: &str, data: &str) -> Append {
    let event = Append::new("labels", data.to_owned()).labels(LABELS[number % 3].iter().copied());
    event.id(id.to_owned()).key(id.to_owned())
}

/// Asserts that the tables of labels, ids and keys match the events.
pub(crate) fn check_labels(store: &DurableStore) {
    let read = |filter: Filter| {
        let mut query = Query::new("labels", Start::Earliest).filter(filter);
        let mut events = Vec::new();
        loop {
            let page = store.read_blocking(query.clone()).unwrap();
            events.extend(page.events.iter().cloned());
            if !page.has_more() {
                return events;
            }
            query.start = Start::After(page.resume);
        }
    };
    let all = read(Filter::all());
    for label in ["x", "y", "z", "nothing"] {
        let has_label = |event: &&Event| event.labels.iter().any(|other| other == label);
        let wanted: Vec<Event> = all.iter().filter(has_label).cloned().collect();
        assert_eq!(read(Filter::any_of([Matcher::label(label)])), wanted, "{label}");
    }
    for event in &all {
        let id = event.attributes().id.clone().unwrap();
        assert_eq!(store.find_id_blocking("labels".into(), id).unwrap(), Some(event.position));
    }
    let Some(event) = all.last() else { return };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let id = text(event.attributes().id.as_ref().unwrap());
    let number = LABELS.iter().position(|labels| event.labels.iter().eq(labels.iter())).unwrap();
    let repeat = store.append_blocking(labelled(number, &id, &text(&event.data))).unwrap();
    assert_eq!((repeat.position, repeat.is_repeat), (event.position, true), "{id}");
}

/// Records a line of the child: `try topic data` or `done topic data position durability`.
fn record(oracle: &mut Oracle, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["try", topic, data] => oracle.attempt(topic, data),
        ["done", topic, data, position, durability] => {
            let durability = if durability == "Fsynced" { Durability::Fsynced } else { Durability::None };
            oracle.acknowledge(topic, data, position.parse().unwrap(), durability);
        }
        _ => (),
    }
}

/// A child process that appends until it is killed.
struct AppendingChild {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl AppendingChild {
    /// Starts the child and returns once it is about to open the store, so that the kill hits its work.
    fn start(directory: &Path, life: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env(LIFE, life.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        let mut head = String::new();
        while !head.ends_with("begin\n") {
            assert!(output.read_line(&mut head).unwrap() > 0, "the child ended early: {head}");
        }
        thread::spawn(move || {
            let mut text = String::new();
            drop(output.read_to_string(&mut text));
            // The kill may truncate the last line.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            whole.lines().for_each(|line| drop(sender.send(line.to_owned())));
        });
        Self { child, lines }
    }

    /// Kills the child and returns its complete output lines.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        assert!(!self.child.wait().unwrap().success());
        self.lines.iter().collect()
    }
}

#[test]
#[ignore = "child process of a_kill_loses_nothing_acknowledged_as_fsynced"]
fn child() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let life = std::env::var(LIFE).unwrap();
    print_line("begin");
    let mut options = Options::default();
    // In every third run no append waits for a sync, so acknowledgements precede the sync. In the other runs
    // no sync happens unless an append waits for it.
    let only_buffered = life.parse::<u64>().unwrap() % 3 == 0;
    options.buffered_interval =
        if only_buffered { Duration::from_millis(5) } else { Duration::from_secs(60) };
    let store = DurableStore::open(directory, options).unwrap();
    let durability_of_run = if only_buffered { Durability::Buffered } else { Durability::Fsynced };
    for number in 0_u64.. {
        let topic = ["a", "b", "c", "d", "labels"][(number % 5) as usize];
        // In the fsynced runs every event of topic d is fsynced, so it needs no lease and has no gap.
        let durability =
            if topic == "d" || number % 3 > 0 { durability_of_run } else { Durability::Buffered };
        let data = format!("{life}:{number}:{}", "x".repeat((number % 90) as usize));
        print_line(&format!("try {topic} {data}"));
        let event = match topic {
            "labels" => labelled(number as usize, &format!("{life}:{number}"), &data),
            topic => Append::new(topic, data.clone()),
        };
        let event = event.durability(durability);
        // The completion prints the acknowledgement, so lines are in order and come before the next commit.
        let done = Box::new(move |outcome: Result<windlass::replay::Appended, _>| {
            let appended = outcome.unwrap();
            print_line(&format!("done {topic} {data} {} {:?}", appended.position, appended.durability));
        });
        assert!(store.append(event, done).is_ok());
        if number % 8 == 7 {
            // Limits the number of appends in flight.
            store.append_blocking(Append::new("e", "").durability(durability_of_run)).unwrap();
        }
    }
}

/// Prints a line in one write and flushes it.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
