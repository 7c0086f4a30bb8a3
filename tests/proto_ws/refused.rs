//! Protocol violations of a peer, and the close code that answers each.

use windlass::proto::ws::{
    Closed, Closing, Code, Fault, Limits, Outgoing, Role, Scratch, Session,
    frame::{Header, Opcode},
};

use crate::common::{
    OwnedEvent, binary, client, close_payload, events, feed, feed_in_pieces, frame, key, masked_frame, part,
    replies, server, text,
};

/// Feeds invalid input to a server. Checks the events before the fault, the fault, and the single Close that
/// reports it.
#[track_caller]
fn refused(input: &[u8], before: &[OwnedEvent], fault: Fault, code: u16) {
    assert_eq!(events(input), (before.to_vec(), Some(fault)));
    let mut session = server();
    feed(&mut session, input);
    assert_eq!(session.closing(), Closing::Failing(fault));
    assert_eq!(replies(&mut session), [(Opcode::Close, close_payload(code, fault.text()))]);
    assert_eq!(session.closing(), Closing::Failed(fault));
    assert!(session.closing().is_finished() && !session.has_pending_reply());
    assert_eq!(replies(&mut session), []);
    assert_eq!(feed(&mut session, &frame(Opcode::Text, "more")), (vec![], Some(fault)));
}

#[test]
fn unmasked_frames_of_a_client_are_refused() {
    let mut wire = frame(Opcode::Text, "fine");
    Header::new(Opcode::Text, 2).append_frame(&mut wire, b"no");
    refused(&wire, &[text("fine")], Fault::Unmasked, 1002);
}

#[test]
fn masked_frames_of_a_server_are_refused() {
    assert_eq!(feed(&mut client(), &frame(Opcode::Text, "no")), (vec![], Some(Fault::Masked)));
}

#[test]
fn reserved_bits_without_an_extension_are_refused() {
    for bit in [0x40, 0x20, 0x10, 0x70] {
        for opcode in [Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Pong, Opcode::Close] {
            let mut wire = frame(opcode, "");
            wire[0] |= bit;
            refused(&wire, &[], Fault::ReservedBits, 1002);
        }
        let mut next = frame(Opcode::Continuation, "b");
        next[0] |= bit;
        refused(&[part(Opcode::Text, "a"), next].concat(), &[], Fault::ReservedBits, 1002);
    }
}

#[test]
fn reserved_opcodes_are_refused() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let mut wire = frame(Opcode::Text, "");
        wire[0] = 0x80 | opcode;
        refused(&wire, &[], Fault::Opcode, 1002);
    }
}

#[test]
fn fragmented_and_long_control_frames_are_refused() {
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        refused(&part(opcode, ""), &[], Fault::ControlFragmented, 1002);
        refused(&frame(opcode, [0; 126]), &[], Fault::ControlTooLong, 1002);
        refused(&frame(opcode, [0; 70_000]), &[], Fault::ControlTooLong, 1002);
    }
}

#[test]
fn continuations_without_a_message_are_refused() {
    refused(&frame(Opcode::Continuation, "a"), &[], Fault::Continuation, 1002);
    refused(&part(Opcode::Continuation, "a"), &[], Fault::Continuation, 1002);
    let after = [frame(Opcode::Text, "a"), frame(Opcode::Continuation, "b")].concat();
    refused(&after, &[text("a")], Fault::Continuation, 1002);
}

#[test]
fn a_message_inside_an_unfinished_message_is_refused() {
    for second in [Opcode::Text, Opcode::Binary] {
        refused(&[part(Opcode::Text, "a"), frame(second, "b")].concat(), &[], Fault::Interrupted, 1002);
        refused(&[part(Opcode::Binary, ""), part(second, "")].concat(), &[], Fault::Interrupted, 1002);
    }
}

#[test]
fn lengths_in_a_longer_form_than_needed_are_refused() {
    let long_forms: [&[u8]; 3] = [
        &[0x81, 0xfe, 0, 5],
        &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5],
        &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0x12, 0x34],
    ];
    for form in long_forms {
        refused(&[form, &[0; 4]].concat(), &[], Fault::LengthNotMinimal, 1002);
    }
    let highest = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    refused(&highest, &[], Fault::LengthTooLong, 1002);
}

#[test]
fn invalid_close_payloads_codes_and_reasons_are_refused() {
    refused(&frame(Opcode::Close, "x"), &[], Fault::ClosePayload, 1002);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        refused(&frame(Opcode::Close, close_payload(code, "")), &[], Fault::CloseCode, 1002);
    }
    let reason = [&close_payload(1000, "")[..], b"\xce"].concat();
    refused(&frame(Opcode::Close, reason), &[], Fault::CloseReason, 1007);
}

#[test]
fn invalid_utf_8_in_text_is_refused_in_any_fragment() {
    refused(&frame(Opcode::Text, b"\xff"), &[], Fault::Text, 1007);
    refused(&frame(Opcode::Text, b"ab\xe2\x82"), &[], Fault::Text, 1007);
    let split = [part(Opcode::Text, b"\xf0\x9d"), frame(Opcode::Continuation, b"\x84")].concat();
    refused(&split, &[], Fault::Text, 1007);
    let surrogate = [part(Opcode::Text, b"a\xed"), frame(Opcode::Continuation, b"\xa0\x80")].concat();
    refused(&surrogate, &[], Fault::Text, 1007);
    assert_eq!(events(&frame(Opcode::Binary, b"\xff")), (vec![binary(b"\xff")], None));
}

#[test]
fn text_is_refused_at_its_first_invalid_byte_before_the_fragment_ends() {
    // A fragment announces 100 bytes; the 14th byte of its payload cannot follow the 13th in UTF-8.
    let mut wire = part(Opcode::Text, [b"valid so far\xf4\x90".as_slice(), &[b'x'; 86]].concat());
    wire.truncate(6 + 13);
    let mut session = server();
    assert_eq!(feed(&mut session, &wire), (vec![], None));
    assert_eq!(feed(&mut session, &[0x90 ^ key()[1]]), (vec![], Some(Fault::Text)));
    assert_eq!(replies(&mut session), [(Opcode::Close, close_payload(1007, Fault::Text.text()))]);
}

fn small() -> Session {
    Session::new(Role::Server, Limits { message_bytes: 1000 })
}

#[test]
fn messages_over_the_limit_are_refused_as_soon_as_a_header_announces_them() {
    assert_eq!(feed(&mut small(), &frame(Opcode::Binary, [0; 1000])), (vec![binary([0; 1000])], None));
    let announced = &frame(Opcode::Binary, [0; 1001])[..8];
    assert_eq!(feed(&mut small(), announced), (vec![], Some(Fault::TooBig)));
    let largest = [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0];
    assert_eq!(feed(&mut small(), &largest), (vec![], Some(Fault::TooBig)));
    let fits = [part(Opcode::Text, [b'a'; 600]), frame(Opcode::Continuation, [b'a'; 400])].concat();
    assert_eq!(feed(&mut small(), &fits), (vec![text(&"a".repeat(1000))], None));
    let exceeds = [part(Opcode::Text, [b'a'; 600]), frame(Opcode::Continuation, [b'a'; 401])].concat();
    let mut session = small();
    assert_eq!(feed(&mut session, &exceeds), (vec![], Some(Fault::TooBig)));
    assert_eq!(replies(&mut session), [(Opcode::Close, close_payload(1009, Fault::TooBig.text()))]);
}

#[test]
fn a_character_split_between_fragments_counts_towards_the_limit() {
    let fits = [part(Opcode::Text, [b'a'; 998]), part(Opcode::Continuation, b"\xc3")].concat();
    let mut session = small();
    assert_eq!(feed(&mut session, &fits), (vec![], None));
    assert_eq!(feed(&mut session, &frame(Opcode::Continuation, b"\xa4x")), (vec![], Some(Fault::TooBig)));
}

#[test]
fn a_raised_limit_allows_longer_messages() {
    let mut session = Session::new(Role::Server, Limits { message_bytes: 16 << 20 });
    let message = frame(Opcode::Binary, vec![1; 16 << 20]);
    let cuts: Vec<usize> = (0..message.len()).step_by(8192).collect();
    let (events, fault) = feed_in_pieces(&mut session, &mut Scratch::default(), &message, &cuts);
    assert_eq!((events.len(), fault), (1, None));
}

#[test]
fn a_fault_after_the_servers_close_sends_no_second_close() {
    let (mut session, mut out) = (server(), Vec::new());
    session.close(&mut out, Code::NORMAL, "").unwrap();
    assert_eq!(feed(&mut session, &frame(Opcode::Continuation, "")), (vec![], Some(Fault::Continuation)));
    assert_eq!(session.closing(), Closing::Failed(Fault::Continuation));
    assert_eq!(replies(&mut session), []);
}

#[test]
fn after_a_fault_only_the_earlier_ping_is_answered() {
    let mut session = server();
    let wire = [frame(Opcode::Ping, "1"), masked_frame(Header::new(Opcode::Continuation, 0), "")].concat();
    assert_eq!(feed(&mut session, &wire), (vec![OwnedEvent::Ping(b"1".into())], Some(Fault::Continuation)));
    assert!(session.ping(&mut Vec::new(), b"").is_err());
    let owed = replies(&mut session);
    assert_eq!(owed[0], (Opcode::Pong, b"1".to_vec()));
    assert_eq!(owed[1].0, Opcode::Close);
    assert_eq!(owed.len(), 2);
    let mut out = Vec::new();
    assert_eq!(session.send(&mut out, Outgoing::Text("x"), &mut Scratch::default()), Err(Closed));
    assert!(out.is_empty());
}
