//! HTTP routes of a broker: publish with `POST`, subscribe with `GET`.

mod access;
mod admin;
mod cors;
mod refusals;
#[cfg(feature = "ws")]
mod socket;

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use windlass_actors::fanout::TopicStats;

use crate::{
    identity::Identity,
    pubsub::{
        broker::{Broker, ClientAddress, Event, TopicFilter, TopicFilterError, TopicName, TopicNameError},
        event::{EventId, to_json},
        stream::{ResumePoint, last_event_id},
    },
    replay::Position,
    request::Request,
    response::{Response, plain},
    routing::{
        route::{Route, any, get, options, post},
        router::Router,
    },
};

pub use access::{TopicAccess, TopicAction, TopicCheck};
pub use admin::admin_routes;

/// Adds the routes of a broker's topics to a router.
///
/// - `POST /topics/{topic}` publishes the request body, which must be UTF-8. The query key `event` names the
///   event; the name `gap` is reserved. The response is `202` with `{"id":…,"subscribers":…}`. It is sent
///   once the event is stored with the topic's [durability](crate::broker::TopicPolicy::durability).
/// - `GET /topics/{topic}` streams the topic's events as server-sent events. With `Upgrade: websocket` each
///   event is a text message.
/// - `GET /topics/{prefix}/*` streams the events of all topics below a name, which must be in one
///   [log](crate::broker::BrokerSettings::logs), and `GET /events?topic={topic}&topic={prefix}/*` those of
///   several topics and patterns.
/// - `GET /topics` lists the open topics and their counts as JSON.
///
/// Pages of the permitted [origins](TopicAccess::origins) receive CORS fields with every response, errors
/// included, and answers to their preflight requests.
pub fn routes(router: Router, broker: &Broker, access: TopicAccess) -> Router {
    let cors = cors::layer(&access.origins);
    let service = Arc::new(TopicService { broker: broker.clone(), access });
    let with_cors = |route: Route| route.with_layer(cors.clone());
    let list = service.clone();
    let events = service.clone();
    let subscribe = get("/events", move |request: Request| events.subscribe_query(request)).shed_first();
    let router = router
        .route(with_cors(subscribe))
        .route(with_cors(options("/events", |_: Request| allowed_methods())))
        .route(with_cors(get("/topics", move |request: Request| list.list(&request))))
        .route(with_cors(options("/topics", |_: Request| allowed_methods())))
        // The parameter of the other routes does not match the empty name.
        .route(with_cors(any("/topics/", |_: Request| invalid_topic())));
    router.group("/topics", |group| {
        topic_routes(&service).into_iter().fold(group, |group, route| group.route(with_cors(route)))
    })
}

fn topic_routes(service: &Arc<TopicService>) -> [Route; 3] {
    let (subscribe, publish) = (service.clone(), service.clone());
    [
        get("/{*topic}", move |request: Request| subscribe.subscribe(request)).shed_first(),
        post("/{*topic}", move |request: Request| publish.clone().publish(request)),
        options("/{*topic}", |_: Request| allowed_methods()),
    ]
}

/// The handlers of the topic routes.
struct TopicService {
    broker: Broker,
    access: TopicAccess,
}

impl TopicService {
    fn list(&self, request: &Request) -> Response {
        let identity = self.access.identify_subscriber(request);
        let allowed =
            identity.and_then(|identity| self.access.check(request, identity.as_ref(), TopicAction::List));
        if let Err(denied) = allowed {
            return denied;
        }
        let mut topics = self.broker.topics_stats();
        topics.sort_by(|(a, _), (b, _)| a.cmp(b));
        let topics =
            topics.iter().map(|(name, stats)| self.listed(name.as_str(), self.broker.last(name), stats));
        let mut topics: Vec<_> = topics.collect();
        let logs = self.broker.logs_stats();
        topics.extend(logs.iter().map(|(name, stats)| ListedTopic {
            log: Some(name),
            ..self.listed(self.broker.topics_of(name), None, stats)
        }));
        json(&topics)
    }

    fn listed<'a>(&self, topic: &'a str, last: Option<Position>, stats: &TopicStats) -> ListedTopic<'a> {
        ListedTopic {
            topic,
            log: None,
            subscribers: stats.subscribers,
            last: last.filter(|last| last.seq() > 0).map(EventId),
            published: stats.published,
            delivered: stats.delivered,
            dropped: stats.dropped,
            removed: stats.removed,
            closed: stats.closed,
            lag_events: stats.lag_events,
            lag_ms: u64::try_from(stats.lag_age.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn subscribe(&self, request: Request) -> Response {
        self.subscribe_to(request, |request| {
            let pattern = request.param("topic").unwrap_or_default();
            TopicFilter::parse([&*pattern]).map_err(|_| invalid_topic())
        })
    }

    /// Answers a request that names topics and patterns in its query.
    fn subscribe_query(&self, request: Request) -> Response {
        self.subscribe_to(request, |request| {
            let topics: Vec<_> = query_values(request, b"topic").collect();
            let topics = topics.iter().map(|topic| std::str::from_utf8(topic).unwrap_or_default());
            TopicFilter::parse(topics).map_err(invalid_filter)
        })
    }

    fn subscribe_to(
        &self,
        mut request: Request,
        topics: impl FnOnce(&Request) -> Result<TopicFilter, Response>,
    ) -> Response {
        let identity = match self.access.identify_subscriber(&request) {
            Ok(identity) => identity,
            Err(denied) => return denied,
        };
        attach(&mut request, identity.as_ref());
        let (filter, resume) = match self.subscription(&request, identity.as_ref(), topics) {
            Ok(subscription) => subscription,
            Err(denied) => return denied,
        };
        #[cfg(feature = "ws")]
        if socket::is_handshake(&request) {
            return socket::open(self, &request, identity.as_ref(), &filter, resume);
        }
        let lease = self.access.lease(&request, identity.as_ref());
        self.broker.respond_filter(&filter, resume, ClientAddress::of(&request), lease)
    }

    /// Returns the topics and the start of a subscription, or the response to send if the request may not
    /// subscribe to them.
    fn subscription(
        &self,
        request: &Request,
        identity: Option<&Identity>,
        topics: impl FnOnce(&Request) -> Result<TopicFilter, Response>,
    ) -> Result<(TopicFilter, Option<ResumePoint>), Response> {
        let tags = query_values(request, b"tag").map(|tag| Bytes::copy_from_slice(&tag));
        let filter = topics(request)?.with_tags(tags).map_err(invalid_filter)?;
        self.access.check_subscription(request, identity, &filter)?;
        let resume = last_event_id(request).as_deref().and_then(ResumePoint::parse);
        Ok((filter, if resume.is_some() { resume } else { latest(request)? }))
    }

    async fn publish(self: Arc<Self>, mut request: Request) -> Response {
        match self.event_to_publish(&mut request) {
            Ok((topic, event)) => match self.broker.publish(&topic, event).await {
                Ok(published) => {
                    let id = published.position().map(EventId);
                    let accepted = AcceptedEvent { id, subscribers: published.subscribers() };
                    json(&accepted).with_status(StatusCode::ACCEPTED)
                }
                Err(error) => error.to_response(),
            },
            Err(denied) => denied,
        }
    }

    /// Returns the topic and the event if the request may publish it, or the response to send instead.
    fn event_to_publish(&self, request: &mut Request) -> Result<(TopicName, Event), Response> {
        let identity = self.access.identify_publisher(request)?;
        self.access.check_origin(request)?;
        let topic = topic_of(request)?;
        attach(request, identity.as_ref());
        self.access.check(request, identity.as_ref(), TopicAction::Publish(&topic))?;
        let body = request.take_body().into_bytes().unwrap_or_default();
        if std::str::from_utf8(&body).is_err() {
            return Err(plain(StatusCode::BAD_REQUEST, "Invalid event: the request body must be UTF-8.\n"));
        }
        let name = request.query_bytes("event").unwrap_or_default().into_owned();
        let tags = query_values(request, b"tag").map(|tag| Bytes::copy_from_slice(&tag));
        let tags: Vec<_> = tags.collect();
        TopicFilter::from(topic.clone()).with_tags(tags.iter().cloned()).map_err(invalid_filter)?;
        let named = Event::new(body).tagged(tags).named(name);
        let invalid = |error| plain(StatusCode::BAD_REQUEST, format!("Invalid event name: {error}.\n"));
        Ok((topic, named.map_err(invalid)?))
    }
}

/// Attaches the identity to the request, for the program's check.
fn attach(request: &mut Request, identity: Option<&Identity>) {
    if let Some(identity) = identity {
        request.extensions_mut().insert(identity.clone());
    }
}

/// The answer to a publisher.
#[derive(Serialize)]
struct AcceptedEvent {
    /// `None` if the store failed to keep the event.
    id: Option<EventId>,
    subscribers: usize,
}

/// A topic in the list of topics.
#[derive(Serialize)]
struct ListedTopic<'a> {
    /// The topic, or the pattern of a log.
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
    subscribers: usize,
    /// `None` if the topic has no event, or its history is not known yet.
    last: Option<EventId>,
    published: u64,
    delivered: u64,
    dropped: u64,
    removed: u64,
    closed: u64,
    lag_events: usize,
    lag_ms: u64,
}

/// Returns a value as a line of JSON.
fn json(value: &impl Serialize) -> Response {
    let mut line = to_json(value);
    line.push('\n');
    Response::json_text(line)
}

fn allowed_methods() -> Response {
    let methods = HeaderValue::from_static("GET, POST, OPTIONS");
    Response::status_only(StatusCode::NO_CONTENT).with_header(header::ALLOW, methods)
}

fn topic_of(request: &Request) -> Result<TopicName, Response> {
    let name = request.param("topic").unwrap_or_default();
    name.parse().map_err(|TopicNameError| invalid_topic())
}

/// Maximum number of latest events that a subscription asks for.
const MAX_LATEST: usize = 1000;

/// Returns the start of a subscription that asks for the latest events (`last=N`).
fn latest(request: &Request) -> Result<Option<ResumePoint>, Response> {
    let Some(last) = request.query_value("last") else { return Ok(None) };
    match last.parse() {
        Ok(0) => Ok(None),
        Ok(limit) if limit <= MAX_LATEST => Ok(Some(ResumePoint::Latest(limit))),
        _ => {
            let text = "Invalid `last`: expected a number of events, at most 1000.\n";
            Err(plain(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// Returns the values of a query key.
fn query_values<'a>(request: &'a Request, key: &'static [u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
    request.query_pairs().filter(move |(name, _)| **name == *key).map(|(_, value)| value)
}

fn invalid_filter(error: TopicFilterError) -> Response {
    plain(StatusCode::BAD_REQUEST, format!("Invalid topics: {error}.\n"))
}

fn invalid_topic() -> Response {
    let text =
        "Invalid topic name: use 1 to 256 letters, digits and -_.~:@+, in segments separated by '/'.\n";
    plain(StatusCode::BAD_REQUEST, text)
}
