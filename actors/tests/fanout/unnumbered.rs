//! Events without a number, which a store could not keep. They are delivered all the same.

use windlass_actors::fanout::{Delivery, Gap, Interest, Overflow, SubscribeOptions, Topic};

use crate::{Bytes, bounds, common::LONG, describe, fanout, publish, take};

fn publish_unnumbered(topic: &Topic<Bytes>) {
    let receipt = topic.publish_unnumbered(vec![9]).unwrap();
    assert_eq!(pollster::block_on(receipt.delivery_report(LONG)).shards_pending, 0);
}

#[test]
fn an_unnumbered_event_keeps_its_place_between_numbered_ones() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Drop);
    let mut early = topic.subscribe().unwrap();
    publish(&topic, 1, 1);
    publish_unnumbered(&topic);
    let mut late = topic.subscribe().unwrap();
    publish_unnumbered(&topic);
    publish(&topic, 1, 1);
    let seen = take(&mut early);
    assert_eq!(describe(&seen), "1 1 1 2");
    let numbered =
        |delivery: &Delivery<Bytes>| matches!(delivery, Delivery::Event(event) if event.is_numbered());
    assert_eq!(seen.iter().map(numbered).collect::<Vec<_>>(), [true, false, false, true]);
    assert_eq!(describe(&take(&mut late)), "1 2", "earlier events are not delivered");
}

#[test]
fn a_lost_unnumbered_event_is_a_gap_after_the_last_number() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(1, 1000), Overflow::Drop);
    let mut slow = topic.subscribe().unwrap();
    publish(&topic, 1, 1);
    publish_unnumbered(&topic);
    let seen = take(&mut slow);
    assert!(matches!(seen[1], Delivery::Gap(gap) if gap.is_unnumbered() && gap.to == 1), "{seen:?}");
    // If numbered events are lost too, the gap is their range.
    publish(&topic, 1, 1);
    publish_unnumbered(&topic);
    publish(&topic, 1, 1);
    let seen = take(&mut slow);
    assert_eq!(describe(&seen), "2 gap 3-3");
    assert!(matches!(seen[1], Delivery::Gap(Gap { from: 3, to: 3 })), "{seen:?}");
}

#[test]
fn an_unnumbered_event_is_kept_while_history_is_read() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(9, 1000), Overflow::Drop);
    let mut reader = topic
        .subscribe_catching_up(Interest::all(), SubscribeOptions::new(bounds(9, 1000), Overflow::Drop))
        .unwrap();
    publish(&topic, 1, 1);
    publish_unnumbered(&topic);
    publish(&topic, 1, 1);
    assert!(reader.caught_up(2));
    publish(&topic, 1, 1);
    assert_eq!(describe(&take(&mut reader)), "1 3");
}
