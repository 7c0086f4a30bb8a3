//! Writes the response that switches the connection to WebSocket.

use http::Version;

use super::{H1, context::ReplyContext, state::NextProtocol};
use crate::{
    conn::{env::Env, io::Io, ws::Handover},
    proto::h1::encode::{self, Length},
    response::Response,
    ws::Handshake,
};

impl H1 {
    /// Writes a response that opens a WebSocket, and lets the WebSocket take over. Returns any other response
    /// with its context, and counts it if it refuses a handshake.
    pub(super) fn switch_protocol(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        context: ReplyContext,
        mut response: Response,
    ) -> Option<(ReplyContext, Response)> {
        let upgrade = match Handshake::take(&mut response, Version::HTTP_11) {
            Some(Handshake::Accepted(upgrade)) => upgrade,
            Some(Handshake::Refused(refusal)) => {
                env.counters.ws.refused.add(refusal.label());
                return Some((context, response));
            }
            None => return Some((context, response)),
        };
        let ReplyContext { exchange, mut telemetry } = context;
        let date = *env.date.at(env.now);
        let (status, fields) = (response.status(), response.fields().iter());
        encode::head(io.outbox.buffer(), exchange, status, Length::Known(0), fields, &date);
        telemetry.is_websocket();
        telemetry.count_reply(env, status);
        self.reading.switch_to(NextProtocol::Ws(Box::new(Handover { upgrade, telemetry })));
        None
    }
}
