//! Access rules for the topics of a broker: tokens, origins, and a check of the program.

use std::{fmt, sync::Arc};

use http::{StatusCode, header};

use crate::{
    proto::origin::Origins,
    pubsub::broker::{TopicFilter, TopicName, TopicPattern},
    request::Request,
    response::{Response, plain},
};

/// Query key for the subscribe token.
const ACCESS_TOKEN_KEY: &str = "access_token";

/// Query key for the publish token, accepted when a WebSocket is opened.
#[cfg(feature = "ws")]
const PUBLISH_TOKEN_KEY: &str = "publish_token";

/// Access rules for the topics of a server. The default lets everyone publish and subscribe.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TopicAccess {
    /// Token that a publisher must send as `Authorization: Bearer TOKEN`. Default: none.
    pub publish_token: Option<String>,
    /// Token that a subscriber must send as `Authorization: Bearer TOKEN` or as the query key `access_token`.
    /// The query is for browsers, whose `EventSource` cannot set headers. Default: none.
    pub subscribe_token: Option<String>,
    /// Origins whose pages may use the topics from a browser. Default: only pages of this server.
    ///
    /// Pages of listed origins may send credentials, such as cookies; with [`Origins::Any`] pages may not. A
    /// publish request from a page of another origin is answered with 403.
    pub origins: Origins,
    /// Publishes messages that clients send over their WebSockets. Default: no, and the socket closes with
    /// code 1008.
    ///
    /// The client must send the publish token when it opens the socket. Browsers, which cannot set headers
    /// there, send it as the query key `publish_token`.
    pub ws_publish: bool,
    /// Subprotocols of the topics' WebSockets, in order of preference. Default: empty, the first one that the
    /// client offers.
    ///
    /// A browser closes a socket for which it has offered subprotocols and the server has selected none.
    pub ws_subprotocols: Vec<String>,
    /// A check that runs after the tokens. Default: none.
    pub check: Option<TopicCheck>,
}

/// An action that a request wants to perform on topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicAction<'a> {
    /// List the open topics.
    List,
    /// Receive the events of a topic.
    Subscribe(&'a TopicName),
    /// Receive the events of all topics that a pattern stands for. Only a check from
    /// [`TopicCheck::with_patterns`] gets it.
    SubscribePattern(&'a TopicPattern),
    /// Publish to a topic.
    Publish(&'a TopicName),
}

type Check = dyn Fn(&Request, TopicAction<'_>) -> bool + Send + Sync;

/// A function that permits or denies actions on topics. Denied requests are answered with 403; a denied
/// publish over a WebSocket closes the socket with code 1008.
///
/// It runs on the connection's shard, so it must not block.
#[derive(Clone)]
pub struct TopicCheck {
    is_allowed: Arc<Check>,
    /// The check decides about patterns.
    with_patterns: bool,
}

impl TopicCheck {
    /// Wraps a function that returns `true` if the request may perform the action. It is not asked about
    /// patterns: subscriptions to patterns are denied.
    pub fn new(is_allowed: impl Fn(&Request, TopicAction<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { is_allowed: Arc::new(is_allowed), with_patterns: false }
    }

    /// Wraps a function that decides about patterns, too. It must return `false` for
    /// [`TopicAction::SubscribePattern`] if it denies one of the topics that the pattern stands for, those
    /// that do not exist yet included.
    pub fn with_patterns(
        is_allowed: impl Fn(&Request, TopicAction<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { is_allowed: Arc::new(is_allowed), with_patterns: true }
    }

    fn allows(&self, request: &Request, action: TopicAction<'_>) -> bool {
        let is_asked = self.with_patterns || !matches!(action, TopicAction::SubscribePattern(_));
        is_asked && (self.is_allowed)(request, action)
    }
}

impl fmt::Debug for TopicCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicCheck").finish_non_exhaustive()
    }
}

impl TopicAccess {
    /// Checks the token of a request that lists topics or subscribes to one. Returns the response 401 if it
    /// is missing or wrong.
    pub(super) fn check_subscribe_token(&self, request: &Request) -> Result<(), Response> {
        let token = self.subscribe_token.as_deref();
        if has_token(request, token, Some(ACCESS_TOKEN_KEY)) {
            return Ok(());
        }
        Err(unauthorized("Access denied: subscribing to topics needs a token.\n"))
    }

    /// Checks the token of a request that publishes. Returns the response 401 if it is missing or wrong.
    pub(super) fn check_publish_token(&self, request: &Request) -> Result<(), Response> {
        if has_token(request, self.publish_token.as_deref(), None) {
            return Ok(());
        }
        Err(unauthorized("Access denied: publishing to topics needs a token.\n"))
    }

    /// Returns `true` if messages of the WebSocket that this request opens are published: the settings, the
    /// publish token and the program's check allow it.
    #[cfg(feature = "ws")]
    pub(super) fn may_publish_over_socket(&self, request: &Request, topic: &TopicName) -> bool {
        self.ws_publish
            && has_token(request, self.publish_token.as_deref(), Some(PUBLISH_TOKEN_KEY))
            && self.check(request, TopicAction::Publish(topic)).is_ok()
    }

    /// Runs the program's check. Returns the response 403 if it denies the action.
    pub(super) fn check(&self, request: &Request, action: TopicAction<'_>) -> Result<(), Response> {
        match &self.check {
            Some(check) if !check.allows(request, action) => {
                let text = match action {
                    TopicAction::List => "Access denied: you may not list the topics.\n",
                    TopicAction::Subscribe(_) => "Access denied: you may not subscribe to this topic.\n",
                    TopicAction::SubscribePattern(_) => {
                        "Access denied: you may not subscribe to this pattern.\n"
                    }
                    TopicAction::Publish(_) => "Access denied: you may not publish to this topic.\n",
                };
                Err(plain(StatusCode::FORBIDDEN, text))
            }
            _ => Ok(()),
        }
    }

    /// Runs the program's check for each topic and each pattern of a subscription. Returns the response 403
    /// if it denies one of them.
    pub(super) fn check_subscription(&self, request: &Request, filter: &TopicFilter) -> Result<(), Response> {
        filter.patterns().iter().try_for_each(|pattern| match pattern {
            TopicPattern::Topic(topic) => self.check(request, TopicAction::Subscribe(topic)),
            pattern => self.check(request, TopicAction::SubscribePattern(pattern)),
        })
    }

    /// Checks the origin of a request that publishes. Returns the response 403 if its pages may not publish.
    /// Requests without an origin come from no page and pass.
    ///
    /// CORS alone does not protect publishing: a browser sends a simple `POST` for a page of any site and
    /// only hides the response from it.
    pub(super) fn check_origin(&self, request: &Request) -> Result<(), Response> {
        let Some(origin) = request.header_bytes(header::ORIGIN) else { return Ok(()) };
        if self.origins.allow(origin, request.original_host().map(str::as_bytes)) {
            return Ok(());
        }
        Err(plain(StatusCode::FORBIDDEN, "Access denied: pages of this origin may not publish.\n"))
    }
}

fn unauthorized(text: &'static str) -> Response {
    plain(StatusCode::UNAUTHORIZED, text).with_header(header::WWW_AUTHENTICATE, "Bearer")
}

/// Returns `true` if `token` is `None`, or the request has it as its bearer token or under this query key.
fn has_token(request: &Request, token: Option<&str>, query_key: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let bearer = request.header(header::AUTHORIZATION).and_then(|value| {
        let (scheme, bearer) = value.split_once(' ')?;
        // Several spaces may separate the two (RFC 9110 §11.4).
        scheme.eq_ignore_ascii_case("bearer").then(|| bearer.trim_start_matches(' '))
    });
    if bearer.is_some_and(|bearer| equal_in_constant_time(bearer, token)) {
        return true;
    }
    let in_query = query_key.and_then(|key| request.query_value(key));
    in_query.is_some_and(|value| equal_in_constant_time(&value, token))
}

/// Compares two strings. The time depends only on their lengths.
fn equal_in_constant_time(a: &str, b: &str) -> bool {
    let difference =
        a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b)));
    a.len() == b.len() && difference == 0
}
