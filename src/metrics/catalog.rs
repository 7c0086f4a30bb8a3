//! Every metric there is: name, kind, meaning. One list for the scrape, the descriptions and the documents.

use prometheus::proto::MetricType::{self, COUNTER, GAUGE, HISTOGRAM};

/// One metric.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: MetricType,
    pub(crate) help: &'static str,
    pub(crate) labels: &'static [&'static str],
}

macro_rules! catalog {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) const $constant: Metric =
            Metric { name: $name, kind: $kind, help: $help, labels: &[$($label),*] };)*
        /// All of them, in the order of the scrape.
        pub(crate) const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

catalog! {
    REQUESTS COUNTER "windlass_requests_total" ["route", "method", "status"]
        "Responses by route template, method and status class; paths that match no route share one label.";
    DURATION HISTOGRAM "windlass_request_duration_seconds" ["route", "method"]
        "From the end of a request's head to its response head.";
    DISPATCHED COUNTER "windlass_requests_dispatched_total" ["kind", "protocol", "shard"]
        "Requests by how they were served: static, inline or async; sse: with a stream of events, ws: by a WebSocket.";
    ASYNC_ROUTES GAUGE "windlass_async_routes" []
        "Routes of the current table whose resolved dispatch is async.";
    PROMOTED COUNTER "windlass_async_promoted_connections_total" []
        "HTTP/1.1 connections that met their first async route, each counted once.";
    STALLS COUNTER "windlass_inline_stalls_total" ["route"]
        "Inline handlers that held their shard longer than the inline_stall timeout.";
    CONNECTIONS GAUGE "windlass_connections" ["shard", "state"]
        "Connections with a request in progress (active) and the others (idle).";
    CONNECTION_LIMIT GAUGE "windlass_connection_limit" [] "Connections the server may hold.";
    ACCEPTED COUNTER "windlass_connections_accepted_total" ["shard"] "Connections accepted.";
    HANDED_OVER COUNTER "windlass_connections_handed_over_total" ["shard"]
        "Connections this shard accepted and gave to another that had fewer.";
    CLOSED COUNTER "windlass_connections_closed_total" ["shard", "cause"] "Connections closed, by why.";
    RECEIVED COUNTER "windlass_received_bytes_total" ["shard"] "Bytes received.";
    SENT COUNTER "windlass_sent_bytes_total" ["shard"] "Bytes the kernel took.";
    TIMEOUTS COUNTER "windlass_timeouts_total" ["timer"] "Requests and connections ended by a timer.";
    PROTOCOL_ERRORS COUNTER "windlass_protocol_errors_total" ["cause"] "Requests that broke the protocol, by how.";
    REFUSED COUNTER "windlass_refused_requests_total" ["cause"] "Valid requests answered 503, by why.";
    PANICS COUNTER "windlass_panics_total" ["place"] "Panics contained, by whose code it was.";
    ACCEPT_ERRORS COUNTER "windlass_accept_errors_total" ["cause"] "Failed accepts, by error.";
    BIND_ERRORS COUNTER "windlass_bind_errors_total" ["cause"] "Binds tried again at the start, by error.";
    H2_CONNECTIONS GAUGE "windlass_http2_connections" ["shard"] "Open connections that speak HTTP/2.";
    H2_STREAMS GAUGE "windlass_http2_streams" ["shard"] "HTTP/2 streams that are open beyond the batch that began them.";
    H2_RESETS COUNTER "windlass_http2_resets_total" ["cause"] "HTTP/2 streams that ended early, by why.";
    H2_GOAWAYS COUNTER "windlass_http2_goaways_total" ["cause"] "HTTP/2 connections the server ended, by why.";
    WS_OPEN GAUGE "windlass_websockets" ["shard"] "Open WebSockets.";
    WS_MESSAGES COUNTER "windlass_websocket_messages_total" ["direction", "shard"] "Messages by direction: in or out.";
    WS_BYTES COUNTER "windlass_websocket_payload_bytes_total" ["direction", "shard"]
        "Payload of those messages, bytes, not compressed.";
    WS_CLOSES COUNTER "windlass_websocket_closes_total" ["by", "code"]
        "WebSockets closed, by who said so first (peer, server) and the code's name; nobody: the connection ended.";
    WS_REFUSED COUNTER "windlass_websocket_refused_total" ["cause"] "Handshakes refused, by why.";
    WS_FULL COUNTER "windlass_websocket_full_total" []
        "Messages not sent because as much waited for the client as may.";
    TLS_HANDSHAKES COUNTER "windlass_tls_handshakes_total" ["result"] "TLS handshakes that ended, by how.";
    TLS_HANDSHAKING GAUGE "windlass_tls_handshakes_in_progress" ["shard"]
        "TLS handshakes that have begun and not ended.";
    TLS_SESSIONS COUNTER "windlass_tls_sessions_total" ["version", "protocol", "resumed"]
        "TLS sessions by version, protocol (ALPN) and whether they resumed an earlier one.";
    TLS_RELOADS COUNTER "windlass_tls_reloads_total" ["result"]
        "Certificates read again while serving: taken (ok) or refused.";
    POOL_QUEUED GAUGE "windlass_pool_queued_jobs" ["lane"] "Jobs waiting for a worker.";
    POOL_RUNNING GAUGE "windlass_pool_running_jobs" ["lane"] "Jobs that run.";
    POOL_JOBS COUNTER "windlass_pool_jobs_total" ["lane", "outcome"] "Jobs that ended, by how.";
    SHARD_TURNS COUNTER "windlass_shard_turns_total" ["shard"] "Turns of the shard's loop.";
    SHARD_LAG GAUGE "windlass_shard_lag_seconds" ["shard"]
        "The smallest time that work had to wait for the shard during the last half second.";
    SHARD_HELD GAUGE "windlass_shard_longest_turn_seconds" ["shard"]
        "Longest time a turn held the shard since the start.";
    SHARD_INBOX GAUGE "windlass_shard_inbox_messages" ["shard"] "Messages waiting in the shard's inbox.";
    SHARD_GUESTS GAUGE "windlass_shard_guests" ["shard"] "Futures the shard hosts: actors and pending inline handlers.";
    TOPICS GAUGE "windlass_topics" [] "Topics the broker knows.";
    TOPIC_SUBSCRIBERS GAUGE "windlass_topic_subscribers" [] "Subscribers of all topics.";
    TOPIC_PUBLISHED COUNTER "windlass_topic_events_total" [] "Events published.";
    TOPIC_DELIVERED COUNTER "windlass_topic_deliveries_total" [] "Events that subscribers' mailboxes took.";
    TOPIC_OVERFLOWS COUNTER "windlass_topic_overflows_total" ["policy"]
        "Full mailboxes by what followed: an event dropped, a subscriber removed or closed.";
    TOPIC_MISSED COUNTER "windlass_topic_missed_total" []
        "Events that a shard with too many waiting did not take, for all its subscribers.";
    TOPIC_ASKED COUNTER "windlass_topic_overflow_callbacks_total" ["outcome"]
        "Callbacks asked about a subscriber whose mailbox was full: chosen, panicked, or refused because the pool was full.";
    SSE_OVERFLOWS COUNTER "windlass_sse_overflows_total" ["policy"]
        "Events of handlers' own streams that found their client's queue full, by what followed: drop or close.";
    REPLAY_ERRORS COUNTER "windlass_replay_errors_total" ["op"] "Failures of the topics' store, by what it was doing.";
    TOPIC_LAGGING GAUGE "windlass_topic_lagging_subscribers" [] "Subscribers with more than one event waiting.";
    TOPIC_LAG_EVENTS GAUGE "windlass_topic_lag_events" [] "The longest mailbox of any topic, events.";
    TOPIC_LAG GAUGE "windlass_topic_lag_seconds" [] "Age of the oldest event that waits in a mailbox.";
    HUB_MEMBERS GAUGE "windlass_hub_members" [] "Members of all hubs.";
    HUB_MESSAGES COUNTER "windlass_hub_messages_total" [] "Messages broadcast.";
    HUB_DELIVERIES COUNTER "windlass_hub_deliveries_total" [] "Messages that members' mailboxes took.";
    HUB_OVERFLOWS COUNTER "windlass_hub_overflows_total" ["policy"]
        "Full mailboxes by what followed: a message dropped, a member removed or closed.";
    HUB_MISSED COUNTER "windlass_hub_missed_total" []
        "Messages that a shard with too many waiting did not take, for all its members.";
    HUB_FILTER_PANICS COUNTER "windlass_hub_filter_panics_total" [] "Filters that panicked: no match.";
    HUB_LAG GAUGE "windlass_hub_lag_seconds" [] "Age of the oldest message that waits in a mailbox.";
    ENGINE GAUGE "windlass_engine_info" ["engine", "reason"] "Which engine runs and why; always 1.";
    READY GAUGE "windlass_ready" [] "1 while the server takes new work.";
}
