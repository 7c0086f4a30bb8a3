//! Tests that every byte is echoed, whatever the connections do.

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use super::harness::*;
use crate::net::EngineOptions;

for_each_engine! {
    a_burst_of_connections_loses_no_byte_and_no_descriptor,
    all_bytes_are_sent_after_the_peers_fin,
    connections_that_are_reset_at_once_do_not_disturb_later_ones,
    a_unix_socket_echoes,
}

fn a_burst_of_connections_loses_no_byte_and_no_descriptor<E: TestEngine>() {
    if !alone::<E>("echo", "a_burst_of_connections_loses_no_byte_and_no_descriptor") {
        return;
    }
    let base = open_fds();
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    let with_engine = open_fds();
    shard.serve(|| {
        std::thread::scope(|scope| {
            for worker in 0..8 {
                scope.spawn(move || {
                    for round in 0..40 {
                        let mut stream = connect(address);
                        let bytes = pattern(1 + (worker * 977 + round * 331) % 20_000);
                        assert!(echoes(&mut stream, &bytes));
                        if round % 3 == 0 {
                            reset_on_close(&stream);
                        }
                    }
                });
            }
        });
    });
    shard.until("all closed", |shard| shard.connections() == 0);
    assert_eq!(shard.handler.opened.len(), 8 * 40);
    assert_eq!(shard.handler.closed.len(), 8 * 40);
    assert!(shard.handler.opened.iter().any(|id| id.generation > 3), "slots were not reused");
    assert_eq!(open_fds(), with_engine);
    drop(shard);
    assert_eq!(open_fds(), base);
}

fn all_bytes_are_sent_after_the_peers_fin<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    let bytes = pattern(300_000);
    let back = shard.serve(|| {
        let mut stream = connect(address);
        let mut writer = stream.try_clone().unwrap();
        let bytes = bytes.clone();
        let sender = std::thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        sender.join().unwrap();
        back
    });
    assert_eq!(back, bytes);
    assert_eq!(shard.handler.ended, 1);
}

fn connections_that_are_reset_at_once_do_not_disturb_later_ones<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    shard.serve(|| {
        for round in 0..200 {
            let mut doomed = connect(address);
            reset_on_close(&doomed);
            // The connection may be reset before all bytes are sent.
            let _ = doomed.write_all(&pattern(round * 97));
            drop(doomed);
            if round % 10 == 0 {
                assert!(echoes(&mut connect(address), &pattern(5_000 + round)));
            }
        }
    });
    shard.until("all closed", |shard| shard.connections() == 0);
}

fn a_unix_socket_echoes<E: TestEngine>() {
    use std::os::unix::net::{UnixListener, UnixStream};
    let path = std::env::temp_dir().join(format!("windlass-{}-{}.sock", E::MODULE, std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    shard.engine.listen(listener.into()).unwrap();
    let back = shard.serve(|| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(&pattern(50_000)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        back
    });
    std::fs::remove_file(&path).unwrap();
    assert_eq!(back, pattern(50_000));
}
