//! Begins HTTP/2 on a connection whose HTTP/1.1 request asked for it (RFC 7540 §3.2).

use http::{Method, Version};

use super::{
    H2,
    stream::{Exchange, RoutedRequest},
};
use crate::{
    body::Body,
    conn::{
        env::Env,
        exchange::{route::MatchedRoute, telemetry::Telemetry},
        io::Io,
    },
    metrics::HttpVersion,
    proto::h2::{Connection as Core, PeerSettings, encode},
    request::Head,
};

/// A complete request, which HTTP/1.1 hands over. It is answered on stream 1.
pub(in crate::conn) struct Upgraded {
    pub(in crate::conn) peer: PeerSettings,
    pub(in crate::conn) head: Head,
    pub(in crate::conn) route: MatchedRoute,
    pub(in crate::conn) body: Body,
    pub(in crate::conn) telemetry: Telemetry,
}

impl H2 {
    /// Begins a connection behind the response `101`, and starts the handler of its first request, on stream
    /// 1.
    pub(in crate::conn) fn upgraded(env: &mut Env, io: &mut Io, request: Upgraded) -> Self {
        let Upgraded { peer, mut head, route, body, mut telemetry } = request;
        let (core, key) = Core::upgraded(&env.h2_limits, env.now, peer, io.outbox.buffer());
        let mut h2 = Self::with_core(core, env, io);
        telemetry.is_over(HttpVersion::H2);
        head.version = Version::HTTP_2;
        head.retain_fields(|name| !is_of_connection(name));
        let request = encode::Exchange { is_head: head.method == Method::HEAD, is_connect: false };
        let exchange = Exchange { key, request, telemetry, offers_tunnel: false };
        h2.start(env, io, exchange, RoutedRequest { head, route }, body, None);
        h2.drive(env, io, &[]);
        h2
    }
}

/// Returns `true` for the names of fields that concern the HTTP/1.1 connection only.
fn is_of_connection(name: &[u8]) -> bool {
    ["connection", "upgrade", "http2-settings"].iter().any(|of| name.eq_ignore_ascii_case(of.as_bytes()))
}
