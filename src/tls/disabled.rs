//! The types of this room in a build without TLS. They have no values.

use super::{event::SessionEvent, session_error::SessionError};
use crate::net::Outbox;

/// Certificate and key. No value exists.
#[derive(Clone, Debug)]
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn acceptor(&self, _: bool) -> Acceptor {
        match *self {}
    }
}

/// Starter of sessions. No value exists.
#[derive(Clone)]
pub(crate) enum Acceptor {}

impl Acceptor {
    pub(crate) fn begin(&mut self) -> Result<Session, SessionError> {
        match *self {}
    }
}

/// Session. No value exists.
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
