//! Switches the connection to HTTP/2 because a request asked for it with `Upgrade: h2c` (RFC 7540 §3.2).

#[cfg(feature = "http2")]
use super::{H1, context::RoutedRequest, state::NextProtocol};
#[cfg(feature = "http2")]
use crate::{body::Body, conn::h2::Upgraded};
use crate::{
    conn::{env::Env, io::Io},
    proto::{
        h1::{self as proto, Exchange},
        h2::{PeerSettings, upgrade},
    },
};

/// Response that announces the switch; the first bytes of HTTP/2 follow it.
#[cfg(feature = "http2")]
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// Returns the settings of a client that offers to switch to HTTP/2; `None` if there is no valid offer, or
/// the server does not accept it: it is switched off, TLS is used, or the connection is to close.
#[inline]
pub(super) fn offered(
    env: &Env,
    io: &Io,
    head: &proto::Head,
    bytes: &[u8],
    exchange: Exchange,
) -> Option<PeerSettings> {
    if !env.h2c_upgrade || io.secure || !head.upgrade() || !exchange.keep_alive {
        return None;
    }
    upgrade::settings(head.h2c_settings(bytes)?)
}

#[cfg(feature = "http2")]
impl H1 {
    /// Writes the response 101 and hands a complete request over to HTTP/2, which answers it.
    pub(super) fn switch_to_http2(
        &mut self,
        io: &mut Io,
        request: RoutedRequest,
        body: Body,
        peer: PeerSettings,
    ) {
        let RoutedRequest { head, route, context, .. } = request;
        io.outbox.buffer().extend_from_slice(SWITCHING);
        let telemetry = context.telemetry;
        let upgraded = Upgraded { peer, head, route, body, telemetry };
        self.reading.switch_to(NextProtocol::UpgradedHttp2(Box::new(upgraded)));
    }
}
