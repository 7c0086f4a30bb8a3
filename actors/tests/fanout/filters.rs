//! Events for some subscribers only.

use std::sync::Arc;

use windlass_actors::fanout::{Filter, Overflow, Receipt, SubscribeOptions, Subscription, Topic};

use crate::{
    Bytes, bounds,
    common::{LONG, block_on},
    fanout, publish, take, told,
};

fn member(topic: &Topic<Bytes>, room: &'static str, overflow: Overflow) -> Subscription<Bytes> {
    topic
        .subscribe_with(SubscribeOptions::new(bounds(2, 1000), overflow).with_identity(Arc::new(room)))
        .unwrap()
}

fn in_room(room: &'static str) -> Filter {
    Arc::new(move |who| who.and_then(|who| who.downcast_ref::<&str>()) == Some(&room))
}

fn taken(receipt: &Receipt<Bytes>) -> usize {
    block_on(receipt.delivery_report(LONG)).delivered
}

#[test]
fn an_event_reaches_those_its_filter_names_and_others_never_know() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Close);
    let mut members: Vec<_> =
        ["a", "a", "b"].iter().map(|room| member(&topic, room, Overflow::Close)).collect();
    let mut nobody = topic.subscribe().unwrap();
    assert_eq!(taken(&topic.publish_filtered(in_room("a"), vec![1]).unwrap()), 2);
    assert_eq!(taken(&topic.publish_filtered(in_room("none"), vec![2]).unwrap()), 0);
    publish(&topic, 1, 1);
    let seen: Vec<_> = members.iter_mut().map(|member| told(&take(member))).collect();
    assert_eq!(seen, ["1 3", "1 3", "3"]);
    assert_eq!(told(&take(&mut nobody)), "3");
}

#[test]
fn a_filter_that_panics_says_no_and_is_counted() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Close);
    let mut members: Vec<_> = ["a", "b"].iter().map(|room| member(&topic, room, Overflow::Close)).collect();
    let picky: Filter = Arc::new(|who| match who.and_then(|who| who.downcast_ref::<&str>()) {
        Some(&"a") => panic!("expected by the test"),
        _ => true,
    });
    assert_eq!(taken(&topic.publish_filtered(picky, vec![1]).unwrap()), 1);
    assert_eq!(topic.stats().filter_panics, 1);
    publish(&topic, 1, 1);
    assert_eq!(told(&take(&mut members[0])), "2");
    assert_eq!(told(&take(&mut members[1])), "1 2");
}

#[test]
fn the_confirmed_count_names_one_that_went_without() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Close);
    let (slow, _quick) = (member(&topic, "a", Overflow::Close), topic.subscribe().unwrap());
    publish(&topic, 2, 1);
    let report = block_on(topic.publish(|_| vec![1]).unwrap().delivery_report(LONG));
    assert_eq!((report.delivered, report.closed), (1, 1));
    assert_eq!(report.first_lost, Some((slow.id(), Overflow::Close)));
    assert_eq!(block_on(topic.publish(|_| vec![1]).unwrap().delivery_report(LONG)).first_lost, None);
}
