//! Request messages of a call, decoded as they arrive.

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};
use prost::Message;
use windlass::Body;

use crate::wire::{self, Code, PREFIX_BYTES, Status};

/// A stream of request messages. Buffers at most one message and the data received with it.
#[derive(Debug)]
pub struct Messages<M> {
    body: Body,
    /// Data that was received but not decoded.
    buffer: BytesMut,
    messages: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Messages<M> {
    /// Waits for the next message; `None` after the client's last one.
    ///
    /// # Errors
    ///
    /// Those of [`wire::length`] and [`wire::decode`]; `INTERNAL` if the body ends inside a message;
    /// `CANCELLED` if the client is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn next(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.decode_next()? {
                return Ok(Some(message));
            }
            match self.body.next().await.transpose()? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::new(Code::INTERNAL, "the call ends inside a message")),
            }
        }
    }

    fn decode_next(&mut self) -> Result<Option<M>, Status> {
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
