//! A build without TLS: nobody can make any of these.

use super::{SessionError, SessionEvent};
use crate::net::Outbox;

/// No pair.
#[derive(Clone, Debug)]
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn acceptor(&self, _: bool) -> Acceptor {
        match *self {}
    }
}

/// No acceptor.
#[derive(Clone)]
pub(crate) enum Acceptor {}

impl Acceptor {
    pub(crate) fn begin(&mut self) -> Result<Session, SessionError> {
        match *self {}
    }
}

/// No session.
pub(crate) enum Session {}

impl Session {
    pub(crate) fn receive(
        &mut self,
        _: &[u8],
        _: &mut Outbox,
        _: &mut Vec<u8>,
        _: impl FnMut(SessionEvent<'_>),
    ) -> Result<(), SessionError> {
        match *self {}
    }

    pub(crate) fn seal(
        &mut self,
        _: &mut Outbox,
        _: &mut Outbox,
        _: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        match *self {}
    }

    pub(crate) fn close(&mut self, _: &mut Outbox) {
        match *self {}
    }

    pub(crate) fn unsealed(&self) -> usize {
        match *self {}
    }
}
