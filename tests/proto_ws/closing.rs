//! The WebSocket closing handshake: who starts it, what is echoed, and what is still received.

use windlass::proto::ws::{Closed, Closing, Code, Outgoing, Scratch, Session, frame::Opcode};

use crate::common::{OwnedEvent, close_payload, events, feed, frame, frames, part, replies, server, text};

fn closed_by_us(code: Code, reason: &str) -> (Session, Vec<(Opcode, Vec<u8>)>) {
    let (mut session, mut out) = (server(), Vec::new());
    session.close(&mut out, code, reason).unwrap();
    (session, frames(&out))
}

#[test]
fn the_peers_close_code_is_echoed_and_the_session_ends() {
    for (code, reason) in [(1000, ""), (1001, "bye"), (1013, "ö"), (3000, ""), (4999, "x")] {
        let mut session = server();
        let payload = close_payload(code, reason);
        let expected = OwnedEvent::Close(Code::new(code), reason.to_owned());
        assert_eq!(feed(&mut session, &frame(Opcode::Close, payload)), (vec![expected], None));
        assert!(session.has_pending_reply() && !session.closing().is_finished());
        assert_eq!(replies(&mut session), [(Opcode::Close, close_payload(code, ""))]);
        assert_eq!(session.closing(), Closing::Closed);
        assert_eq!(replies(&mut session), []);
    }
}

#[test]
fn an_empty_close_is_answered_with_an_empty_one() {
    let mut session = server();
    assert_eq!(
        feed(&mut session, &frame(Opcode::Close, "")),
        (vec![OwnedEvent::Close(None, String::new())], None)
    );
    assert_eq!(session.closing(), Closing::Received(None));
    assert_eq!(replies(&mut session), [(Opcode::Close, vec![])]);
}

#[test]
fn a_close_of_the_server_replaces_the_echo() {
    let (mut session, mut out) = (server(), Vec::new());
    feed(&mut session, &frame(Opcode::Close, close_payload(1000, "")));
    session.close(&mut out, Code::GOING_AWAY, "restart").unwrap();
    assert_eq!(frames(&out), [(Opcode::Close, close_payload(1001, "restart"))]);
    assert_eq!(session.closing(), Closing::Closed);
    assert_eq!(replies(&mut session), []);
}

#[test]
fn bytes_after_the_peers_close_are_ignored_even_if_invalid() {
    let after = [frame(Opcode::Close, ""), frame(Opcode::Ping, "late"), vec![0xff; 50]].concat();
    assert_eq!(events(&after), (vec![OwnedEvent::Close(None, String::new())], None));
    let mut session = server();
    feed(&mut session, &after);
    assert_eq!(replies(&mut session), [(Opcode::Close, vec![])]);
    assert_eq!(feed(&mut session, &[0xff; 20]), (vec![], None));
}

#[test]
fn a_close_discards_an_unfinished_message() {
    let wire = [part(Opcode::Text, "never ends"), frame(Opcode::Close, "")].concat();
    let mut session = server();
    assert_eq!(feed(&mut session, &wire), (vec![OwnedEvent::Close(None, String::new())], None));
    assert_eq!(session.buffered_bytes(), 0);
}

#[test]
fn a_ping_before_the_close_is_answered_before_it() {
    let mut session = server();
    feed(&mut session, &[frame(Opcode::Ping, "x"), frame(Opcode::Close, "")].concat());
    assert_eq!(replies(&mut session), [(Opcode::Pong, b"x".to_vec()), (Opcode::Close, vec![])]);
}

#[test]
fn after_the_servers_close_messages_are_received_and_pings_not_answered() {
    let (mut session, wire) = closed_by_us(Code::GOING_AWAY, "restart");
    assert_eq!(wire, [(Opcode::Close, close_payload(1001, "restart"))]);
    assert_eq!(session.closing(), Closing::Sent);
    let late = [frame(Opcode::Text, "late"), frame(Opcode::Ping, "x")].concat();
    assert_eq!(feed(&mut session, &late), (vec![text("late"), OwnedEvent::Ping(b"x".into())], None));
    assert_eq!(replies(&mut session), []);
    feed(&mut session, &frame(Opcode::Close, close_payload(1001, "")));
    assert_eq!(session.closing(), Closing::Closed);
    assert!(session.closing().is_finished());
    assert_eq!(replies(&mut session), []);
}

#[test]
fn nothing_is_sent_once_a_close_was_sent_or_received() {
    let (sender, _) = closed_by_us(Code::NORMAL, "");
    let mut receiver = server();
    feed(&mut receiver, &frame(Opcode::Close, ""));
    for mut session in [sender, receiver] {
        let mut out = Vec::new();
        assert_eq!(session.send(&mut out, Outgoing::Text("x"), &mut Scratch::default()), Err(Closed));
        assert_eq!(session.ping(&mut out, b""), Err(Closed));
        assert!(out.is_empty());
    }
}

#[test]
fn a_second_close_is_refused() {
    let (mut session, _) = closed_by_us(Code::NORMAL, "");
    let mut out = Vec::new();
    assert_eq!(session.close(&mut out, Code::GOING_AWAY, ""), Err(Closed));
    assert!(out.is_empty());
}

#[test]
fn long_close_reasons_are_cut_to_fit_a_control_frame() {
    let (_, wire) = closed_by_us(Code::TRY_AGAIN, &"é".repeat(500));
    assert_eq!(wire, [(Opcode::Close, close_payload(1013, &"é".repeat(61)))]);
}
