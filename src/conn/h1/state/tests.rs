//! The table of transitions: each transition from each state.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use http::StatusCode;

use super::*;
use crate::{
    body::Body,
    conn::exchange::telemetry::Telemetry,
    metrics::HttpVersion,
    proto::h1::{self as proto, Exchange, Framing, Method, Version, encode},
};

/// States of the reading side, in the order of the columns of the table.
const STATES: [&str; 12] = [
    "Preamble",
    "FirstHead",
    "Preface",
    "Head",
    "HeldHead",
    "UpgradeOffered",
    "Body{Head}",
    "Body{Discard}",
    "Switched",
    "LastRequest",
    "Discard",
    "Ended",
];

/// Marks a transition that is impossible in a state: debug builds panic.
const NEVER: &str = "-";
/// Marks a transition that leaves a state as it is.
const SAME: &str = "=";

fn incoming() -> Box<Incoming> {
    let decoder = proto::Body::new(Framing::Length(100), &proto::Limits::default());
    Box::new(Incoming::discard(decoder, 1000, Instant::now()))
}

fn state(name: &str) -> Reading {
    match name {
        "Preamble" => Reading::Preamble,
        "FirstHead" => Reading::FirstHead,
        "Preface" => Reading::Preface,
        "Head" => Reading::Head,
        "HeldHead" => Reading::HeldHead,
        "UpgradeOffered" => Reading::UpgradeOffered,
        "Body{Head}" => Reading::Body(incoming(), AfterBody::Head),
        "Body{Discard}" => Reading::Body(incoming(), AfterBody::Discard),
        "Switched" => Reading::Switched(NextProtocol::Http2),
        "LastRequest" => Reading::LastRequest,
        "Discard" => Reading::Discard(7),
        "Ended" => Reading::Ended,
        other => panic!("{other} is no state"),
    }
}

/// Checks one row of the table: the states that a transition leads to from each of [`STATES`].
#[track_caller]
fn check(transition: impl Fn(&mut Reading), row: &str) {
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(row.len(), STATES.len(), "the row has a wrong number of columns");
    for (from, to) in STATES.into_iter().zip(row) {
        let mut reading = state(from);
        let result = catch_unwind(AssertUnwindSafe(|| transition(&mut reading)));
        assert_eq!(result.is_err(), to == NEVER && cfg!(debug_assertions), "from {from}");
        let expected = if to == NEVER || to == SAME { from } else { to };
        assert_eq!(reading.name(), expected, "from {from}");
    }
}

#[test]
fn every_state_is_named_as_in_the_table() {
    for name in STATES {
        assert_eq!(state(name).name(), name);
    }
}

// The columns of the rows below: Preamble  FirstHead  Preface  Head  HeldHead  UpgradeOffered  Body{Head}
// Body{Discard}  Switched  LastRequest Discard  Ended

#[test]
fn heads_and_bodies_follow_each_other() {
    check(Reading::preamble_parsed, "FirstHead - - - - - - - - - - -");
    check(Reading::head_parsed, "- Head - = - - - - - - - -");
    check(Reading::head_held, "- - - HeldHead - - - - - - - -");
    check(|reading| reading.body_follows(incoming()), "- - - Body{Head} - - - - - - = -");
    check(|reading| drop(reading.take_body()), "= = = = = = Head Discard = = = =");
}

#[test]
fn sent_replies_release_what_waited_for_them() {
    check(|reading| reading.reply_sent(true), "= = = = Head = = = = = = =");
    check(|reading| reading.reply_sent(false), "= = = = Head Head = = = = = =");
}

#[test]
fn connections_switch_to_another_protocol_only_between_requests() {
    check(Reading::preface_begun, "- Preface = - - - - - - - - -");
    check(Reading::upgrade_offered, "- - - UpgradeOffered - - = = - = = -");
    let switch = |reading: &mut Reading| reading.switch_to(NextProtocol::Http2);
    check(switch, "- Switched Switched Switched - Switched - - - Switched Switched -");
    for name in STATES {
        assert_eq!(state(name).take_switch().is_some(), name == "Switched", "{name}");
    }
}

#[test]
fn closing_connections_read_no_further_request() {
    check(Reading::last_request_parsed, "- - - LastRequest - - - - - - - -");
    check(Reading::close_after_replies, "- Discard - Discard Discard Discard Body{Discard} = - = = =");
    check(
        Reading::stop,
        "Discard Discard Discard Discard Discard Discard Discard Discard Discard Discard = Discard",
    );
    check(|reading| reading.discarded(1), "- - - - - - - - - Discard = =");
    let closing = |name: &&str| state(name).is_closing();
    let closing: Vec<&str> = STATES.into_iter().filter(closing).collect();
    assert_eq!(closing, ["Body{Discard}", "LastRequest", "Discard"]);
}

#[test]
fn fin_ends_the_reading_side_where_nothing_waits_to_be_parsed() {
    check(|reading| drop(reading.fin_reached()), "Ended Ended Ended Ended - - Discard Discard - = = =");
    for name in ["Body{Head}", "Body{Discard}"] {
        assert!(state(name).fin_reached().is_some(), "{name}: the caller gives the body up");
    }
}

#[test]
fn discarded_bytes_are_counted() {
    let mut reading = Reading::LastRequest;
    reading.discarded(3);
    reading.discarded(4);
    assert!(matches!(reading, Reading::Discard(7)));
    reading.discarded(usize::MAX);
    assert!(matches!(reading, Reading::Discard(usize::MAX)));
    reading.stop();
    assert!(matches!(reading, Reading::Discard(usize::MAX)), "the count stays");
}

#[test]
fn who_closes_depends_on_the_reading_side_once_no_reply_is_owed() {
    let none = Replies::default();
    for name in STATES {
        let expected = match name {
            "LastRequest" => Some((Ending::Close, "done")),
            "Discard" | "Body{Discard}" => Some((Ending::Finish, "done")),
            "Ended" => Some((Ending::Finish, "peer")),
            _ => None,
        };
        assert_eq!(ending(&state(name), &none), expected, "{name}");
        let mut owed = Replies::default();
        owed.push_ready(context(Method::Get), outcome(503));
        assert_eq!(ending(&state(name), &owed), None, "{name}: a reply is owed");
    }
}

fn context(method: Method) -> ReplyContext {
    let exchange = Exchange { version: Version::Http11, method, keep_alive: true };
    ReplyContext { exchange, telemetry: Telemetry::invalid(Instant::now(), HttpVersion::H1) }
}

fn outcome(status: u16) -> Outcome {
    crate::response::Response::status_only(StatusCode::from_u16(status).unwrap()).into()
}

/// Pushes the reply of a handler that runs; returns its sequence number and whether it was cancelled.
fn run(replies: &mut Replies, deadline: Option<Instant>) -> (u32, Rc<Cell<bool>>) {
    let (seq, cancelled) = (replies.next_seq(), Rc::new(Cell::new(false)));
    replies.push_running(context(Method::Get), RunningHandler::Fake(deadline, cancelled.clone()));
    (seq, cancelled)
}

fn streaming() -> Streaming {
    let (_, body) = Body::channel(1024);
    Streaming::new(context(Method::Get), StatusCode::OK, encode::Framing::Chunked, body)
}

fn pop_status(replies: &mut Replies) -> Option<u16> {
    replies.pop_ready().map(|(_, outcome)| outcome.response.status().as_u16())
}

#[test]
fn replies_leave_in_the_order_of_their_requests() {
    let mut replies = Replies::default();
    let (first, _) = run(&mut replies, None);
    let (second, _) = run(&mut replies, None);
    replies.push_ready(context(Method::Get), outcome(203));
    assert!(replies.ready(second, outcome(202)));
    assert!(replies.awaits_handler() && pop_status(&mut replies).is_none(), "the first is not ready");
    assert!(replies.ready(first, outcome(201)));
    assert!(!replies.ready(first, outcome(500)), "it is ready already");
    assert_eq!([(); 3].map(|()| pop_status(&mut replies)), [Some(201), Some(202), Some(203)]);
    assert!(replies.is_empty() && !replies.ready(first, outcome(500)), "nobody waits for it");
}

#[test]
fn a_streaming_reply_holds_back_those_behind_it() {
    let mut replies = Replies::default();
    replies.start_streaming(streaming());
    let (second, _) = run(&mut replies, None);
    assert!(replies.ready(second, outcome(202)));
    assert_eq!((replies.len(), replies.awaits_handler()), (2, false));
    assert_eq!(pop_status(&mut replies), None);
    assert!(replies.end_streaming().is_some());
    assert_eq!(pop_status(&mut replies), Some(202));
}

#[test]
fn late_handlers_are_cancelled_and_answered_for() {
    let mut replies = Replies::default();
    let now = Instant::now();
    let (_, late) = run(&mut replies, Some(now));
    let (_, in_time) = run(&mut replies, Some(now + Duration::from_secs(1)));
    let (_, untimed) = run(&mut replies, None);
    assert_eq!(replies.deadline(), Some(now));
    replies.expire(now);
    assert_eq!([&late, &in_time, &untimed].map(|cancelled| cancelled.get()), [true, false, false]);
    assert_eq!((pop_status(&mut replies), pop_status(&mut replies)), (Some(503), None));
    assert_eq!(replies.deadline(), Some(now + Duration::from_secs(1)));
}

#[test]
fn given_up_replies_cancel_their_handlers() {
    let mut replies = Replies::default();
    let (first, cancelled) = run(&mut replies, None);
    replies.push_ready(context(Method::Get), outcome(200));
    assert!(replies.cancel_next().is_some() && cancelled.get());
    assert!(!replies.ready(first, outcome(200)));
    assert!(replies.cancel_next().is_some() && replies.cancel_next().is_none());
}

#[test]
fn unsafe_requests_are_seen_wherever_their_reply_stands() {
    let mut replies = Replies::default();
    run(&mut replies, None);
    assert!(!replies.has_unsafe());
    replies.push_ready(context(Method::Post), outcome(200));
    assert!(replies.has_unsafe());
    let mut replies = Replies::default();
    let (_, body) = Body::channel(1024);
    let framing = encode::Framing::Chunked;
    replies.start_streaming(Streaming::new(context(Method::Put), StatusCode::OK, framing, body));
    assert!(replies.has_unsafe());
}
