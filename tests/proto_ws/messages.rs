//! Messages, fragments, and the control frames between them.

use windlass::proto::ws::{
    Event, Outgoing, Scratch, Session,
    frame::{Header, Opcode},
};

use crate::common::{
    OwnedEvent, binary, client, encode, events, feed, frame, masked_frame, part, replies, server, text,
};

#[test]
fn whole_messages_are_received_in_order() {
    let input =
        [frame(Opcode::Text, "Hello"), frame(Opcode::Binary, [0, 255]), frame(Opcode::Text, "")].concat();
    assert_eq!(events(&input), (vec![text("Hello"), binary([0, 255]), text("")], None));
}

#[test]
fn fragments_are_joined_even_empty_ones_and_split_characters() {
    let input = [
        part(Opcode::Text, "κόσ".as_bytes().split_at(3).0),
        part(Opcode::Continuation, ""),
        part(Opcode::Continuation, "κόσ".as_bytes().split_at(3).1),
        frame(Opcode::Continuation, "με"),
        part(Opcode::Binary, ""),
        frame(Opcode::Continuation, ""),
    ]
    .concat();
    assert_eq!(events(&input), (vec![text("κόσμε"), binary("")], None));
}

#[test]
fn control_frames_between_fragments_do_not_change_the_message() {
    let input = [
        part(Opcode::Text, "a"),
        frame(Opcode::Ping, "1"),
        part(Opcode::Continuation, "b"),
        frame(Opcode::Pong, "2"),
        frame(Opcode::Continuation, "c"),
    ]
    .concat();
    assert_eq!(
        events(&input),
        (vec![OwnedEvent::Ping(b"1".into()), OwnedEvent::Pong(b"2".into()), text("abc")], None)
    );
}

#[test]
fn a_flood_of_pings_is_answered_with_one_pong_for_the_latest() {
    let mut session = server();
    let flood: Vec<u8> = (0..10_000_u32).flat_map(|n| frame(Opcode::Ping, n.to_string())).collect();
    let (events, fault) = feed(&mut session, &flood);
    assert_eq!((events.len(), fault), (10_000, None));
    assert!(session.has_pending_reply());
    assert_eq!(replies(&mut session), [(Opcode::Pong, b"9999".to_vec())]);
    assert!(!session.has_pending_reply());
    assert_eq!(replies(&mut session), []);
    feed(&mut session, &frame(Opcode::Ping, ""));
    assert_eq!(replies(&mut session), [(Opcode::Pong, vec![])]);
}

#[test]
fn unsolicited_pongs_change_nothing() {
    let mut session = server();
    assert_eq!(feed(&mut session, &frame(Opcode::Pong, "x")), (vec![OwnedEvent::Pong(b"x".into())], None));
    assert!(!session.has_pending_reply() && session.closing().may_send());
}

#[test]
fn lengths_of_every_form_are_read_and_written() {
    let (mut server, mut client, mut scratch) = (server(), client(), Scratch::default());
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 1024 * 1024] {
        let payload = vec![b'x'; len];
        let up = encode(&mut client, &mut scratch, Outgoing::Binary(&payload));
        assert_eq!(feed(&mut server, &up), (vec![binary(&payload)], None));
        let down = encode(&mut server, &mut scratch, Outgoing::Binary(&payload));
        assert_eq!(feed(&mut client, &down), (vec![binary(&payload)], None));
        let header = if len < 126 {
            2
        } else if len < 65_536 {
            4
        } else {
            10
        };
        assert_eq!((down.len(), up.len()), (header + len, header + 4 + len));
    }
}

#[test]
fn each_receive_consumes_the_input_of_one_event() {
    let (mut session, mut scratch) = (server(), Scratch::default());
    let input = [frame(Opcode::Text, "one"), frame(Opcode::Text, "two")].concat();
    let mut rest = &input[..];
    assert_eq!(session.receive(&mut rest, &mut scratch), Ok(Some(Event::Text(&mut "one".to_owned()))));
    assert_eq!(rest, frame(Opcode::Text, "two"));
    assert_eq!(session.receive(&mut rest, &mut scratch), Ok(Some(Event::Text(&mut "two".to_owned()))));
    assert_eq!(session.receive(&mut rest, &mut scratch), Ok(None));
}

#[test]
fn taking_a_message_out_does_not_affect_the_next_one() {
    let (mut session, mut scratch) = (server(), Scratch::default());
    let input =
        [frame(Opcode::Binary, "one"), frame(Opcode::Text, "two"), frame(Opcode::Text, "three")].concat();
    let mut rest = &input[..];
    let Ok(Some(Event::Binary(bytes))) = session.receive(&mut rest, &mut scratch) else {
        panic!("no message")
    };
    assert_eq!(std::mem::take(bytes), b"one");
    let Ok(Some(Event::Text(two))) = session.receive(&mut rest, &mut scratch) else { panic!("no message") };
    assert_eq!(std::mem::take(two), "two");
    assert_eq!(session.receive(&mut rest, &mut scratch), Ok(Some(Event::Text(&mut "three".to_owned()))));
}

#[test]
fn buffers_are_held_only_inside_a_message() {
    let (mut session, mut scratch) = (server(), Scratch::default());
    let input = frame(Opcode::Binary, [7; 3000]);
    let (first, second) = input.split_at(1000);
    assert_eq!(session.receive(&mut &first[..1], &mut scratch), Ok(None));
    assert!(session.is_inside_message(), "a partial header counts as inside a message");
    assert_eq!(session.receive(&mut &first[1..], &mut scratch), Ok(None));
    assert!(session.is_inside_message());
    assert_eq!((session.buffered_bytes(), scratch.free_bytes()), (1000 - 8, 0));
    let mut rest = second;
    assert!(matches!(session.receive(&mut rest, &mut scratch), Ok(Some(Event::Binary(_)))));
    assert_eq!(session.buffered_bytes(), 0);
    assert_eq!(session.receive(&mut rest, &mut scratch), Ok(None));
    assert!(!session.is_inside_message());
    assert!(scratch.free_bytes() >= 3000, "the buffer is kept for the next message");
    let between = part(Opcode::Text, "");
    assert_eq!(session.receive(&mut &between[..], &mut scratch), Ok(None));
    assert!(session.is_inside_message(), "the session waits for the next fragment");
}

#[test]
fn large_buffers_are_not_kept() {
    let (mut session, mut scratch) = (server(), Scratch::default());
    let input = frame(Opcode::Binary, vec![7; 1_000_000]);
    let mut rest = &input[..];
    while session.receive(&mut rest, &mut scratch).unwrap().is_some() {}
    assert_eq!(scratch.free_bytes(), 0);
}

#[test]
fn long_ping_payloads_are_cut_to_fit_a_control_frame() {
    let (mut session, mut out) = (server(), Vec::new());
    session.ping(&mut out, &[b'x'; 200]).unwrap();
    assert_eq!(out.len(), 2 + 125);
    assert_eq!(feed(&mut client(), &out), (vec![OwnedEvent::Ping(vec![b'x'; 125])], None));
}

#[test]
fn a_client_masks_its_pong() {
    let mut session = client();
    let ping = {
        let mut wire = Vec::new();
        Header::new(Opcode::Ping, 1).append_frame(&mut wire, b"x");
        wire
    };
    assert_eq!(feed(&mut session, &ping), (vec![OwnedEvent::Ping(b"x".into())], None));
    let mut out = Vec::new();
    session.reply(&mut out);
    assert_eq!(out, masked_frame(Header::new(Opcode::Pong, 0), "x"));
}

#[test]
fn a_session_takes_at_most_256_bytes() {
    assert!(size_of::<Session>() <= 256, "{} bytes", size_of::<Session>());
}
