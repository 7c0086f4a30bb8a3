//! The list of all metrics: name, type, labels and help text. The scrape and the tests of the documentation
//! use it.

use prometheus::proto::MetricType::{self, COUNTER, GAUGE, HISTOGRAM};

/// Description of a metric.
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
        /// All metrics, in the order of the scrape.
        pub(crate) const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

catalog! {
    REQUESTS COUNTER "windlass_requests_total" ["route", "method", "status"]
        "Responses by route template, method and status class. Paths that match no route share one label.";
    DURATION HISTOGRAM "windlass_request_duration_seconds" ["route", "method"]
        "Time from the end of a request's head to its response head.";
    DISPATCHED COUNTER "windlass_requests_dispatched_total" ["kind", "protocol", "shard"]
        "Requests by kind: static (prebuilt), inline, async, sse (event stream) or ws (WebSocket).";
    ASYNC_ROUTES GAUGE "windlass_async_routes" [] "Async routes in the current route table.";
    PROMOTED COUNTER "windlass_async_promoted_connections_total" []
        "HTTP/1.1 connections that have had an async request. Each counts once.";
    STALLS COUNTER "windlass_inline_stalls_total" ["route"]
        "Inline handlers that blocked their shard for longer than inline_stall.";
    CONNECTIONS GAUGE "windlass_connections" ["shard", "state"]
        "Open connections: with a request in progress (active), or without (idle).";
    CONNECTION_LIMIT GAUGE "windlass_connection_limit" [] "Maximum number of connections of the server.";
    ACCEPTED COUNTER "windlass_connections_accepted_total" ["shard"]
        "Accepted connections, by the shard that serves them.";
    HANDED_OVER COUNTER "windlass_connections_handed_over_total" ["shard"]
        "Connections that this shard accepted and handed over to a shard with fewer.";
    CLOSED COUNTER "windlass_connections_closed_total" ["shard", "cause"] "Closed connections by cause.";
    RECEIVED COUNTER "windlass_received_bytes_total" ["shard"] "Received bytes.";
    SENT COUNTER "windlass_sent_bytes_total" ["shard"] "Sent bytes that the kernel has taken.";
    TIMEOUTS COUNTER "windlass_timeouts_total" ["timer"] "Requests and connections that a timer ended.";
    PROTOCOL_ERRORS COUNTER "windlass_protocol_errors_total" ["cause"]
        "Protocol violations by peers, by cause: PROXY preambles, TLS records, requests, HTTP/2 frames, \
         WebSocket frames.";
    REFUSED COUNTER "windlass_refused_requests_total" ["cause"]
        "Requests answered with 503 instead of being handled, by cause: lag (of the shard), pool_full, or \
         connections (too many are active).";
    AUTH_REFUSED COUNTER "windlass_auth_refused_total" ["cause"]
        "Requests to topics whose credentials were refused (401), by cause, or do not include the topic \
         (403, topic).";
    AUTH_DISCONNECTS COUNTER "windlass_auth_disconnects_total" ["result"]
        "Disconnects of a subject (done), and those that forgot another subject because the table was full \
         (forgot_another).";
    AUTH_TOKENS COUNTER "windlass_auth_tokens_total" ["result"]
        "Tokens of requests to topics: verified, or found in the cache (cached).";
    AUTH_STREAM_ENDS COUNTER "windlass_auth_stream_ends_total" ["cause"]
        "Streams that ended with the identity of their client: it has expired, or its subject was \
         disconnected.";
    PANICS COUNTER "windlass_panics_total" ["place"]
        "Caught panics by the code that panicked: handler, hook, body or websocket.";
    STUCK COUNTER "windlass_stuck_threads_total" ["place"]
        "Threads that did not return from a piece of work in time, by kind: shard, worker or blocking.";
    ACCEPT_ERRORS COUNTER "windlass_accept_errors_total" ["cause"] "Failed accepts of connections by error.";
    BIND_ERRORS COUNTER "windlass_bind_errors_total" ["cause"]
        "Retries of binding an address at the start, by error.";
    LOST_LOG_LINES COUNTER "windlass_log_lines_lost_total" ["stream"]
        "Log lines that were not written, because the reader of the stream was too slow or gone.";
    H2_CONNECTIONS GAUGE "windlass_http2_connections" ["shard"] "Open HTTP/2 connections.";
    H2_STREAMS GAUGE "windlass_http2_streams" ["shard"]
        "Open HTTP/2 streams whose response is not complete.";
    H2_RESETS COUNTER "windlass_http2_resets_total" ["cause"] "HTTP/2 streams that ended early, by cause.";
    H2_GOAWAYS COUNTER "windlass_http2_goaways_total" ["cause"]
        "HTTP/2 connections that the server ended, by cause.";
    WS_OPEN GAUGE "windlass_websockets" ["shard"] "Open WebSockets.";
    WS_MESSAGES COUNTER "windlass_websocket_messages_total" ["direction", "shard"]
        "WebSocket messages: received (in) or sent (out).";
    WS_BYTES COUNTER "windlass_websocket_payload_bytes_total" ["direction", "shard"]
        "Uncompressed payload bytes of WebSocket messages: received (in) or sent (out).";
    WS_CLOSES COUNTER "windlass_websocket_closes_total" ["by", "code"]
        "Closed WebSockets by the side that sent the first close frame (peer, server) and the close code. \
         nobody: the connection ended without one.";
    WS_REFUSED COUNTER "windlass_websocket_refused_total" ["cause"] "Refused WebSocket handshakes by cause.";
    WS_FULL COUNTER "windlass_websocket_full_total" []
        "WebSocket messages that were not sent because the client's queue was full.";
    TLS_HANDSHAKES COUNTER "windlass_tls_handshakes_total" ["result"]
        "TLS handshakes that ended or were refused, by result: ok or the cause.";
    TLS_HANDSHAKING GAUGE "windlass_tls_handshakes_in_progress" ["shard"] "TLS handshakes in progress.";
    TLS_SESSIONS COUNTER "windlass_tls_sessions_total" ["version", "protocol", "resumed"]
        "TLS sessions by version, protocol (ALPN) and whether they resumed an earlier session.";
    TLS_RELOADS COUNTER "windlass_tls_reloads_total" ["result"]
        "Reloads of certificates: successful (ok) or refused.";
    POOL_QUEUED GAUGE "windlass_pool_queued_jobs" ["lane"] "Jobs that wait for a worker.";
    POOL_RUNNING GAUGE "windlass_pool_running_jobs" ["lane"] "Jobs that a worker is running.";
    POOL_JOBS COUNTER "windlass_pool_jobs_total" ["lane", "outcome"]
        "Jobs by outcome: done, rejected (queue full), late, cancelled, refused (pool stopped) or panicked.";
    FILE_JOBS COUNTER "windlass_file_jobs_total" ["kind"]
        "Jobs of static files on the pool: lookup (open or check a file), read (bytes not in memory).";
    FILE_ERRORS COUNTER "windlass_file_errors_total" ["cause"]
        "Static files that could not be served or sent to their end, by cause.";
    SHARD_TURNS COUNTER "windlass_shard_turns_total" ["shard"] "Turns of the shard's event loop.";
    SHARD_LAG GAUGE "windlass_shard_lag_seconds" ["shard"]
        "Shortest time that work waited for the shard during the last half second.";
    SHARD_LONGEST_TURN GAUGE "windlass_shard_longest_turn_seconds" ["shard"]
        "Longest time that the shard was busy between two polls for events, since the start.";
    SHARD_INBOX GAUGE "windlass_shard_inbox_messages" ["shard"] "Messages in the shard's inbox.";
    SHARD_TASKS GAUGE "windlass_shard_tasks" ["shard"]
        "Futures that the shard runs: actors, event streams and pending inline handlers.";
    TOPICS GAUGE "windlass_topics" [] "Open topics of the broker.";
    TOPICS_FORGOTTEN COUNTER "windlass_topics_forgotten_total" ["cause"]
        "Topics that are no longer open, by cause: full (another topic needed the place) or idle.";
    TOPIC_SUBSCRIPTIONS GAUGE "windlass_topic_subscriptions" []
        "Subscriptions that count against the limit, removed ones included.";
    TOPIC_REFUSED COUNTER "windlass_topic_subscriptions_refused_total" ["limit"]
        "Subscriptions beyond a limit: client (of one address) or total.";
    TOPIC_SUBSCRIBERS GAUGE "windlass_topic_subscribers" [] "Subscribers of all topics.";
    TOPIC_PUBLISHED COUNTER "windlass_topic_events_total" [] "Published events.";
    TOPIC_DELIVERED COUNTER "windlass_topic_deliveries_total" []
        "Events added to subscribers' mailboxes, or delivered directly.";
    TOPIC_DIRECT COUNTER "windlass_topic_direct_deliveries_total" []
        "Events that reached idle streams past the subscribers' mailboxes. They count as deliveries, too.";
    TOPIC_OVERFLOWS COUNTER "windlass_topic_overflows_total" ["policy"]
        "Overflows of subscribers' mailboxes by policy: drop (the event), remove or close (the subscriber).";
    TOPIC_MISSED COUNTER "windlass_topic_missed_total" []
        "Events that a shard dropped for all its subscribers because the mailbox of its relay was full.";
    TOPIC_ASKED COUNTER "windlass_topic_overflow_callbacks_total" ["outcome"]
        "Overflow callbacks by outcome: chosen (a policy), panicked, or refused (no pool, or it is full).";
    SSE_OVERFLOWS COUNTER "windlass_sse_overflows_total" ["policy"]
        "Events of handlers' own streams that found the client's queue full, by policy: drop or close.";
    REPLAY_ERRORS COUNTER "windlass_replay_errors_total" ["op"] "Failures of the replay store by operation.";
    TOPIC_LAGGING GAUGE "windlass_topic_lagging_subscribers" []
        "Subscribers that have had more than one event in the mailbox since it was last empty.";
    TOPIC_LAG_EVENTS GAUGE "windlass_topic_lag_events" []
        "Largest number of events in a mailbox, measured after the last event of each topic.";
    TOPIC_LAG GAUGE "windlass_topic_lag_seconds" []
        "Largest age of an event that was the oldest in the fullest mailbox of a shard after the topic's \
         last event. 0 if no mailbox has held two events since it was last empty.";
    HUB_MEMBERS GAUGE "windlass_hub_members" [] "Members of all hubs.";
    HUB_MESSAGES COUNTER "windlass_hub_messages_total" [] "Messages broadcast to hubs.";
    HUB_DELIVERIES COUNTER "windlass_hub_deliveries_total" []
        "Messages added to members' mailboxes, or delivered directly.";
    HUB_DIRECT COUNTER "windlass_hub_direct_deliveries_total" []
        "Messages that reached idle sockets past the members' mailboxes. They count as deliveries, too.";
    HUB_OVERFLOWS COUNTER "windlass_hub_overflows_total" ["policy"]
        "Overflows of members' mailboxes by policy: the message was dropped, or the member removed or \
         closed.";
    HUB_MISSED COUNTER "windlass_hub_missed_total" []
        "Messages that a shard dropped for all its members because its queue was full.";
    HUB_FILTER_PANICS COUNTER "windlass_hub_filter_panics_total" []
        "Broadcast filters that panicked. The member for which a filter panicked does not get the message.";
    HUB_LAG GAUGE "windlass_hub_lag_seconds" []
        "Largest age of a message that was the oldest in the fullest mailbox of a shard after the hub's \
         last message. 0 if no mailbox has held two messages since it was last empty.";
    ENGINE GAUGE "windlass_engine_info" ["engine", "reason"]
        "The engine in use and the reason. The value is always 1.";
    READY GAUGE "windlass_ready" [] "1 while the server accepts new work, else 0.";
}
