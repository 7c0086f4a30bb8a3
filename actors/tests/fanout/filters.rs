//! Events with a filter.

use std::sync::Arc;

use windlass_actors::fanout::{Filter, Overflow, Receipt, SubscribeOptions, Subscription, Topic};

use crate::{Bytes, bounds, common::LONG, describe, fanout, publish, take};

fn member(topic: &Topic<Bytes>, room: &'static str, overflow: Overflow) -> Subscription<Bytes> {
    topic
        .subscribe_with(SubscribeOptions::new(bounds(2, 1000), overflow).with_identity(Arc::new(room)))
        .unwrap()
}

fn in_room(room: &'static str) -> Filter {
    Arc::new(move |identity| identity.and_then(|identity| identity.downcast_ref::<&str>()) == Some(&room))
}

fn delivered(receipt: &Receipt<Bytes>) -> usize {
    pollster::block_on(receipt.delivery_report(LONG)).delivered
}

#[test]
fn a_filtered_event_reaches_matching_subscribers_and_is_no_gap_for_others() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Close);
    let mut members: Vec<_> =
        ["a", "a", "b"].iter().map(|room| member(&topic, room, Overflow::Close)).collect();
    let mut nobody = topic.subscribe().unwrap();
    assert_eq!(delivered(&topic.publish_filtered(in_room("a"), vec![1]).unwrap()), 2);
    assert_eq!(delivered(&topic.publish_filtered(in_room("none"), vec![2]).unwrap()), 0);
    publish(&topic, 1, 1);
    let seen: Vec<_> = members.iter_mut().map(|member| describe(&take(member))).collect();
    assert_eq!(seen, ["1 3", "1 3", "3"]);
    assert_eq!(describe(&take(&mut nobody)), "3");
}

#[test]
fn a_filter_that_panics_excludes_the_subscriber_and_is_counted() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Close);
    let mut members: Vec<_> = ["a", "b"].iter().map(|room| member(&topic, room, Overflow::Close)).collect();
    let picky: Filter =
        Arc::new(|identity| match identity.and_then(|identity| identity.downcast_ref::<&str>()) {
            Some(&"a") => panic!("expected by the test"),
            _ => true,
        });
    assert_eq!(delivered(&topic.publish_filtered(picky, vec![1]).unwrap()), 1);
    assert_eq!(topic.stats().filter_panics, 1);
    publish(&topic, 1, 1);
    assert_eq!(describe(&take(&mut members[0])), "2");
    assert_eq!(describe(&take(&mut members[1])), "1 2");
}

#[test]
fn the_report_names_a_subscriber_that_lost_the_event() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Close);
    let (slow, _quick) = (member(&topic, "a", Overflow::Close), topic.subscribe().unwrap());
    publish(&topic, 2, 1);
    let report = pollster::block_on(topic.publish(|_| vec![1]).unwrap().delivery_report(LONG));
    assert_eq!((report.delivered, report.closed), (1, 1));
    assert_eq!(report.first_lost, Some((slow.id(), Overflow::Close)));
    assert_eq!(
        pollster::block_on(topic.publish(|_| vec![1]).unwrap().delivery_report(LONG)).first_lost,
        None
    );
}
