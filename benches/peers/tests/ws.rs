//! The WebSocket modes of the load generator detect the faults of a server. Each server here has one fault.
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

/// Returns the frames that the server sends for the numbered message.
type Distort = fn(usize, Opcode, &[u8]) -> Vec<u8>;
type Subscribers = Arc<Mutex<Vec<TcpStream>>>;

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Header::new(opcode, payload.len()).append_frame(&mut frame, payload);
    frame
}

/// Serves WebSockets that echo messages, and a topic to which a POST publishes. `distort` returns the frames
/// of both.
fn server(distort: Distort) -> SocketAddr {
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
    let (mut input, mut published) = (Vec::new(), 0);
    while let Some(head) = read_head(&mut stream, &mut input) {
        if !head.starts_with("POST") {
            let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
            let accept = accept_key(key.as_bytes()).unwrap();
            let head = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            subscribers.lock().unwrap().push(stream.try_clone().unwrap());
            return echo(stream, input, distort);
        }
        assert!(head.contains("content-length: 256"), "{head}");
        while input.len() < 256 && read_more(&mut stream, &mut input) {}
        let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        for mut subscriber in subscribers.lock().unwrap().iter() {
            let _ = subscriber.write_all(&distort(published, Opcode::Text, &input[..256]));
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
        if !read_more(stream, input) {
            return None;
        }
    }
}

fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 65536];
    let length = stream.read(&mut buffer).unwrap_or(0);
    input.extend_from_slice(&buffer[..length]);
    length > 0
}

fn echo(mut stream: TcpStream, mut input: Vec<u8>, distort: Distort) {
    for number in 0.. {
        let (header, length) = loop {
            if let Some((header, length)) = Header::parse(&input).unwrap()
                && input.len() >= length + header.len as usize
            {
                break (header, length);
            }
            if !read_more(&mut stream, &mut input) {
                return;
            }
        };
        let end = length + header.len as usize;
        let mut payload = Vec::new();
        Mask::new(header.key.expect("client frames should be masked"))
            .append(&mut payload, &input[length..end]);
        input.drain(..end);
        let _ = stream.write_all(&distort(number, header.opcode, &payload));
    }
}

fn load(distort: Distort, arguments: &[&str]) -> (i32, String) {
    let target = server(distort).to_string();
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

/// Echoes messages and changes a byte of the fourth one.
fn change_fourth(number: usize, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    payload[200] ^= u8::from(number == 3);
    frame(opcode, &payload)
}

#[test]
fn a_correct_echo_passes_and_every_message_is_counted() {
    let (code, text) = load(|_, opcode, payload| frame(opcode, payload), &ECHO);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("errors=0\n") && !text.contains("requests=0\n"), "{text}");
}

#[test]
fn pipelined_messages_and_idle_sockets_are_checked() {
    let more = [ECHO.as_slice(), &["--pipeline", "4", "--idle", "3"]].concat();
    let (code, text) = load(|_, opcode, payload| frame(opcode, payload), &more);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn pings_between_messages_are_answered() {
    // The server ends the connection on an unmasked pong.
    let distort: Distort = |_, opcode, payload| match opcode {
        Opcode::Pong => Vec::new(),
        _ => [frame(Opcode::Ping, b"ping"), frame(opcode, payload)].concat(),
    };
    let (code, text) = load(distort, &ECHO);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_changed_byte_is_an_error() {
    let (code, text) = load(change_fourth, &ECHO);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn an_echo_of_another_message_type_is_rejected_before_the_load() {
    let (code, text) = load(|_, _, payload| frame(Opcode::Text, payload), &ECHO);
    assert!(code == 2 && text.contains("received a Text message, expected Binary"), "{text}");
}

#[test]
fn a_close_frame_instead_of_an_echo_is_an_error() {
    let distort: Distort = |number, opcode, payload| match number {
        3 => frame(Opcode::Close, &[]),
        _ => frame(opcode, payload),
    };
    let (code, text) = load(distort, &ECHO);
    assert!(code == 1 && text.contains("errors_closed="), "{text}");
}

#[test]
fn a_correct_topic_passes_and_every_delivery_is_counted() {
    let (code, text) = load(|_, opcode, payload| frame(opcode, payload), &TOPIC);
    assert_eq!(code, 0, "{text}");
    let value = |key| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().parse::<u64>().unwrap();
    assert_eq!(value("connection_min="), value("connection_max="), "{text}");
    assert_eq!(value("requests="), 2 * value("connection_min="), "{text}");
}

#[test]
fn changed_and_dropped_events_are_errors() {
    let (code, text) = load(change_fourth, &TOPIC);
    assert!(code == 1 && text.contains("unexpected event"), "{text}");
    let dropping: Distort =
        |number, opcode, payload| if number == 3 { Vec::new() } else { frame(opcode, payload) };
    let (code, text) = load(dropping, &TOPIC);
    assert!(code == 1 && text.contains("received event 4, expected event 3"), "{text}");
}
