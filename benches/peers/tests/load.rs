//! The load generator detects the faults of a server. Each server here has one fault.
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
    thread,
};

/// Sends the responses of one connection, given the request paths in order.
type Script = fn(&mut TcpStream, Vec<String>);

fn serve(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The thread runs until the process ends.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || converse(stream, script));
        }
    });
    address
}

fn converse(mut stream: TcpStream, script: Script) {
    let mut input = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8(input.clone()).unwrap();
        let Some((whole, rest)) = text.rsplit_once("\r\n\r\n") else { continue };
        let paths = whole.split("\r\n\r\n").map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
        input = rest.as_bytes().to_vec();
        script(&mut stream, paths);
    }
}

fn load(target: SocketAddr, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args([
        "--target",
        &target.to_string(),
        "--connections",
        "2",
        "--duration",
        "0.2",
        "--timeout",
        "0.5",
    ]);
    command.args(arguments).output().unwrap()
}

fn status(output: &Output) -> (i32, String) {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

fn respond(stream: &mut TcpStream, body: &str) {
    let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // One write: with two, Nagle's algorithm would wait for a delayed acknowledgement. Writing fails if the
    // client has disconnected.
    let _ = stream.write_all(response.as_bytes());
}

fn in_order(stream: &mut TcpStream, paths: Vec<String>) {
    paths.iter().for_each(|path| respond(stream, path));
}

const MIX: [&str; 4] = ["--mix", "/a,/b", "--pipeline", "4"];

#[test]
fn a_correct_server_passes() {
    let (code, text) = status(&load(serve(in_order), &MIX));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("errors=0\n") && !text.contains("requests=0\n"), "{text}");
}

#[test]
fn a_correct_server_passes_in_an_open_loop() {
    let (code, text) = status(&load(serve(in_order), &["--path", "/a", "--rate", "500"]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("requests=100\n"), "{text}");
}

#[test]
fn reordered_responses_are_detected() {
    let server = serve(|stream, paths| in_order(stream, paths.into_iter().rev().collect()));
    let (code, text) = status(&load(server, &MIX));
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn a_mix_with_identical_responses_is_rejected() {
    let server = serve(|stream, paths| paths.iter().for_each(|_| respond(stream, "same")));
    let (code, text) = status(&load(server, &MIX));
    assert!(code == 2 && text.contains("order cannot be checked"), "{text}");
}

#[test]
fn a_truncated_pipeline_is_detected() {
    let server = serve(|stream, mut paths| {
        let cut = paths.len() > 1;
        paths.truncate(1);
        in_order(stream, paths);
        if cut {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    });
    let (code, text) = status(&load(server, &MIX));
    assert!(code == 1 && (text.contains("errors_closed=") || text.contains("errors_io=")), "{text}");
}

#[test]
fn a_server_that_stops_responding_is_detected() {
    let server = serve(|stream, paths| {
        if paths.len() == 1 {
            in_order(stream, paths);
        }
    });
    let (code, text) = status(&load(server, &MIX));
    assert!(code == 1 && text.contains("errors_timeout="), "{text}");
}

#[test]
fn a_connection_kept_open_despite_connection_close_is_detected() {
    let (code, text) = status(&load(serve(in_order), &["--path", "/a", "--churn"]));
    assert!(code == 1 && text.contains("errors_timeout="), "{text}");
}

#[test]
fn a_closed_idle_connection_is_detected() {
    let server = serve(|stream, paths| {
        in_order(stream, paths);
        if stream.peer_addr().unwrap().port() % 2 == 0 {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    });
    // Some of the 16 connections have an even port.
    let (code, text) = status(&load(server, &["--path", "/a", "--idle", "16"]));
    assert!(code == 1 && text.contains("errors_idle="), "{text}");
}

#[test]
fn the_pause_starts_when_all_connections_are_established() {
    for (idle, established) in [("3", "established=3\n"), ("0", "established=2\n")] {
        let (code, text) =
            status(&load(serve(in_order), &["--path", "/a", "--idle", idle, "--pause", "0.1"]));
        assert_eq!(code, 0, "{text}");
        assert!(text.starts_with(established), "{text}");
    }
}

#[test]
fn the_latency_of_one_path_excludes_other_paths() {
    let slow_b = |stream: &mut TcpStream, paths: Vec<String>| {
        if paths == ["/b"] {
            thread::sleep(std::time::Duration::from_millis(30));
        }
        in_order(stream, paths);
    };
    let (_, text) = status(&load(serve(slow_b), &["--mix", "/a,/b", "--latency-of", "/a"]));
    let (_, of_b) = status(&load(serve(slow_b), &["--mix", "/a,/b", "--latency-of", "/b"]));
    let median =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("p50_us=")?.parse::<f64>().ok()).unwrap();
    assert!(median(&text) < 30_000.0 && median(&of_b) >= 30_000.0, "{text}{of_b}");
    assert_eq!(status(&load(serve(slow_b), &["--mix", "/a,/b", "--latency-of", "/c"])).0, 2);
}

#[test]
fn connections_are_spread_over_several_servers() {
    let good = serve(in_order).to_string();
    let bad = serve(|stream, paths| paths.iter().for_each(|_| respond(stream, "another"))).to_string();
    let run = |targets: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
        command.args([
            "--connections",
            "32",
            "--duration",
            "0.1",
            "--path",
            "/a",
            "--target",
            &targets.join(","),
        ]);
        status(&command.output().unwrap())
    };
    assert_eq!(run(&[&good, &serve(in_order).to_string()]).0, 0);
    let (code, text) = run(&[&good, &bad]);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn a_missing_server_has_its_own_exit_status() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(status(&load(address, &[])).0, 2);
}
