//! Each rule, made to fail by what it is there for.

use std::time::Duration;

use clap::Parser;

use super::{
    args::Soak,
    process::Usage,
    sample::{Record, Sample, WindowFigures},
    verdict::{Judgement, Verdict},
};
use crate::{
    client::fault::{Fault, Kind},
    load::Totals,
};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    soak: Soak,
}

const MIB: u64 = 1024 * 1024;

fn parsed(arguments: &[&str]) -> Soak {
    let all = ["soak", "--target", "http://127.0.0.1:1/", "--duration", "10m"];
    Command::try_parse_from([&all, arguments].concat()).unwrap().soak
}

/// Samples of ten minutes as a healthy server gave them: 20 MiB that breathe, 64 connections, 9 threads.
fn healthy() -> Record {
    let sample = |second: u32| Sample {
        seconds: f64::from(second),
        length: 1.0,
        usage: Some(Usage {
            rss_bytes: 20 * MIB + u64::from(second % 7) * 4096,
            fds: 30 + 64,
            threads: 9,
            cpu_seconds: f64::from(second) / 10.0,
        }),
        requests: 1000,
        ..Sample::default()
    };
    let idle = Usage { rss_bytes: 18 * MIB, fds: 30, threads: 9, cpu_seconds: 0.1 };
    Record {
        name: "server".to_owned(),
        traffic: parsed(&[]).traffic,
        every: Duration::from_secs(1),
        warmup: Duration::from_secs(60),
        base: Some(idle),
        samples: (1..=600).map(sample).collect(),
        windows: (0..18)
            .map(|window| WindowFigures { p99: 0.0002 + f64::from(window % 3) * 0.000_01, late: 0.000_06 })
            .collect(),
        after: Some(idle),
        totals: Totals {
            requests: 600_000,
            published: 100,
            subscribers: 10,
            deliveries: 990,
            dropped: (0, 10),
            ..Totals::default()
        },
    }
}

/// Judges a record that was healthy before it was changed; returns what failed.
fn failed_by(arguments: &[&str], change: impl FnOnce(&mut Record)) -> Vec<&'static str> {
    let mut record = healthy();
    change(&mut record);
    let verdict = Verdict::of(&record, &parsed(arguments).thresholds);
    let failed: Vec<_> =
        verdict.findings.iter().filter(|finding| finding.judgement == Judgement::Fail).collect();
    assert_eq!(verdict.passes(), failed.is_empty());
    let line = verdict.to_string();
    assert!(
        line.starts_with(if failed.is_empty() { "PASS server" } else { "FAIL server; FAILED " }),
        "{line}"
    );
    assert!(!line.contains('\n'), "{line}");
    failed.iter().map(|finding| finding.rule).collect()
}

fn failed(change: impl FnOnce(&mut Record)) -> Vec<&'static str> {
    failed_by(&[], change)
}

fn usages(record: &mut Record) -> impl Iterator<Item = (f64, &mut Usage)> {
    record.samples.iter_mut().filter_map(|sample| Some((sample.seconds, sample.usage.as_mut()?)))
}

#[test]
fn a_healthy_server_passes_by_every_rule() {
    let verdict = Verdict::of(&healthy(), &parsed(&[]).thresholds);
    let (last, findings) = verdict.findings.split_last().unwrap();
    assert!(findings.iter().all(|finding| finding.judgement == Judgement::Pass), "{verdict}");
    assert_eq!((findings.len(), last.judgement), (12, Judgement::NotJudged), "slow ones may lose any number");
    // The thresholds are in the line.
    for words in ["≤ 10 %", "≤ 20 %", "≤ 1.00 MiB", "30 + 64 + 50", "600000 > 0", "540 of the process"]
    {
        assert!(verdict.to_string().contains(words), "no '{words}' in {verdict}");
    }
}

#[test]
fn no_samples_fail() {
    let all = [
        "samples",
        "memory's spread",
        "memory's growth over the last half",
        "descriptors at the peak",
        "threads",
    ];
    assert_eq!(failed(|record| record.samples.clear()), all);
    assert!(
        failed(|record| record.samples.iter_mut().for_each(|sample| sample.usage = None))
            .starts_with(&all[..1])
    );
    assert_eq!(failed(|record| record.samples.truncate(500)), ["samples"]);
}

#[test]
fn a_server_that_died_fails() {
    let died = failed(|record| {
        record.samples.iter_mut().skip(300).for_each(|sample| sample.usage = None);
        record.after = None;
    });
    assert_eq!(died[0], "samples");
    assert!(died.contains(&"descriptors afterwards"), "{died:?}");
    assert!(failed(|record| record.base = None).contains(&"samples"));
}

#[test]
fn no_requests_fail() {
    assert_eq!(failed(|record| record.totals.requests = 0), ["requests"]);
}

#[test]
fn client_errors_fail() {
    let fail = |record: &mut Record| record.totals.fail(&Fault::new(Kind::Status, 503), 1);
    assert_eq!(failed(fail), ["client errors"]);
    assert!(failed_by(&["--max-errors", "1"], fail).is_empty());
}

#[test]
fn memory_that_jumps_fails() {
    let jump = |record: &mut Record| {
        usages(record)
            .filter(|(at, _)| *at > 200.0 && *at < 290.0)
            .for_each(|(_, usage)| usage.rss_bytes *= 2);
    };
    assert_eq!(failed(jump), ["memory's spread"]);
    assert!(failed_by(&["--max-rss-spread", "40"], jump).is_empty());
    // What a server takes while it warms up is its own.
    let early = |record: &mut Record| {
        usages(record).filter(|(at, _)| *at < 30.0).for_each(|(_, usage)| usage.rss_bytes /= 9)
    };
    assert!(failed(early).is_empty());
    assert_eq!(failed_by(&["--warmup", "1s"], early), [""; 0], "the record has its own warm-up");
}

#[test]
fn a_leak_fails() {
    // 8 KiB a second: 2.3 MiB over the last half.
    let leak =
        |record: &mut Record| usages(record).for_each(|(at, usage)| usage.rss_bytes += at as u64 * 8192);
    assert_eq!(failed(leak), ["memory's growth over the last half"]);
    assert!(failed_by(&["--max-rss-growth", "20"], leak).is_empty());
    assert!(failed_by(&["--rss-growth-after", "11m"], leak).is_empty(), "a short run is not judged by it");
    let little =
        |record: &mut Record| usages(record).for_each(|(at, usage)| usage.rss_bytes += at as u64 * 2048);
    assert!(failed(little).is_empty(), "a MiB is allowed");
}

#[test]
fn too_many_descriptors_fail() {
    let one = |record: &mut Record| usages(record).take(1).for_each(|(_, usage)| usage.fds = 30 + 64 + 51);
    assert_eq!(failed(one), ["descriptors at the peak"]);
    assert!(failed_by(&["--max-fds", "51"], one).is_empty());
}

#[test]
fn a_descriptor_that_is_never_closed_fails() {
    let kept = |record: &mut Record| record.after = record.after.map(|after| Usage { fds: 31, ..after });
    assert_eq!(failed(kept), ["descriptors afterwards"]);
}

#[test]
fn p99_that_jumps_about_fails() {
    let jump =
        |record: &mut Record| record.windows.iter_mut().step_by(5).for_each(|window| window.p99 *= 2.0);
    assert_eq!(failed(jump), ["p99's spread"]);
    assert!(failed_by(&["--max-p99-spread", "60"], jump).is_empty());
    let few = |record: &mut Record| {
        jump(record);
        record.windows.truncate(3);
    };
    assert!(failed(few).is_empty(), "three windows tell nothing");
}

#[test]
fn p99_that_grows_fails() {
    let grow = |record: &mut Record| {
        (0..).zip(&mut record.windows).for_each(|(index, window)| window.p99 *= 1.0 + f64::from(index) * 0.02)
    };
    assert_eq!(failed(grow), ["p99's trend"]);
    assert!(failed_by(&["--max-p99-growth", "60"], grow).is_empty());
}

#[test]
fn what_the_machine_did_is_not_the_servers_unless_the_server_did_it() {
    let stalls = |record: &mut Record| {
        record.windows.iter_mut().step_by(5).for_each(|window| (window.p99, window.late) = (0.004, 0.001));
    };
    assert!(failed(stalls).is_empty());
    let and_jumps = |record: &mut Record| {
        stalls(record);
        record.windows.iter_mut().skip(1).step_by(5).for_each(|window| window.p99 *= 2.0);
    };
    assert_eq!(failed(and_jumps), ["p99's spread"], "what does not go with the machine is the server's");
    let busy = |record: &mut Record| {
        stalls(record);
        usages(record).for_each(|(_, usage)| usage.cpu_seconds *= 1000.0);
    };
    assert_eq!(failed(busy), ["p99's spread"], "the server made the machine late");
    let always = |record: &mut Record| {
        stalls(record);
        record.windows.iter_mut().for_each(|window| window.late = 0.001);
    };
    assert_eq!(failed(always), ["p99's spread"], "what is always there explains nothing");
    let somewhat = |record: &mut Record, wakes: f64| {
        for (window, late) in record.windows.iter_mut().zip([0.000_04, 0.000_1, 0.000_07].into_iter().cycle())
        {
            (window.p99, window.late) = (0.000_1 + wakes * late, late);
        }
    };
    assert!(failed(|record| somewhat(record, 4.0)).is_empty());
    assert_eq!(
        failed(|record| somewhat(record, 30.0)),
        ["p99's spread"],
        "no request waits for so many wakes"
    );
}

#[test]
fn p99_that_grows_with_the_machines_own_is_not_the_servers() {
    let grows = |record: &mut Record, late: fn(f64) -> f64| {
        for (index, window) in (0..).map(f64::from).zip(&mut record.windows) {
            (window.p99, window.late) = (0.0002 + 0.000_02 * index, late(index));
        }
    };
    assert!(failed(|record| grows(record, |index| 0.0001 + 0.000_01 * index)).is_empty());
    let other_way = failed(|record| grows(record, |index| 0.0003 - 0.000_01 * index));
    assert_eq!(other_way, ["p99's spread", "p99's trend"], "it grows although the machine gets better");
    let its_own = failed(|record| {
        grows(record, |index| 0.0001 + 0.000_01 * index);
        usages(record).for_each(|(at, usage)| usage.cpu_seconds *= 1.0 + at / 1000.0);
    });
    assert_eq!(its_own, ["p99's spread", "p99's trend"], "the machine may be late because of it");
}

#[test]
fn threads_that_come_or_go_fail() {
    let more = |record: &mut Record| usages(record).skip(500).for_each(|(_, usage)| usage.threads += 1);
    assert_eq!(failed(more), ["threads"]);
    assert!(failed_by(&["--max-threads-change", "1"], more).is_empty());
}

#[test]
fn deliveries_that_do_not_add_up_fail() {
    assert_eq!(failed(|record| record.totals.deliveries -= 1), ["deliveries"]);
    assert_eq!(failed(|record| record.totals.dropped.1 += 1), ["deliveries"]);
    assert!(failed(|record| record.totals.subscribers = 0).is_empty(), "nobody subscribed");
    let queued = |record: &mut Record| (record.totals.deliveries, record.totals.queued) = (900, 90);
    assert!(failed(queued).is_empty());
}

#[test]
fn events_that_a_fast_subscriber_does_not_get_fail() {
    let lose = |record: &mut Record| record.totals.dropped = (10, 0);
    assert_eq!(failed(lose), ["events dropped for subscribers who read at once"]);
    assert!(failed_by(&["--max-dropped", "10"], lose).is_empty());
}

#[test]
fn events_that_a_slow_subscriber_does_not_get_fail_where_none_may_be_lost() {
    let none = ["--max-dropped-slow", "0"];
    assert_eq!(failed_by(&none, |_| ()), ["events dropped for slow subscribers"]);
    assert!(failed_by(&["--max-dropped-slow", "10"], |_| ()).is_empty());
    assert!(failed_by(&none, |record| record.totals.subscribers = 0).is_empty(), "nobody subscribed");
}

#[test]
fn whoever_looks_less_often_has_fewer_samples() {
    let rarely = |record: &mut Record| {
        record.every = Duration::from_secs(5);
        record.samples.retain(|sample| sample.seconds % 5.0 == 0.0);
    };
    assert!(failed(rarely).is_empty());
    let too_rarely = |record: &mut Record| {
        rarely(record);
        record.samples.truncate(100);
    };
    assert_eq!(failed(too_rarely), ["samples"]);
}

#[test]
fn a_run_of_so_many_events_needs_samples_of_the_time_it_took() {
    let half = |record: &mut Record| record.samples.truncate(400);
    assert_eq!(failed(half), ["samples"]);
    let by_events = |record: &mut Record| {
        half(record);
        record.traffic.events = Some(100);
    };
    assert!(failed(by_events).is_empty());
    let without = |record: &mut Record| {
        by_events(record);
        record.samples.iter_mut().take(60).for_each(|sample| sample.usage = None);
    };
    assert_eq!(failed(without), ["samples"]);
}
