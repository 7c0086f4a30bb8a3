//! Parses received bytes according to [`Reading`]: as PROXY preamble, HTTP/2 preface, head or body. In other
//! states it keeps the bytes for later, or discards them.

use super::{
    H1, body,
    state::{NextProtocol, Reading},
};
use crate::{
    conn::{
        env::Env,
        exchange::answers,
        io::Io,
        preamble::{self, Preamble},
        timers::Timer,
    },
    proto::{
        h1::{self as proto, Reject},
        h2::preface::{self, Begins},
    },
};

impl H1 {
    pub(super) fn parse_input(&mut self, env: &mut Env, io: &mut Io) {
        if self.input.bytes.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.input.bytes);
        let used = self.parse(env, io, &bytes);
        // Nothing was added to the input meanwhile.
        if used < bytes.len() {
            bytes.drain(..used);
            self.input.bytes = bytes;
        }
    }

    /// Parses bytes and serves the requests in them, as far as they may start now. Returns how many bytes
    /// were consumed or discarded; the caller keeps the rest.
    pub(super) fn parse(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let used = match self.reading {
                Reading::Preamble => self.parse_preamble(env, io, &bytes[at..]),
                Reading::FirstHead | Reading::Head => self.parse_head(env, io, &bytes[at..]),
                Reading::Body(..) => self.read_body(env, io, &bytes[at..]),
                Reading::Preface => self.parse_preface(env, io, &bytes[at..]),
                Reading::HeldHead | Reading::UpgradeOffered | Reading::Switched(_) => 0,
                Reading::LastRequest | Reading::Discard(_) | Reading::Ended => {
                    self.reading.discarded(bytes.len() - at);
                    bytes.len() - at
                }
            };
            self.input.unparsed = 0;
            if used == 0 {
                break;
            }
            at += used;
        }
        at
    }

    fn parse_preamble(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        match preamble::parse(env, io, bytes) {
            Preamble::Partial => 0,
            Preamble::Done(used) => {
                self.reading.preamble_parsed();
                if io.is_http2_only {
                    self.reading.switch_to(NextProtocol::Http2);
                }
                used
            }
            Preamble::Refused => {
                self.reading.stop();
                0
            }
        }
    }

    /// Parses one head and serves its request, or refuses an invalid one. Returns how many bytes were
    /// consumed, including those of a body: 0 if the head is incomplete, its request has to wait or HTTP/2
    /// begins.
    fn parse_head(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        if !self.may_start_request(env, io) {
            return 0;
        }
        let mut head = std::mem::take(&mut env.head);
        let used = match proto::parse(bytes, &mut self.search, &env.h1_limits, &mut head) {
            Ok(None) => 0,
            Ok(Some(_)) if self.must_not_overlap(&head) => {
                self.reading.head_held();
                0
            }
            Ok(Some(len)) => {
                io.timers.clear(Timer::Header);
                io.has_requested = true;
                self.input.unparsed = bytes.len() - len;
                len + self.serve(env, io, &head, &bytes[..len], &bytes[len..])
            }
            Err(_)
                if matches!(self.reading, Reading::FirstHead)
                    && env.http2
                    && preface::begins(bytes) != Begins::No =>
            {
                self.parse_preface(env, io, bytes)
            }
            Err(reject) => {
                self.reject(env, io, reject, bytes);
                bytes.len()
            }
        };
        env.head = head;
        used
    }

    /// Checks how much of the preface of HTTP/2 has come; its bytes are left for HTTP/2. It starts like a
    /// head that HTTP/1.1 rejects. Bytes that turn out to be no preface are refused and consumed.
    #[cold]
    fn parse_preface(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        match preface::begins(bytes) {
            Begins::Partly => self.reading.preface_begun(),
            Begins::Whole => self.reading.switch_to(NextProtocol::Http2),
            Begins::No => {
                self.reject(env, io, Reject::VersionUnsupported, bytes);
                return bytes.len();
            }
        }
        0
    }

    /// Returns `true` if a request must wait for those in progress: only safe methods may overlap (RFC 9112
    /// §9.3.2), and an interim `100` must not be sent before an earlier reply.
    fn must_not_overlap(&self, head: &proto::Head) -> bool {
        !self.replies.is_empty()
            && (head.expects_continue() || !head.method().is_safe() || self.replies.has_unsafe())
    }

    /// Returns `true` if the limits of pipelined requests and of unsent bytes allow another request.
    pub(super) fn may_start_request(&self, env: &Env, io: &Io) -> bool {
        self.replies.len() < env.limits.pipelined && io.queued() < env.limits.outbox_bytes
    }

    /// Answers bytes that are no valid request and counts the fault. Nothing further is read as a request,
    /// and the connection closes after the answer.
    pub(super) fn reject(&mut self, env: &mut Env, io: &mut Io, reject: Reject, bytes: &[u8]) {
        env.counters.protocol_errors.add(reject.label());
        if env.may_warn() {
            let cause = reject.label();
            tracing::debug!(peer = ?io.peer, cause, error = %reject, "invalid request refused");
        }
        let answer = answers::invalid(reject.status(), reject.text());
        self.refuse(env, io, bytes, reject.text(), answer);
    }

    /// Handles the peer's FIN: ends an endless reply at once, and the reading side once everything before the
    /// FIN is parsed.
    pub(super) fn handle_fin(&mut self, env: &mut Env, io: &mut Io) {
        self.end_endless_stream(env, io);
        self.parse_input(env, io);
        if self.parses(env, io) {
            if let Some(incoming) = self.reading.fin_reached() {
                body::give_up(incoming, env, io);
            }
            self.input.bytes = Vec::new();
        }
    }

    /// Returns `true` if received bytes are parsed or discarded at once, so that bytes left in the input are
    /// incomplete.
    fn parses(&self, env: &Env, io: &Io) -> bool {
        match &self.reading {
            Reading::Preamble | Reading::Preface => true,
            Reading::FirstHead | Reading::Head => self.may_start_request(env, io),
            Reading::Body(incoming, _) => !incoming.is_paused(),
            Reading::HeldHead | Reading::UpgradeOffered | Reading::Switched(_) => false,
            Reading::LastRequest | Reading::Discard(_) | Reading::Ended => true,
        }
    }
}

/// Returns the method of bytes that are no valid head, as far as the response depends on it: HEAD gets no
/// content.
pub(super) fn method_begun(mut bytes: &[u8]) -> proto::Method {
    while let [b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    if bytes.starts_with(b"HEAD ") { proto::Method::Head } else { proto::Method::Get }
}
