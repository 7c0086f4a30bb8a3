//! The socket the HTTP/2 engine believes it has: two buffers.

use std::{
    cell::{RefCell, RefMut},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An input buffer above this is given back once it is empty, so that an idle connection holds little, bytes.
const KEPT_BYTES: usize = 16 * 1024;

/// One end of the pipe; clones are the same pipe. Belongs to one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe(Rc<RefCell<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    input: Vec<u8>,
    /// Bytes of `input` that were read.
    read: usize,
    output: Vec<u8>,
    /// Bytes that may still be written; the last write may exceed it.
    room: usize,
    /// A write was refused for want of room.
    blocked: bool,
}

impl Pipe {
    /// Appends bytes to be read.
    pub(super) fn feed(&self, bytes: &[u8]) {
        self.0.borrow_mut().input.extend_from_slice(bytes);
    }

    /// Returns how many bytes were not read yet.
    pub(super) fn unread(&self) -> usize {
        let buffers = self.0.borrow();
        buffers.input.len() - buffers.read
    }

    /// Exchanges the buffer that is written to, and says how much may be written.
    pub(super) fn swap_output(&self, output: &mut Vec<u8>, room: usize) {
        let mut buffers = self.0.borrow_mut();
        std::mem::swap(&mut buffers.output, output);
        buffers.room = room;
    }

    /// Returns `true` if a write was refused for want of room since the last call.
    pub(super) fn take_blocked(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().blocked)
    }

    fn buffers(&self) -> RefMut<'_, Buffers> {
        self.0.borrow_mut()
    }
}

impl AsyncRead for Pipe {
    /// Never ends: the connection knows the peer's FIN and answers what was asked before it.
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffers = self.buffers();
        let unread = &buffers.input[buffers.read..];
        if unread.is_empty() {
            return Poll::Pending;
        }
        let count = unread.len().min(into.remaining());
        into.put_slice(&unread[..count]);
        buffers.read += count;
        if buffers.read == buffers.input.len() {
            buffers.read = 0;
            if buffers.input.capacity() > KEPT_BYTES {
                buffers.input = Vec::new()
            } else {
                buffers.input.clear()
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut buffers = self.buffers();
        if buffers.room == 0 {
            buffers.blocked = true;
            return Poll::Pending;
        }
        buffers.room = buffers.room.saturating_sub(bytes.len());
        buffers.output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
