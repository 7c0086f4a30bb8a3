//! The answer to a handshake: behind it the connection is another protocol's.

use http::Version;

use super::{H1, Next, Reading, slots::Meta};
use crate::{
    conn::{Env, Io, ws::Switch},
    proto::h1::encode::{self, Length},
    response::Response,
    ws::Verdict,
};

impl H1 {
    /// Writes an answer that switches protocols; any other is given back.
    pub(super) fn switch(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        meta: Meta,
        mut response: Response,
    ) -> Option<(Meta, Response)> {
        let upgrade = match Verdict::take(&mut response, Version::HTTP_11) {
            Some(Verdict::Opened(upgrade)) => upgrade,
            Some(Verdict::Refused(refusal)) => {
                env.counters.ws.refused.add(refusal.label());
                return Some((meta, response));
            }
            None => return Some((meta, response)),
        };
        let date = *env.date.at(env.now);
        let (status, fields) = (response.status(), response.fields().iter());
        encode::head(io.outbox.buffer(), meta.exchange, status, Length::Known(0), fields, &date);
        let mut account = meta.account;
        account.switched();
        account.count(env, status);
        self.reading = Reading::HandOver(Next::Ws(Box::new(Switch { upgrade, account })));
        None
    }
}
