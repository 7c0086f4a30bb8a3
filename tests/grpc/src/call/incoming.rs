//! The messages of a call as they come.

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};
use prost::Message;
use windlass::Body;

use crate::wire::{self, Code, PREFIX_BYTES, Status};

/// A stream of messages; holds one message and what came with it at most.
#[derive(Debug)]
pub struct Messages<M> {
    body: Body,
    /// What came and was not decoded yet.
    buffer: BytesMut,
    messages: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Messages<M> {
    /// Waits for the next message; `None` when the client has sent its last.
    ///
    /// # Errors
    ///
    /// As [`wire::length`] and [`wire::decode`]; `INTERNAL` when the body ends within a message, `CANCELLED` when the
    /// client is gone.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.next().await.transpose()? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::new(Code::INTERNAL, "the call ends within a message")),
            }
        }
    }

    fn take(&mut self) -> Result<Option<M>, Status> {
        let Some(length) = wire::length(&self.buffer)? else { return Ok(None) };
        if self.buffer.len() - PREFIX_BYTES < length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        wire::decode(self.buffer.split_to(length).freeze()).map(Some)
    }
}

impl<M> Messages<M> {
    pub(super) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), messages: PhantomData }
    }
}
