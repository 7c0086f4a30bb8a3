//! Subscriptions to several topics of one log: patterns, sets, tags, gaps and quiet topics.

use std::time::Duration;

use windlass::{
    TopicAccess, TopicAction, TopicCheck,
    actors::fanout::Overflow,
    broker::{Broker, BrokerSettings, SseTopic, TopicLog},
};

use super::{
    client::{Client, Received},
    publish, serve, with,
};
use crate::common::{connect, eventually, metric};

/// Joins the topics `p/…` in one log.
fn logs(settings: &mut BrokerSettings) {
    settings.logs = vec![TopicLog::new("prices", "p/*")];
}

fn enveloped(id: &str, topic: &str, data: &str) -> Received {
    Received::event(id, "message", &format!(r#"{{"topic":"{topic}","data":"{data}"}}"#))
}

fn subscribers(server: &windlass::Server, count: usize) {
    eventually("all are subscribed", || metric(server, "windlass_topic_subscribers") == count as f64);
}

#[test]
fn a_pattern_receives_the_topics_below_it_in_order_and_once() {
    let (server, _) = with(logs);
    let mut all = Client::subscribe(&server, "/topics/p/*", None);
    let mut metals =
        Client::subscribe(&server, "/events?topic=p/metals/*&topic=p/oil&topic=p/metals/tin", None);
    let mut oil = Client::subscribe(&server, "/topics/p/oil", None);
    subscribers(&server, 3);
    let tin = publish(&server, "/topics/p/metals/tin", "1");
    let own = publish(&server, "/topics/p", "not in the log");
    let oil_id = publish(&server, "/topics/p/oil?event=tick", "2");
    let gas = publish(&server, "/topics/p/gas", "3");
    assert_eq!(all.next(), enveloped(&tin, "p/metals/tin", "1"));
    let tick = Received::event(&oil_id, "tick", r#"{"topic":"p/oil","data":"2"}"#);
    assert_eq!(all.next(), tick);
    assert_eq!(all.next(), enveloped(&gas, "p/gas", "3"));
    assert_eq!(metals.next(), enveloped(&tin, "p/metals/tin", "1"));
    assert_eq!(metals.next(), tick);
    assert_eq!(oil.next(), Received::event(&oil_id, "tick", "2"), "one topic needs no name");
    assert_eq!(super::seq(&own), 1, "a topic of its own has its own numbers");
    assert_eq!(super::seq(&gas), super::seq(&tin) + 2);
}

#[test]
fn a_filtered_stream_resumes_without_gap_and_without_repeats() {
    let (server, _) = with(logs);
    let ids: Vec<_> = ["a", "b", "a", "c", "b", "a"]
        .iter()
        .enumerate()
        .map(|(n, topic)| publish(&server, &format!("/topics/p/{topic}"), n.to_string()))
        .collect();
    let mut a = Client::subscribe(&server, "/topics/p/a", Some(&ids[0]));
    assert_eq!(a.next(), Received::event(&ids[2], "message", "2"));
    assert_eq!(a.next(), Received::event(&ids[5], "message", "5"));
    let mut set = Client::subscribe(&server, "/events?topic=p/c&topic=p/b", Some("earliest"));
    for (index, topic) in [(1, "p/b"), (3, "p/c"), (4, "p/b")] {
        assert_eq!(set.next(), enveloped(&ids[index], topic, &index.to_string()));
    }
    let live = publish(&server, "/topics/p/b", "live");
    publish(&server, "/topics/p/a", "x");
    assert_eq!(set.next(), enveloped(&live, "p/b", "live"));
    // The id of an event of another topic is a position of the same log.
    let mut b = Client::subscribe(&server, "/topics/p/b", Some(&ids[3]));
    assert_eq!(b.next(), Received::event(&ids[4], "message", "4"));
    assert_eq!(b.next(), Received::event(&live, "message", "live"));
}

#[test]
fn expired_events_that_match_are_a_gap() {
    let (server, _) = with(|settings| {
        logs(settings);
        settings.retention.events = 4;
    });
    let ids: Vec<_> = (0..10)
        .map(|n| publish(&server, &format!("/topics/p/{}", ["a", "b"][n % 2]), n.to_string()))
        .collect();
    let mut a = Client::subscribe(&server, "/topics/p/a", Some(&ids[0]));
    assert!(matches!(a.next(), Received::Event { name, .. } if name == "gap"));
    assert_eq!(a.next(), Received::event(&ids[6], "message", "6"));
    assert_eq!(a.next(), Received::event(&ids[8], "message", "8"));
    // Nothing has expired after this id.
    let mut b = Client::subscribe(&server, "/topics/p/b", Some(&ids[6]));
    assert_eq!(b.next(), Received::event(&ids[7], "message", "7"));
}

#[test]
fn a_quiet_stream_of_a_busy_log_moves_the_last_event_id_by_its_heartbeat() {
    let (server, _) = with(|settings| {
        logs(settings);
        settings.heartbeat = Some(Duration::from_millis(20));
    });
    let mut quiet = Client::subscribe(&server, "/topics/p/quiet", None);
    subscribers(&server, 1);
    let busy = publish(&server, "/topics/p/busy", "1");
    let position = Received::Position(busy.clone());
    loop {
        match quiet.next_with_comments() {
            Received::Comment => {}
            received => {
                assert_eq!(received, position);
                break;
            }
        }
    }
    assert_eq!(quiet.next_with_comments(), Received::Comment, "each position once");
    let own = publish(&server, "/topics/p/quiet", "2");
    assert_eq!(quiet.next(), Received::event(&own, "message", "2"));
    // The client resumes from the position that the heartbeat sent.
    let mut again = Client::subscribe(&server, "/topics/p/quiet", Some(&busy));
    assert_eq!(again.next(), Received::event(&own, "message", "2"));
}

#[test]
fn a_slow_subscriber_of_one_topic_loses_only_its_events() {
    let (server, broker) = with(|settings| {
        logs(settings);
        settings.policy.mailbox_events = 2;
        settings.policy.overflow = Overflow::Drop.into();
    });
    let topic = "p/a".parse().unwrap();
    let mut slow = Client::subscribe(&server, "/topics/p/a", None);
    subscribers(&server, 1);
    for n in 0..50 {
        publish(&server, "/topics/p/other", n.to_string());
    }
    let id = publish(&server, "/topics/p/a", "mine");
    assert_eq!(slow.next(), Received::event(&id, "message", "mine"));
    assert_eq!(broker.stats(&topic).unwrap().dropped, 0);
}

#[test]
fn the_latest_values_come_first_on_request() {
    let (server, _) = with(logs);
    let ids: Vec<_> = (0..9)
        .map(|n| publish(&server, &format!("/topics/p/{}", ["a", "b", "c"][n % 3]), n.to_string()))
        .collect();
    let mut one = Client::subscribe(&server, "/topics/p/a?last=1", None);
    assert_eq!(one.next(), Received::event(&ids[6], "message", "6"));
    let mut all = Client::subscribe(&server, "/topics/p/*?last=2", None);
    assert_eq!(all.next(), enveloped(&ids[7], "p/b", "7"));
    assert_eq!(all.next(), enveloped(&ids[8], "p/c", "8"));
    let live = publish(&server, "/topics/p/a", "live");
    assert_eq!(one.next(), Received::event(&live, "message", "live"));
    assert_eq!(all.next(), enveloped(&live, "p/a", "live"));
    let mut resumed = Client::subscribe(&server, "/topics/p/a?last=1", Some(&ids[0]));
    assert_eq!(resumed.next(), Received::event(&ids[3], "message", "3"), "the id wins");
    for bad in ["1001", "x", "-1"] {
        assert_eq!(connect(&server).get(&format!("/topics/p/a?last={bad}")).status, 400, "{bad}");
    }
}

#[test]
fn tags_select_events_of_one_topic_too() {
    let (server, _) = with(logs);
    let first = publish(&server, "/topics/t?tag=lang=de&tag=kind=news", "1");
    publish(&server, "/topics/t?tag=lang=en", "2");
    let mut german = Client::subscribe(&server, "/topics/t?tag=lang=de", Some("earliest"));
    assert_eq!(german.next(), Received::event(&first, "message", "1"));
    publish(&server, "/topics/t", "3");
    let last = publish(&server, "/topics/t?tag=lang=de", "4");
    assert_eq!(german.next(), Received::event(&last, "message", "4"));
    assert_eq!(connect(&server).get("/topics/t?tag=de").status, 400);
    assert_eq!(connect(&server).post("/topics/t?tag=de", "x").status, 400);
}

#[test]
fn topics_of_several_logs_are_refused_with_a_way_out() {
    let (server, _) = with(logs);
    for path in ["/topics/other/*", "/topics/*", "/events?topic=p/a&topic=b", "/events?topic=a&topic=b"] {
        let reply = connect(&server).get(path);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.text().contains("[[topics.log]]"), "{path}: {}", reply.text());
    }
    for path in ["/events", "/events?topic=a*", "/topics/p/*/x", "/topics/a*"] {
        assert_eq!(connect(&server).get(path).status, 400, "{path}");
    }
}

#[test]
fn the_name_of_an_event_may_be_its_topic() {
    let (server, _) = with(|settings| {
        logs(settings);
        settings.sse_topic = SseTopic::Event;
    });
    let mut all = Client::subscribe(&server, "/topics/p/*", None);
    subscribers(&server, 1);
    let id = publish(&server, "/topics/p/a?event=tick", "1");
    assert_eq!(all.next(), Received::event(&id, "p/a", "1"));
}

#[test]
fn a_check_is_not_bypassed_by_a_pattern_or_a_set() {
    let serve_with = |check| {
        let mut settings = BrokerSettings::default();
        logs(&mut settings);
        let mut access = TopicAccess::default();
        access.check = Some(check);
        serve(&Broker::new(settings).unwrap(), access)
    };
    let status = |server: &windlass::Server, path: &str| {
        let mut peer = connect(server);
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        String::from_utf8(peer.until(b"\r\n\r\n")).unwrap()[9..12].to_owned()
    };
    fn open(action: TopicAction<'_>) -> bool {
        !matches!(action, TopicAction::Subscribe(topic) if topic.as_str() == "p/secret")
    }
    let server = serve_with(TopicCheck::new(|_, action| open(action)));
    assert_eq!(status(&server, "/topics/p/open"), "200");
    assert_eq!(status(&server, "/events?topic=p/open&topic=p/other"), "200");
    for path in ["/topics/p/*", "/events?topic=p/open&topic=p/secret", "/events?topic=p/open&topic=p/x/*"] {
        assert_eq!(status(&server, path), "403", "{path}");
    }
    let asked = |action: TopicAction<'_>| match action {
        TopicAction::SubscribePattern(pattern) => pattern.to_string() == "p/x/*",
        action => open(action),
    };
    let server = serve_with(TopicCheck::with_patterns(move |_, action| asked(action)));
    assert_eq!(status(&server, "/topics/p/x/*"), "200");
    assert_eq!(status(&server, "/topics/p/*"), "403");
}

#[test]
fn a_topic_that_moves_into_a_log_continues_with_a_reset_or_a_gap() {
    let (server, _) = with(|_| {});
    let old = publish(&server, "/topics/p/a", "1");
    drop(server);
    let (server, _) = with(logs);
    publish(&server, "/topics/p/b", "another event with the same number");
    let mut client = Client::subscribe(&server, "/topics/p/a", Some(&old));
    assert!(matches!(client.next(), Received::Event { name, .. } if name == "gap"));
}

#[cfg(feature = "ws")]
#[test]
fn a_websocket_names_the_topic_of_each_event() {
    use crate::ws::peer::{open, read_text};
    let (server, _) = with(logs);
    let stored = publish(&server, "/topics/p/a", "1");
    let mut socket = open(&server, "/topics/p/*?last_event_id=earliest");
    assert_eq!(read_text(&mut socket), format!(r#"{{"id":"{stored}","topic":"p/a","data":"1"}}"#));
    let mut set = open(&server, "/events?topic=p/b&topic=p/c");
    subscribers(&server, 2);
    publish(&server, "/topics/p/a", "2");
    let live = publish(&server, "/topics/p/b?event=tick", "3");
    let expected = format!(r#"{{"id":"{live}","topic":"p/b","event":"tick","data":"3"}}"#);
    assert_eq!(read_text(&mut set), expected);
    read_text(&mut socket);
    assert_eq!(read_text(&mut socket), expected);
}

#[cfg(feature = "http2")]
#[test]
fn patterns_work_over_http2() {
    use crate::h2::client::{Client, request};
    let (server, _) = with(logs);
    let stored = publish(&server, "/topics/p/a", "1");
    publish(&server, "/topics/p/b", "2");
    let mut client = Client::connect(&server);
    let get = request(windlass::http::Method::GET, "/events?topic=p/a&topic=p/c&last_event_id=earliest");
    let (response, mut body) = client.open(get);
    body.send_data(bytes::Bytes::new(), true).unwrap();
    let mut stream = client.wait(response).unwrap().into_body();
    let live = std::cell::OnceCell::new();
    let mut text = Vec::new();
    while !text.ends_with(b"\"3\"}\n\n") {
        let data = client.wait(stream.data()).unwrap().unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
        live.get_or_init(|| publish(&server, "/topics/p/c", "3"));
    }
    let event = |id: &str, topic: &str, data: &str| {
        format!("id: {id}\ndata: {{\"topic\":\"{topic}\",\"data\":\"{data}\"}}\n\n")
    };
    let expected = event(&stored, "p/a", "1") + &event(live.get().unwrap(), "p/c", "3");
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}
