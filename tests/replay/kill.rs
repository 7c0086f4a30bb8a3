//! `kill -9` at any moment loses nothing that was acknowledged as fsynced, and no position comes twice.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use windlass::replay::{
    Append, Durability, ReplayStore,
    durable::{DurableStore, Options},
};

use crate::{
    common::{Random, Scratch, rounds, seed},
    oracle::Oracle,
};

const KILLS: u64 = 24;
/// Tells the child where the store is, and how its data shall begin.
const DIRECTORY: &str = "WINDLASS_REPLAY_KILL_DIRECTORY";
const LIFE: &str = "WINDLASS_REPLAY_KILL_LIFE";

#[test]
fn a_kill_loses_nothing_acknowledged_as_fsynced() {
    let (scratch, mut random) = (Scratch::new("kill"), Random::new(seed()));
    let mut oracle = Oracle::keeping(Some(Options::default().retention.events));
    for life in 0..rounds() * KILLS {
        let child = Killed::start(scratch.path(), life);
        thread::sleep(Duration::from_millis(random.next() % 120));
        for line in child.kill() {
            note(&mut oracle, &line);
        }
        // Every other time the next child finds what the kill has left.
        if life % 2 == 1 {
            let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
            oracle.judge(&store, &mut random);
        }
    }
    println!("{} kills, {} events acknowledged", rounds() * KILLS, oracle.acknowledged());
    assert!(oracle.acknowledged() as u64 > 4 * KILLS, "the test tested nothing");
}

/// Takes in a line of the child: `try topic data` or `told topic data position durability`.
fn note(oracle: &mut Oracle, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["try", topic, data] => oracle.attempt(topic, data),
        ["told", topic, data, position, durability] => {
            let durability = if durability == "Fsynced" { Durability::Fsynced } else { Durability::None };
            oracle.acknowledge(topic, data, position.parse().unwrap(), durability);
        }
        _ => (),
    }
}

/// A process that appends until it is killed.
struct Killed {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Killed {
    /// Starts it; returns once it does something, so that the time of the kill falls into its work.
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
            assert!(output.read_line(&mut head).unwrap() > 0, "the child ended: {head}");
        }
        thread::spawn(move || {
            let mut text = String::new();
            drop(output.read_to_string(&mut text));
            // The kill may cut the last line.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            whole.lines().for_each(|line| drop(sender.send(line.to_owned())));
        });
        Self { child, lines }
    }

    /// Kills it and returns all it has said.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        assert!(!self.child.wait().unwrap().success());
        self.lines.iter().collect()
    }
}

#[test]
#[ignore = "the process that a_kill_loses_nothing_acknowledged_as_fsynced kills"]
fn child() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let life = std::env::var(LIFE).unwrap();
    say("begin");
    let mut options = Options::default();
    // In every third life nobody asks for a sync, so that what is told runs ahead of the disk. In the others none comes
    // by itself.
    let is_hasty = life.parse::<u64>().unwrap() % 3 == 0;
    options.buffered_interval = if is_hasty { Duration::from_millis(5) } else { Duration::from_secs(60) };
    let store = DurableStore::open(directory, options).unwrap();
    let asked = if is_hasty { Durability::Buffered } else { Durability::Fsynced };
    for number in 0_u64.. {
        let topic = ["a", "b", "c", "d"][(number % 4) as usize];
        // Topic d is fsynced alone, where anything is: it has no lease and no gap.
        let durability = if topic == "d" || number % 3 > 0 { asked } else { Durability::Buffered };
        let data = format!("{life}:{number}:{}", "x".repeat((number % 90) as usize));
        say(&format!("try {topic} {data}"));
        let event = Append::new(topic, data.clone()).durability(durability);
        // Acknowledgements are said where they are told: in order, and before the next commit.
        let told = Box::new(move |outcome: Result<windlass::replay::Appended, _>| {
            let appended = outcome.unwrap();
            say(&format!("told {topic} {data} {} {:?}", appended.position, appended.durability));
        });
        assert!(store.append(event, told).is_ok());
        if number % 8 == 7 {
            // Not more than some appends are on their way.
            store.append_blocking(Append::new("e", "").durability(asked)).unwrap();
        }
    }
}

/// Says a line at once, in one write.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
