//! The closing handshake: who began, what is echoed, what is still taken.

use windlass::proto::ws::{Closed, Closing, Code, Outgoing, Scratch, Session, frame::Opcode};

use crate::common::{Said, close_payload, fed, frame, frames, part, replies, said, server, text};

fn closed_by_us(code: Code, reason: &str) -> (Session, Vec<(Opcode, Vec<u8>)>) {
    let (mut session, mut out) = (server(), Vec::new());
    session.close(&mut out, code, reason).unwrap();
    (session, frames(&out))
}

#[test]
fn the_peers_code_is_echoed_and_then_it_is_over() {
    for (code, reason) in [(1000, ""), (1001, "bye"), (1013, "ö"), (3000, ""), (4999, "x")] {
        let mut session = server();
        let payload = close_payload(code, reason);
        let expected = Said::Close(Code::new(code), reason.to_owned());
        assert_eq!(fed(&mut session, &frame(Opcode::Close, payload)), (vec![expected], None));
        assert!(session.owes_reply() && !session.closing().is_over());
        assert_eq!(replies(&mut session), [(Opcode::Close, close_payload(code, ""))]);
        assert_eq!(session.closing(), Closing::Closed);
        assert_eq!(replies(&mut session), []);
    }
}

#[test]
fn an_empty_close_is_answered_with_an_empty_one() {
    let mut session = server();
    assert_eq!(fed(&mut session, &frame(Opcode::Close, "")), (vec![Said::Close(None, String::new())], None));
    assert_eq!(session.closing(), Closing::Received(None));
    assert_eq!(replies(&mut session), [(Opcode::Close, vec![])]);
}

#[test]
fn an_answer_of_our_own_replaces_the_echo() {
    let (mut session, mut out) = (server(), Vec::new());
    fed(&mut session, &frame(Opcode::Close, close_payload(1000, "")));
    session.close(&mut out, Code::GOING_AWAY, "restart").unwrap();
    assert_eq!(frames(&out), [(Opcode::Close, close_payload(1001, "restart"))]);
    assert_eq!(session.closing(), Closing::Closed);
    assert_eq!(replies(&mut session), []);
}

#[test]
fn everything_behind_the_peers_close_is_ignored_even_nonsense() {
    let after = [frame(Opcode::Close, ""), frame(Opcode::Ping, "late"), vec![0xff; 50]].concat();
    assert_eq!(said(&after), (vec![Said::Close(None, String::new())], None));
    let mut session = server();
    fed(&mut session, &after);
    assert_eq!(replies(&mut session), [(Opcode::Close, vec![])]);
    assert_eq!(fed(&mut session, &[0xff; 20]), (vec![], None));
}

#[test]
fn a_close_ends_a_message_in_fragments() {
    let wire = [part(Opcode::Text, "never ends"), frame(Opcode::Close, "")].concat();
    let mut session = server();
    assert_eq!(fed(&mut session, &wire), (vec![Said::Close(None, String::new())], None));
    assert_eq!(session.held_bytes(), 0);
}

#[test]
fn a_ping_before_the_close_is_answered_before_it() {
    let mut session = server();
    fed(&mut session, &[frame(Opcode::Ping, "x"), frame(Opcode::Close, "")].concat());
    assert_eq!(replies(&mut session), [(Opcode::Pong, b"x".to_vec()), (Opcode::Close, vec![])]);
}

#[test]
fn after_our_close_messages_on_their_way_are_taken_and_pings_are_not_answered() {
    let (mut session, wire) = closed_by_us(Code::GOING_AWAY, "restart");
    assert_eq!(wire, [(Opcode::Close, close_payload(1001, "restart"))]);
    assert_eq!(session.closing(), Closing::Sent);
    let late = [frame(Opcode::Text, "late"), frame(Opcode::Ping, "x")].concat();
    assert_eq!(fed(&mut session, &late), (vec![text("late"), Said::Ping(b"x".into())], None));
    assert_eq!(replies(&mut session), []);
    fed(&mut session, &frame(Opcode::Close, close_payload(1001, "")));
    assert_eq!(session.closing(), Closing::Closed);
    assert!(session.closing().is_over());
    assert_eq!(replies(&mut session), []);
}

#[test]
fn nothing_is_sent_once_a_close_was_sent_or_received() {
    let (sender, _) = closed_by_us(Code::NORMAL, "");
    let mut receiver = server();
    fed(&mut receiver, &frame(Opcode::Close, ""));
    for mut session in [sender, receiver] {
        let mut out = Vec::new();
        assert_eq!(session.send(&mut out, Outgoing::Text("x"), &mut Scratch::default()), Err(Closed));
        assert_eq!(session.ping(&mut out, b""), Err(Closed));
        assert!(out.is_empty());
    }
}

#[test]
fn one_close_is_sent_and_no_second() {
    let (mut session, _) = closed_by_us(Code::NORMAL, "");
    let mut out = Vec::new();
    assert_eq!(session.close(&mut out, Code::GOING_AWAY, ""), Err(Closed));
    assert!(out.is_empty());
}

#[test]
fn reasons_are_cut_to_what_a_control_frame_holds() {
    let (_, wire) = closed_by_us(Code::TRY_AGAIN, &"é".repeat(500));
    assert_eq!(wire, [(Opcode::Close, close_payload(1013, &"é".repeat(61)))]);
}
