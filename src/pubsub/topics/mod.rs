//! Topics over HTTP: publish with `POST`, subscribe with `GET`.

#[cfg(feature = "ws")]
mod socket;

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};

use crate::{
    proto::origin::Origins,
    pubsub::broker::{Broker, Event, TopicName, TopicNameError},
    request::Request,
    response::{Response, plain},
    routing::{
        route::{get, options, post},
        router::{Group, Router},
    },
};

/// The field of the query in which subscribers show their token.
const ACCESS_TOKEN: &str = "access_token";

/// Who may use the topics of a server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TopicAccess {
    /// What a publisher has to show, as `Authorization: Bearer …`. Default: nothing.
    pub publish_token: Option<String>,
    /// What a subscriber has to show, likewise or as the query field `access_token`, because a browser's EventSource
    /// sets no headers. Default: nothing.
    pub subscribe_token: Option<String>,
    /// The origin whose pages may use the topics from a browser, or `*`. Default: only pages of the server itself; a
    /// publication that a page of another origin sends is answered with 403.
    pub cors_origin: Option<HeaderValue>,
    /// Whether what a client sends over its WebSocket is published, if it shows the publish token as others do or, because a
    /// browser sets no headers there, as the query field `publish_token`. Default: no; the socket closes with code 1008.
    pub ws_publish: bool,
    /// Is asked behind the tokens. Default: nobody is.
    pub check: Option<TopicCheck>,
}

/// What a request wants of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicUse<'a> {
    /// To see which there are.
    List,
    /// To get a topic's events.
    Subscribe(&'a TopicName),
    /// To publish to a topic.
    Publish(&'a TopicName),
}

/// Says whether a request may do what it wants with topics; `403` if not. It runs on the connection's shard.
#[derive(Clone)]
pub struct TopicCheck(Arc<Check>);

type Check = dyn Fn(&Request, TopicUse<'_>) -> bool + Send + Sync;

impl TopicCheck {
    /// Makes a check of a function.
    pub fn new(may: impl Fn(&Request, TopicUse<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may))
    }
}

impl std::fmt::Debug for TopicCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicCheck").finish_non_exhaustive()
    }
}

/// Adds the routes of a broker's topics.
///
/// - `POST /topics/{topic}` publishes its body, which must be UTF-8; `?event=` names the event. Answers `202` with
///   `{"id":…,"subscribers":…}` once the event is as safe as the topic's policy says.
/// - `GET /topics/{topic}` streams the topic's events; with `Upgrade: websocket` each is a text message.
/// - `GET /topics` lists topics with their figures.
pub fn routes(router: Router, broker: &Broker, access: TopicAccess) -> Router {
    let guarded = Arc::new(Guarded { broker: broker.clone(), access });
    let (list, preflight) = (guarded.clone(), guarded.clone());
    let router = router
        .route(get("/topics", move |request: Request| list.with_origin(list.list(&request))))
        .route(options("/topics", move |_: Request| preflight.preflight()));
    router.group("/topics", |group| topic_routes(group, &guarded))
}

fn topic_routes(group: Group, guarded: &Arc<Guarded>) -> Group {
    let (subscribe, publish, preflight) = (guarded.clone(), guarded.clone(), guarded.clone());
    group
        .route(get("/{*topic}", move |request: Request| subscribe.subscribe(&request)).shed_first())
        .route(post("/{*topic}", move |request: Request| publish.clone().publish(request)))
        .route(options("/{*topic}", move |_: Request| preflight.preflight()))
}

/// The broker behind the routes, and who may use it.
struct Guarded {
    broker: Broker,
    access: TopicAccess,
}

impl Guarded {
    fn list(&self, request: &Request) -> Response {
        if !may(request, self.access.subscribe_token.as_deref(), Some(ACCESS_TOKEN)) {
            return unauthorized();
        }
        if let Err(response) = self.checks(request, TopicUse::List) {
            return response;
        }
        let mut topics = self.broker.topics_stats();
        topics.sort_by(|(one, _), (other, _)| one.cmp(other));
        let line = |(name, stats): &(TopicName, crate::actors::fanout::TopicStats)| {
            let last = self.broker.last(name).filter(|last| last.seq() > 0);
            let last = last.map_or_else(|| "null".to_owned(), |last| format!(r#""{last}""#));
            format!(
                r#"{{"topic":"{name}","subscribers":{},"last":{last},"published":{},"delivered":{},"dropped":{},"removed":{},"closed":{},"lag_events":{},"lag_ms":{}}}"#,
                stats.subscribers,
                stats.published,
                stats.delivered,
                stats.dropped,
                stats.removed,
                stats.closed,
                stats.lag_events,
                stats.lag_age.as_millis(),
            )
        };
        let lines: Vec<_> = topics.iter().map(line).collect();
        Response::json_text(format!("[{}]\n", lines.join(",\n")))
    }

    fn subscribe(self: &Arc<Self>, request: &Request) -> Response {
        match self.subscribed(request) {
            #[cfg(feature = "ws")]
            Ok(topic) if socket::is_wanted(request) => socket::join(self, request, topic),
            Ok(topic) => self.with_origin(self.broker.subscribe(&topic, request)),
            Err(response) => self.with_origin(response),
        }
    }

    /// Returns the topic that a request may subscribe to.
    fn subscribed(&self, request: &Request) -> Result<TopicName, Response> {
        if !may(request, self.access.subscribe_token.as_deref(), Some(ACCESS_TOKEN)) {
            return Err(unauthorized());
        }
        let topic = topic_of(request)?;
        self.checks(request, TopicUse::Subscribe(&topic))?;
        Ok(topic)
    }

    /// Asks the program's own check.
    fn checks(&self, request: &Request, wanted: TopicUse<'_>) -> Result<(), Response> {
        match &self.access.check {
            Some(TopicCheck(check)) if !check(request, wanted) => {
                Err(plain(StatusCode::FORBIDDEN, "You may not use this topic so.\n"))
            }
            _ => Ok(()),
        }
    }

    async fn publish(self: Arc<Self>, mut request: Request) -> Response {
        let answer = match self.event(&mut request) {
            Ok((topic, event)) => match self.broker.publish(&topic, event).await {
                Ok(published) => {
                    let id = published.position().map_or("null".to_owned(), |id| format!("\"{id}\""));
                    let subscribers = published.subscribers();
                    Response::json_text(format!("{{\"id\":{id},\"subscribers\":{subscribers}}}\n"))
                        .with_status(StatusCode::ACCEPTED)
                }
                Err(error) => error.to_response(),
            },
            Err(response) => response,
        };
        self.with_origin(answer)
    }

    fn event(&self, request: &mut Request) -> Result<(TopicName, Event), Response> {
        if !may(request, self.access.publish_token.as_deref(), None) {
            return Err(unauthorized());
        }
        if !self.may_page(request) {
            return Err(plain(StatusCode::FORBIDDEN, "Pages of this origin may not publish here.\n"));
        }
        let topic = topic_of(request)?;
        self.checks(request, TopicUse::Publish(&topic))?;
        let body = request.take_body().into_bytes().unwrap_or_default();
        if std::str::from_utf8(&body).is_err() {
            return Err(plain(StatusCode::BAD_REQUEST, "An event must be UTF-8.\n"));
        }
        let event = Event::new(body);
        match request.query_value("event") {
            None => Ok((topic, event)),
            Some(name) => {
                let named = event.named(name.into_owned()).ok();
                let bad =
                    || plain(StatusCode::BAD_REQUEST, "An event's name has no line break and no NUL.\n");
                Ok((topic, named.ok_or_else(bad)?))
            }
        }
    }

    /// Says whether a request comes from a page that may do this, or from no page. A browser lets a page of any site
    /// send a simple `POST`, and only keeps the answer from it.
    fn may_page(&self, request: &Request) -> bool {
        let Some(origin) = request.header_bytes(header::ORIGIN) else { return true };
        let allowed = match self.access.cors_origin.as_ref().map(HeaderValue::as_bytes) {
            Some(b"*") => Origins::Any,
            Some(allowed) => Origins::SameOr(vec![String::from_utf8_lossy(allowed).into_owned()]),
            None => Origins::Same,
        };
        allowed.allow(origin, request.host().map(str::as_bytes))
    }

    fn preflight(&self) -> Response {
        let mut response = self.with_origin(Response::status_only(StatusCode::NO_CONTENT));
        let fields = response.fields_mut();
        let allow = HeaderValue::from_static("GET, POST");
        fields.insert(header::ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
        if self.access.cors_origin.is_some() {
            fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow);
            let headers = HeaderValue::from_static("authorization, content-type, last-event-id");
            fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
            fields.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        response
    }

    /// Lets pages of the allowed origin see an answer.
    fn with_origin(&self, mut response: Response) -> Response {
        if let Some(origin) = &self.access.cors_origin {
            let fields = response.fields_mut();
            fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if origin != "*" {
                fields.insert(header::VARY, HeaderValue::from_static("origin"));
            }
        }
        response
    }
}

fn topic_of(request: &Request) -> Result<TopicName, Response> {
    let name = request.param("topic").unwrap_or_default();
    name.parse().map_err(|bad: TopicNameError| plain(StatusCode::BAD_REQUEST, format!("{bad}.\n")))
}

fn unauthorized() -> Response {
    plain(StatusCode::UNAUTHORIZED, "This needs a token.\n").with_header(header::WWW_AUTHENTICATE, "Bearer")
}

/// Says whether a request shows the token, if one is asked for: as a header, or in this field of the query.
fn may(request: &Request, token: Option<&str>, in_query: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let shown = request.header(header::AUTHORIZATION).and_then(|value| {
        let (scheme, shown) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(shown)
    });
    if shown.is_some_and(|shown| equal(shown, token)) {
        return true;
    }
    in_query.and_then(|field| request.query_value(field)).is_some_and(|shown| equal(&shown, token))
}

/// Compares in a time that tells nothing but the lengths.
fn equal(one: &str, other: &str) -> bool {
    let differs =
        one.bytes().zip(other.bytes()).fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b)));
    one.len() == other.len() && differs == 0
}
