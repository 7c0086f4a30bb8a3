//! A server embedded in a program: instances are independent, and a stopped server leaves nothing behind.

use std::{collections::BTreeSet, fs, thread, time::Duration};

use windlass::{
    Builder, DrainReport, Listen, Operations, Router, RouterHandle, Server, Snapshot, StartError,
    actors::{Addr, Cores, Pool, System},
    broker::Broker,
    get,
};

use crate::common::{address, base_builder, builder, connect, start};

#[test]
fn handles_are_send_and_most_are_sync() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Server>();
    shared::<RouterHandle>();
    shared::<System>();
    shared::<Pool>();
    shared::<Broker>();
    shared::<Addr<u32>>();
    shared::<Snapshot>();
    shared::<windlass::Collector>();
    shared::<DrainReport>();
    shared::<StartError>();
    fn sent<T: Send + 'static>() {}
    sent::<Builder>();
    sent::<windlass::Request>();
    sent::<windlass::Response>();
    sent::<windlass::BodySender>();
}

#[test]
fn two_servers_in_one_process_are_independent() {
    let one =
        start(Router::new().state("one").route(get("/", |r: windlass::Request| *r.state::<&str>().unwrap())));
    let two =
        start(Router::new().state("two").route(get("/", |r: windlass::Request| *r.state::<&str>().unwrap())));
    assert_ne!(address(&one), address(&two));
    assert_eq!((connect(&one).get("/").text(), connect(&two).get("/").text()), ("one".into(), "two".into()));
    assert_eq!((one.metrics().requests, two.metrics().requests), (1, 1));
    let report = one.drain(None);
    assert!(report.system.is_clean(), "{report}");
    assert_eq!(connect(&two).get("/").text(), "two", "the other server must keep serving");
    two.routes().add_blocking(get("/new", || "new")).unwrap();
    assert_eq!(connect(&two).get("/new").text(), "new");
}

#[test]
fn port_0_is_one_port_for_all_shards_of_a_listener() {
    let server = base_builder()
        .listen("127.0.0.1:0")
        .listen("[::1]:0")
        .cores(Cores::Unpinned(8))
        .router(Router::new().route(get("/", || "here")))
        .start()
        .unwrap();
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 2);
    for listen in addresses {
        let Listen::Tcp(address) = listen else { panic!("{listen:?}") };
        assert_ne!(address.port(), 0);
        for _ in 0..20 {
            assert_eq!(crate::common::Peer::connect(address).get("/").text(), "here");
        }
    }
}

/// Returns the ids of this process's threads.
fn threads() -> BTreeSet<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    tasks.map(|task| task.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_stopped_server_leaves_no_thread_and_no_port() {
    let server = builder(Router::new().route(get("/", || "hello").run_async())).start().unwrap();
    let shards: Vec<_> =
        threads().into_iter().filter(|task| name_of(task).starts_with("windlass-")).collect();
    assert!(shards.len() >= 2, "{shards:?}");
    let address = address(&server);
    assert_eq!(connect(&server).get("/").text(), "hello");
    let report = server.drain(None);
    assert_eq!((report.system.shards_joined, report.system.shards_stuck.len()), (2, 0), "{report}");
    assert!(
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err(),
        "nobody may listen after the drain"
    );
    let again =
        base_builder().listen(Listen::Tcp(address)).cores(Cores::Unpinned(1)).router(Router::new()).start();
    assert!(again.is_ok(), "the port must be free again: {again:?}");
}

fn name_of(task: &str) -> String {
    fs::read_to_string(format!("/proc/self/task/{task}/comm")).unwrap_or_default()
}

#[test]
fn a_server_installs_no_signal_handler() {
    let server = builder(Router::new()).operations(Operations::usual()).start().unwrap();
    let caught = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // SIGHUP (1), SIGINT (2) and SIGTERM (15) belong to the program.
    let mask = [1, 2, 15].map(|signal: u32| 1_u64 << (signal - 1)).iter().sum::<u64>();
    assert_eq!(caught() & mask, 0);
    drop(server);
}

#[test]
fn a_server_may_be_used_from_any_thread() {
    let server = std::sync::Arc::new(start(Router::new().route(get("/", || "hello"))));
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let server = server.clone();
            thread::spawn(move || {
                server.routes().add_blocking(get(format!("/{n}"), || "new")).unwrap();
                assert_eq!(connect(&server).get(&format!("/{n}")).text(), "new");
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let reports: Vec<_> = thread::scope(|scope| {
        let drains: Vec<_> = (0..3).map(|_| scope.spawn(|| server.drain(None).duration)).collect();
        drains.into_iter().map(|drain| drain.join().unwrap()).collect()
    });
    assert_eq!(
        (reports[0], reports[1]),
        (reports[1], reports[2]),
        "all callers must get the report of one drain"
    );
}

#[test]
fn a_failing_actor_setup_fails_the_start() {
    let refused = builder(Router::new()).with_actors(|_, _| Err("expected by the test".into())).start();
    assert!(
        matches!(&refused, Err(StartError::Actors(e)) if e.to_string() == "expected by the test"),
        "{refused:?}"
    );
    let bad =
        builder(Router::new()).with_actors(|_, routes| Ok(routes.route(get("no-slash", || "")))).start();
    assert!(matches!(&bad, Err(StartError::Routes(_))), "{bad:?}");
}
