//! The WebSocket modes of the load generator must notice what a bad server does; each server here is bad in one way.
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use windlass::proto::ws::{
    Mask,
    frame::{Header, Opcode},
    handshake::accept_key,
};

/// What goes back for the message with this number, as frames.
type Answer = fn(usize, Opcode, &[u8]) -> Vec<u8>;
type Followers = Arc<Mutex<Vec<TcpStream>>>;

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Header::new(opcode, payload.len()).append_frame(&mut frame, payload);
    frame
}

/// Serves WebSockets that answer messages, and a topic that a POST publishes on; `distort` makes the frames of both.
fn server(distort: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let followers = Followers::default();
    // The threads end with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, followers) = (stream.unwrap(), Arc::clone(&followers));
            thread::spawn(move || converse(stream, &followers, distort));
        }
    });
    address
}

fn converse(mut stream: TcpStream, followers: &Followers, distort: Answer) {
    let (mut input, mut published) = (Vec::new(), 0);
    while let Some(head) = read_head(&mut stream, &mut input) {
        if !head.starts_with("POST") {
            let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
            let accept = accept_key(key.as_bytes()).unwrap();
            let head = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            followers.lock().unwrap().push(stream.try_clone().unwrap());
            return echo(stream, input, distort);
        }
        assert!(head.contains("content-length: 256"), "{head}");
        while input.len() < 256 && more(&mut stream, &mut input) {}
        let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        for mut follower in followers.lock().unwrap().iter() {
            let _ = follower.write_all(&distort(published, Opcode::Text, &input[..256]));
        }
        input.drain(..256);
        published += 1;
    }
}

fn read_head(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            return Some(String::from_utf8(input.drain(..end + 4).collect()).unwrap());
        }
        if !more(stream, input) {
            return None;
        }
    }
}

fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 65536];
    let length = stream.read(&mut buffer).unwrap_or(0);
    input.extend_from_slice(&buffer[..length]);
    length > 0
}

fn echo(mut stream: TcpStream, mut input: Vec<u8>, answer: Answer) {
    for number in 0.. {
        let (header, length) = loop {
            if let Some((header, length)) = Header::parse(&input).unwrap()
                && input.len() >= length + header.len as usize
            {
                break (header, length);
            }
            if !more(&mut stream, &mut input) {
                return;
            }
        };
        let end = length + header.len as usize;
        let mut payload = Vec::new();
        Mask::new(header.key.expect("what a client sends is masked"))
            .append(&mut payload, &input[length..end]);
        input.drain(..end);
        let _ = stream.write_all(&answer(number, header.opcode, &payload));
    }
}

fn load(answer: Answer, arguments: &[&str]) -> (i32, String) {
    let target = server(answer).to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--target", &target, "--duration", "0.2", "--timeout", "0.5"]).args(arguments);
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

const ECHO: [&str; 8] = ["--ws", "binary", "--path", "/echo", "--body-bytes", "300", "--connections", "2"];
const TOPIC: [&str; 4] = ["--ws-topic", "2", "--rate", "100"];

/// Changes a byte of the fourth message.
fn change(number: usize, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    payload[200] ^= u8::from(number == 3);
    frame(opcode, &payload)
}

#[test]
fn a_faithful_echo_passes_and_every_message_is_counted() {
    let (code, text) = load(|_, opcode, payload| frame(opcode, payload), &ECHO);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("errors=0\n") && !text.contains("requests=0\n"), "{text}");
}

#[test]
fn messages_in_flight_together_and_idle_sockets_are_checked_too() {
    let more = [ECHO.as_slice(), &["--pipeline", "4", "--idle", "3"]].concat();
    let (code, text) = load(|_, opcode, payload| frame(opcode, payload), &more);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn pings_between_the_messages_are_answered() {
    // The server looks at the answer: an unmasked one ends it.
    let answer: Answer = |_, opcode, payload| match opcode {
        Opcode::Pong => Vec::new(),
        _ => [frame(Opcode::Ping, b"there?"), frame(opcode, payload)].concat(),
    };
    let (code, text) = load(answer, &ECHO);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_changed_byte_is_an_error() {
    let (code, text) = load(change, &ECHO);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn an_echo_of_another_kind_is_refused_before_the_load() {
    let (code, text) = load(|_, _, payload| frame(Opcode::Text, payload), &ECHO);
    assert!(code == 2 && text.contains("Text came back for Binary"), "{text}");
}

#[test]
fn a_close_in_place_of_an_echo_is_an_error() {
    let answer: Answer = |number, opcode, payload| match number {
        3 => frame(Opcode::Close, &[]),
        _ => frame(opcode, payload),
    };
    let (code, text) = load(answer, &ECHO);
    assert!(code == 1 && text.contains("errors_closed="), "{text}");
}

#[test]
fn a_faithful_topic_passes_and_every_delivery_is_counted() {
    let (code, text) = load(|_, opcode, payload| frame(opcode, payload), &TOPIC);
    assert_eq!(code, 0, "{text}");
    let value = |key| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().parse::<u64>().unwrap();
    assert_eq!(value("connection_min="), value("connection_max="), "{text}");
    assert_eq!(value("requests="), 2 * value("connection_min="), "{text}");
}

#[test]
fn a_changed_event_and_a_dropped_one_are_errors() {
    let (code, text) = load(change, &TOPIC);
    assert!(code == 1 && text.contains("an event that nobody published"), "{text}");
    let dropping: Answer =
        |number, opcode, payload| if number == 3 { Vec::new() } else { frame(opcode, payload) };
    let (code, text) = load(dropping, &TOPIC);
    assert!(code == 1 && text.contains("event 4 where 3 must come"), "{text}");
}
