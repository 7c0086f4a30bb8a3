//! Counts words with an actor on each of two shards. A pool reads the files. There is no HTTP.
//!
//! `cargo run -p windlass-actors --example counter -- some.txt other.txt`. Without files it counts the words
//! of its own source.

use std::{collections::HashMap, env, error::Error, fs, time::Duration};

use windlass_actors::{
    Actor, Addr, Context, Cores, Flow, Placement, Pool, Reply, SpawnOptions, System, Undelivered,
};

const SECOND: Duration = Duration::from_secs(1);

/// Message to a counter.
enum Msg {
    Line(String),
    Top(Reply<Option<(String, u64)>>),
}

/// Actor that counts the words of lines.
#[derive(Default)]
struct Words(HashMap<String, u64>);

impl Actor for Words {
    type Msg = Msg;

    async fn handle(&mut self, message: Msg, _: &mut Context<Msg>) -> Flow {
        match message {
            Msg::Line(line) => {
                for word in line.split_whitespace() {
                    *self.0.entry(word.to_lowercase()).or_default() += 1;
                }
            }
            Msg::Top(reply) => {
                let top = self.0.iter().max_by_key(|&(word, count)| (count, word));
                reply.send(top.map(|(word, count)| (word.clone(), *count)));
            }
        }
        Flow::Continue
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let system = System::builder().name("words").cores(Cores::Unpinned(2)).start()?;
    let pool = Pool::builder().workers(1).blocking_threads(1).build()?;
    let counters: Vec<Addr<Msg>> = (0..2)
        .map(|shard| system.spawn(Placement::Shard(shard), SpawnOptions::named("words"), Words::default))
        .collect::<Result<_, _>>()?;

    let mut reads = Vec::new();
    for (path, counter) in
        env::args().skip(1).filter(|path| !path.starts_with('-')).zip(counters.iter().cycle())
    {
        // Reading blocks, so the pool does it. A full mailbox slows the reader down to the pace of the
        // counter.
        let counter = counter.clone();
        reads.push(pool.run_blocking(move || -> Result<(), String> {
            let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
            text.lines()
                .try_for_each(|line| counter.tell_blocking(Msg::Line(line.to_owned())))
                .map_err(|e| e.to_string())
        }));
    }
    for line in include_str!("counter.rs").lines() {
        counters[0].tell_blocking(Msg::Line(line.to_owned()))?;
    }

    println!("pool: {:?}", pool.stop(Undelivered::Drain, SECOND).stats.blocking);
    for counter in &counters {
        println!("shard {}: {:?}", counter.shard(), counter.ask_blocking(Msg::Top, SECOND)?);
    }
    system.stop(Undelivered::Drain);
    println!("{:?}", system.join(SECOND));
    Ok(())
}
