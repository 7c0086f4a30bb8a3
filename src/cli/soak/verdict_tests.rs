//! Each rule of the verdict, made to fail.

use std::time::Duration;

use clap::Parser;

use super::{
    args::Soak,
    process::Usage,
    sample::{Record, Sample, WindowFigures},
    verdict::{Judgement, Verdict},
};
use crate::client::{
    fault::{Fault, Kind},
    totals::Totals,
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

/// Returns the record of a healthy server over ten minutes: 20 MiB that vary a little, 64 connections,
/// 9 threads.
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
            dropped_slow: 10,
            ..Totals::default()
        },
    }
}

/// Changes the record of a healthy server and returns the rules that fail.
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
    assert_eq!(
        (findings.len(), last.judgement),
        (12, Judgement::NotJudged),
        "slow subscribers may lose any number"
    );
    // The thresholds are in the line.
    for words in [
        "≤ 10 %",
        "≤ 20 %",
        "≤ 1.00 MiB",
        "30 before the load + 64 connections + 50 more",
        "600000 > 0",
        "540 with figures of the process",
    ] {
        assert!(verdict.to_string().contains(words), "no '{words}' in {verdict}");
    }
}

#[test]
fn no_samples_fail() {
    let all = [
        "samples",
        "memory spread",
        "memory growth over the last half",
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
    let fail = |record: &mut Record| record.totals.failed(&Fault::new(Kind::Status, 503), 1);
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
    assert_eq!(failed(jump), ["memory spread"]);
    assert!(failed_by(&["--max-rss-spread", "40"], jump).is_empty());
    // The memory during the warm-up does not count.
    let early = |record: &mut Record| {
        usages(record).filter(|(at, _)| *at < 30.0).for_each(|(_, usage)| usage.rss_bytes /= 9)
    };
    assert!(failed(early).is_empty());
    assert_eq!(failed_by(&["--warmup", "1s"], early), [""; 0], "the record has its own warm-up");
}

#[test]
fn a_leak_fails() {
    // 8 KiB per second: 2.3 MiB over the last half.
    let leak =
        |record: &mut Record| usages(record).for_each(|(at, usage)| usage.rss_bytes += at as u64 * 8192);
    assert_eq!(failed(leak), ["memory growth over the last half"]);
    assert!(failed_by(&["--max-rss-growth", "20"], leak).is_empty());
    assert!(
        failed_by(&["--rss-growth-after", "11m"], leak).is_empty(),
        "memory growth is not judged in a run shorter than --rss-growth-after"
    );
    let little =
        |record: &mut Record| usages(record).for_each(|(at, usage)| usage.rss_bytes += at as u64 * 2048);
    assert!(failed(little).is_empty(), "1 MiB is permitted");
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
fn a_varying_p99_fails() {
    let jump =
        |record: &mut Record| record.windows.iter_mut().step_by(5).for_each(|window| window.p99 *= 2.0);
    assert_eq!(failed(jump), ["p99 spread"]);
    assert!(failed_by(&["--max-p99-spread", "60"], jump).is_empty());
    let few = |record: &mut Record| {
        jump(record);
        record.windows.truncate(3);
    };
    assert!(failed(few).is_empty(), "three windows are too few");
}

#[test]
fn a_rising_p99_fails() {
    let grow = |record: &mut Record| {
        (0..).zip(&mut record.windows).for_each(|(index, window)| window.p99 *= 1.0 + f64::from(index) * 0.02)
    };
    assert_eq!(failed(grow), ["p99 trend"]);
    assert!(failed_by(&["--max-p99-growth", "60"], grow).is_empty());
}

#[test]
fn delays_of_the_machine_do_not_count_unless_the_server_causes_them() {
    let stalls = |record: &mut Record| {
        record.windows.iter_mut().step_by(5).for_each(|window| (window.p99, window.late) = (0.004, 0.001));
    };
    assert!(failed(stalls).is_empty());
    let and_jumps = |record: &mut Record| {
        stalls(record);
        record.windows.iter_mut().skip(1).step_by(5).for_each(|window| window.p99 *= 2.0);
    };
    assert_eq!(failed(and_jumps), ["p99 spread"], "the delay of the machine does not explain these windows");
    let busy = |record: &mut Record| {
        stalls(record);
        usages(record).for_each(|(_, usage)| usage.cpu_seconds *= 1000.0);
    };
    assert_eq!(failed(busy), ["p99 spread"], "the server may have delayed the machine");
    let always = |record: &mut Record| {
        stalls(record);
        record.windows.iter_mut().for_each(|window| window.late = 0.001);
    };
    assert_eq!(failed(always), ["p99 spread"], "a constant delay explains no spread");
    let somewhat = |record: &mut Record, wakes: f64| {
        for (window, late) in record.windows.iter_mut().zip([0.000_04, 0.000_1, 0.000_07].into_iter().cycle())
        {
            (window.p99, window.late) = (0.000_1 + wakes * late, late);
        }
    };
    assert!(failed(|record| somewhat(record, 4.0)).is_empty());
    assert_eq!(
        failed(|record| somewhat(record, 30.0)),
        ["p99 spread"],
        "the delay of the machine explains at most 4 wake-ups per request"
    );
}

#[test]
fn a_p99_that_rises_with_the_delay_of_the_machine_passes() {
    let grows = |record: &mut Record, late: fn(f64) -> f64| {
        for (index, window) in (0..).map(f64::from).zip(&mut record.windows) {
            (window.p99, window.late) = (0.0002 + 0.000_02 * index, late(index));
        }
    };
    assert!(failed(|record| grows(record, |index| 0.0001 + 0.000_01 * index)).is_empty());
    let other_way = failed(|record| grows(record, |index| 0.0003 - 0.000_01 * index));
    assert_eq!(other_way, ["p99 spread", "p99 trend"], "p99 rises although the delay of the machine falls");
    let its_own = failed(|record| {
        grows(record, |index| 0.0001 + 0.000_01 * index);
        usages(record).for_each(|(at, usage)| usage.cpu_seconds *= 1.0 + at / 1000.0);
    });
    assert_eq!(its_own, ["p99 spread", "p99 trend"], "the server may have delayed the machine");
}

#[test]
fn a_changing_number_of_threads_fails() {
    let more = |record: &mut Record| usages(record).skip(500).for_each(|(_, usage)| usage.threads += 1);
    assert_eq!(failed(more), ["threads"]);
    assert!(failed_by(&["--max-threads-change", "1"], more).is_empty());
}

#[test]
fn deliveries_that_do_not_add_up_fail() {
    assert_eq!(failed(|record| record.totals.deliveries -= 1), ["deliveries"]);
    assert_eq!(failed(|record| record.totals.dropped_slow += 1), ["deliveries"]);
    assert!(failed(|record| record.totals.subscribers = 0).is_empty(), "there were no subscribers");
    let queued = |record: &mut Record| (record.totals.deliveries, record.totals.queued) = (900, 90);
    assert!(failed(queued).is_empty());
}

#[test]
fn events_dropped_for_a_fast_subscriber_fail() {
    let lose = |record: &mut Record| {
        (record.totals.dropped_fast, record.totals.dropped_slow) = (10, 0);
    };
    assert_eq!(failed(lose), ["events dropped for fast subscribers"]);
    assert!(failed_by(&["--max-dropped", "10"], lose).is_empty());
}

#[test]
fn events_dropped_for_a_slow_subscriber_fail_if_none_may_be() {
    let none = ["--max-dropped-slow", "0"];
    assert_eq!(failed_by(&none, |_| ()), ["events dropped for slow subscribers"]);
    assert!(failed_by(&["--max-dropped-slow", "10"], |_| ()).is_empty());
    assert!(failed_by(&none, |record| record.totals.subscribers = 0).is_empty(), "there were no subscribers");
}

#[test]
fn a_longer_interval_needs_fewer_samples() {
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
fn a_run_with_a_fixed_number_of_events_needs_samples_of_its_actual_duration() {
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
