//! The fan-out mode of the load generator detects the faults of a broker. Each broker here has one fault.
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

/// Returns the events that the second subscriber receives in place of the numbered event. The first receives
/// every event.
type Distort = fn(usize, &str) -> Vec<String>;
type Subscribers = Arc<Mutex<Vec<TcpStream>>>;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Header field of filler events, which fill the buffers of stalled subscribers. The broker here does not
/// deliver them.
const FILLER: &str = "content-length: 32768";

fn broker(distort: Distort) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let subscribers = Subscribers::default();
    // The threads run until the process ends.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, subscribers) = (stream.unwrap(), Arc::clone(&subscribers));
            thread::spawn(move || converse(stream, &subscribers, distort));
        }
    });
    address
}

fn converse(mut stream: TcpStream, subscribers: &Subscribers, distort: Distort) {
    let (mut input, mut buffer, mut published) = (String::new(), [0; 65536], 0);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        input.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        while let Some((head, rest)) = input.split_once("\r\n\r\n") {
            if head.starts_with("GET") {
                let _ = stream.write_all(HEAD.as_bytes());
                subscribers.lock().unwrap().push(stream.try_clone().unwrap());
                input = rest.to_owned();
                continue;
            }
            let filler = head.lines().any(|line| line == FILLER);
            assert!(filler || head.contains("content-length: 256"), "{head}");
            let Some((event, rest)) = rest.split_at_checked(if filler { 32768 } else { 256 }) else { break };
            let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
            if filler {
                input = rest.to_owned();
                continue;
            }
            deliver(&subscribers.lock().unwrap(), distort(published, event), event);
            published += 1;
            input = rest.to_owned();
        }
    }
}

fn deliver(subscribers: &[TcpStream], distorted: Vec<String>, event: &str) {
    // Stalled subscribers are at the front.
    let [.., first, second] = subscribers else { panic!("{} subscribers", subscribers.len()) };
    send(first, event);
    distorted.iter().for_each(|event| send(second, event));
}

fn send(mut stream: &TcpStream, event: &str) {
    let event = format!("id: 1\ndata: {event}\n\n");
    // Sending fails if the client has disconnected.
    let _ = stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
}

fn load(distort: Distort) -> (i32, String) {
    load_with(distort, &[])
}

fn load_with(distort: Distort, more: &[&str]) -> (i32, String) {
    let target = broker(distort).to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args([
        "--target",
        &target,
        "--sse",
        "2",
        "--rate",
        "100",
        "--duration",
        "0.2",
        "--timeout",
        "0.5",
    ]);
    command.args(more);
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

#[test]
fn a_correct_broker_passes_and_every_delivery_is_counted() {
    let (code, text) = load(|_, event| vec![event.to_owned()]);
    assert_eq!(code, 0, "{text}");
    let value = |key| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().parse::<u64>().unwrap();
    assert_eq!(value("errors="), 0, "{text}");
    assert_eq!(value("connection_min="), value("connection_max="), "{text}");
    assert_eq!(value("requests="), 2 * value("connection_min="), "{text}");
    assert!(value("requests=") >= 20, "{text}");
    assert!(text.contains("publish_p50_us="), "{text}");
}

#[test]
fn a_stalled_subscriber_that_stays_connected_is_no_error() {
    let (code, text) = load_with(|_, event| vec![event.to_owned()], &["--stalled", "1"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_stalled_subscriber_that_is_closed_is_an_error() {
    let target = broker(|_, event| vec![event.to_owned()]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The first connection is the stalled one and is closed after its head. The others reach the broker.
    thread::spawn(move || {
        let mut stalled = listener.accept().unwrap().0;
        // Closing with an unread request would send a reset.
        assert!(stalled.read(&mut [0; 1024]).unwrap() > 0);
        stalled.write_all(HEAD.as_bytes()).unwrap();
        drop(stalled);
        for stream in listener.incoming() {
            let (mut client, mut server) = (stream.unwrap(), TcpStream::connect(target).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--target", &address.to_string(), "--sse", "2", "--stalled", "1", "--rate", "100"]);
    let output = command.args(["--duration", "0.2", "--timeout", "0.5"]).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("errors_closed=1") && text.contains("closed a stalled subscription"), "{text}");
}

#[test]
fn a_dropped_event_is_an_error() {
    let (code, text) = load(|number, event| if number == 3 { vec![] } else { vec![event.to_owned()] });
    assert!(
        code == 1 && text.contains("errors_body=1") && text.contains("received event 4, expected event 3"),
        "{text}"
    );
}

#[test]
fn missing_events_are_errors() {
    let (code, text) = load(|number, event| if number >= 3 { vec![] } else { vec![event.to_owned()] });
    assert!(code == 1 && text.contains("errors_timeout="), "{text}");
}

#[test]
fn a_duplicate_event_is_an_error() {
    let (code, text) = load(|number, event| vec![event.to_owned(); if number == 3 { 2 } else { 1 }]);
    assert!(
        code == 1 && text.contains("errors_body=1") && text.contains("received event 3, expected event 4"),
        "{text}"
    );
}

#[test]
fn a_changed_byte_is_an_error() {
    let (code, text) =
        load(|number, event| vec![if number == 3 { event.replace('z', "y") } else { event.to_owned() }]);
    assert!(code == 1 && text.contains("unexpected event"), "{text}");
}
