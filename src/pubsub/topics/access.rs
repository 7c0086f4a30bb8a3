//! Access rules for the topics of a broker: tokens, identities, origins, and a check of the program.

use std::{fmt, sync::Arc};

use http::{HeaderValue, StatusCode, header};

use super::refusals;
use crate::{
    identity::{Authorizer, Identity, Lease, Refusal, Subjects},
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
    /// Finds the identity of clients, for example a [`Verifier`](crate::identity::jwt::Verifier) of JSON Web
    /// Tokens. Default: none.
    ///
    /// With an authorizer, a request needs an identity whose topics include the requested one, unless it has
    /// one of the tokens above. Streams end when the identity expires or its subject is disconnected; a
    /// WebSocket closes with code 1008. The list of topics needs the pattern `*`.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Open streams by subject, and the subjects that were disconnected.
    pub subjects: Subjects,
    /// A check that runs after the tokens. Default: none. It finds the [`Identity`] in the request's
    /// [extensions](Request::extensions).
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
    /// Receive the events of all topics that a pattern stands for. Of the checks of a program only one from
    /// [`TopicCheck::with_patterns`] gets it.
    SubscribePattern(&'a TopicPattern),
    /// Publish to a topic.
    Publish(&'a TopicName),
}

impl TopicAction<'_> {
    /// Returns `true` if the topics of an identity include those of the action.
    fn is_granted_to(self, identity: &Identity) -> bool {
        match self {
            Self::List => identity.subscribe().contain("*"),
            Self::Subscribe(topic) => identity.subscribe().contain(topic.as_str()),
            Self::SubscribePattern(pattern) => identity.subscribe().contain(&pattern.to_string()),
            Self::Publish(topic) => identity.publish().contain(topic.as_str()),
        }
    }

    /// Returns the response 403.
    fn denied(self) -> Response {
        let text = match self {
            Self::List => "Access denied: you may not list the topics.\n",
            Self::Subscribe(_) => "Access denied: you may not subscribe to this topic.\n",
            Self::SubscribePattern(_) => "Access denied: you may not subscribe to this pattern.\n",
            Self::Publish(_) => "Access denied: you may not publish to this topic.\n",
        };
        plain(StatusCode::FORBIDDEN, text)
    }
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
    /// Finds the identity of a request that lists topics or subscribes to one. `None`: it needs none. Returns
    /// the response 401 if its credentials are missing or wrong.
    pub(super) fn identify_subscriber(&self, request: &Request) -> Result<Option<Identity>, Response> {
        let text = "Access denied: subscribing to topics needs a token.\n";
        self.identify(request, self.subscribe_token.as_deref(), Some(ACCESS_TOKEN_KEY), text)
    }

    /// Finds the identity of a request that publishes. `None`: it needs none. Returns the response 401 if its
    /// credentials are missing or wrong.
    pub(super) fn identify_publisher(&self, request: &Request) -> Result<Option<Identity>, Response> {
        let text = "Access denied: publishing to topics needs a token.\n";
        self.identify(request, self.publish_token.as_deref(), None, text)
    }

    fn identify(
        &self,
        request: &Request,
        token: Option<&str>,
        query_key: Option<&str>,
        text: &'static str,
    ) -> Result<Option<Identity>, Response> {
        let Some(authorizer) = &self.authorizer else {
            let permitted = token.is_none_or(|token| has_token(request, token, query_key));
            return if permitted { Ok(None) } else { Err(unauthorized(text, "Bearer")) };
        };
        if token.is_some_and(|token| has_token(request, token, query_key)) {
            return Ok(None);
        }
        let refused = |refusal: Refusal| {
            request.counters().auth_refused.add(refusal.label());
            refusals::log(refusal);
            Err(unauthorized(text, r#"Bearer error="invalid_token""#))
        };
        match authorizer.identify(request) {
            Ok(Some(identity)) if self.subjects.refuse(&identity) => refused(Refusal::Disconnected),
            Ok(Some(identity)) => Ok(Some(identity)),
            Ok(None) => Err(unauthorized(text, "Bearer")),
            Err(refusal) => refused(refusal),
        }
    }

    /// Returns the lease of a stream, or `None` if the stream is not bound to an identity.
    pub(super) fn lease(&self, request: &Request, identity: Option<&Identity>) -> Option<Lease> {
        identity.map(|identity| Lease::new(identity, &self.subjects, request.counters()))
    }

    /// Returns `true` if messages of the WebSocket that this request opens are published: the settings, the
    /// publish token or the identity, and the program's check allow it.
    #[cfg(feature = "ws")]
    pub(super) fn may_publish_over_socket(
        &self,
        request: &Request,
        identity: Option<&Identity>,
        topic: &TopicName,
    ) -> bool {
        let action = TopicAction::Publish(topic);
        let token = self.publish_token.as_deref();
        let has_token = token.is_some_and(|token| has_token(request, token, Some(PUBLISH_TOKEN_KEY)));
        let is_open = token.is_none() && self.authorizer.is_none();
        let may_publish = has_token
            || is_open
            || identity.is_some_and(|identity| identity.publish().contain(topic.as_str()));
        self.ws_publish && may_publish && self.check(request, None, action).is_ok()
    }

    /// Checks that an identity may perform the action, and runs the program's check. Returns the response 403
    /// if one of them denies it.
    pub(super) fn check(
        &self,
        request: &Request,
        identity: Option<&Identity>,
        action: TopicAction<'_>,
    ) -> Result<(), Response> {
        if identity.is_some_and(|identity| !action.is_granted_to(identity)) {
            request.counters().auth_refused.add("topic");
            let challenge = HeaderValue::from_static(r#"Bearer error="insufficient_scope""#);
            return Err(action.denied().with_header(header::WWW_AUTHENTICATE, challenge));
        }
        match &self.check {
            Some(check) if !check.allows(request, action) => Err(action.denied()),
            _ => Ok(()),
        }
    }

    /// Checks each topic and each pattern of a subscription. Returns the response 403 if one is denied.
    pub(super) fn check_subscription(
        &self,
        request: &Request,
        identity: Option<&Identity>,
        filter: &TopicFilter,
    ) -> Result<(), Response> {
        filter.patterns().iter().try_for_each(|pattern| match pattern {
            TopicPattern::Topic(topic) => self.check(request, identity, TopicAction::Subscribe(topic)),
            pattern => self.check(request, identity, TopicAction::SubscribePattern(pattern)),
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

/// Returns the response 401 with this challenge.
pub(super) fn unauthorized(text: &'static str, challenge: &'static str) -> Response {
    plain(StatusCode::UNAUTHORIZED, text).with_header(header::WWW_AUTHENTICATE, challenge)
}

/// Returns `true` if the request has the token as its bearer token or under this query key.
pub(super) fn has_token(request: &Request, token: &str, query_key: Option<&str>) -> bool {
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
