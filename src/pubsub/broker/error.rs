//! Errors of publishing and subscribing.

use std::fmt;

use http::StatusCode;

use super::TopicFilterError;
use crate::{
    replay::{ErrorKind, StoreError},
    response::{Response, plain},
};

/// Errors of [`Broker::publish`](super::Broker::publish) and of subscriptions.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker belongs to no server, or its server has not started.
    NotStarted,
    /// The client has as many subscriptions as [`BrokerSettings::client_subscriptions`] allows.
    ///
    /// [`BrokerSettings::client_subscriptions`]: super::BrokerSettings::client_subscriptions
    TooManyOfClient,
    /// The broker has as many subscriptions as [`BrokerSettings::subscriptions`] allows.
    ///
    /// [`BrokerSettings::subscriptions`]: super::BrokerSettings::subscriptions
    TooManySubscriptions,
    /// The topics of a subscription cannot be read together.
    Filter(TopicFilterError),
    /// The store's queue is full. Try again later.
    Busy,
    /// The server drains: it opens no new streams, and at the end of the drain it accepts no events.
    Closed,
    /// The store rejected the event, or failed to keep it with the required durability.
    Store(StoreError),
}

impl PublishError {
    /// Returns the response for the request that failed.
    pub(crate) fn to_response(&self) -> Response {
        let retry_later =
            |text| plain(StatusCode::SERVICE_UNAVAILABLE, text).with_header(http::header::RETRY_AFTER, "1");
        match self {
            Self::NotStarted => retry_later("The server is still starting. Try again later.\n"),
            Self::TooManyOfClient => {
                let text = "Your address has too many subscriptions. End some of them.\n";
                plain(StatusCode::TOO_MANY_REQUESTS, text).with_header(http::header::RETRY_AFTER, "10")
            }
            Self::TooManySubscriptions => {
                retry_later("The server has too many subscribers. Try again later.\n")
            }
            Self::Filter(error) => plain(StatusCode::BAD_REQUEST, format!("Invalid topics: {error}.\n")),
            Self::Busy => retry_later("The store of the topics is busy. Try again later.\n"),
            Self::Closed => retry_later("The server is shutting down. Try again later.\n"),
            Self::Store(error) => match error.kind() {
                ErrorKind::TooLarge => {
                    plain(StatusCode::PAYLOAD_TOO_LARGE, "The event is larger than the store's limit.\n")
                }
                ErrorKind::TooManyLogs => {
                    plain(StatusCode::INSUFFICIENT_STORAGE, "The server has too many topics.\n")
                }
                ErrorKind::Full | ErrorKind::Unavailable | ErrorKind::Closed => {
                    retry_later("The store cannot accept the event. Try again later.\n")
                }
                _ => plain(StatusCode::INTERNAL_SERVER_ERROR, "The store failed to keep the event.\n"),
            },
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("the broker belongs to no server, or its server has not started"),
            Self::TooManyOfClient => f.write_str("the client has too many subscriptions"),
            Self::TooManySubscriptions => f.write_str("the broker has too many subscriptions"),
            Self::Filter(error) => error.fmt(f),
            Self::Busy => f.write_str("the store's queue is full"),
            Self::Closed => f.write_str("the server is draining"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}
