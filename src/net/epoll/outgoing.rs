//! Sending an outbox, as far as the kernel takes the bytes.

use std::{io::IoSlice, os::fd::BorrowedFd};

use rustix::{
    io::Result,
    net::{SendAncillaryBuffer, SendFlags},
};

use crate::net::{
    buffer_pool::BufferPool,
    outbox::{Outbox, Segment},
};

/// Maximum number of segments in one send.
const MAX_SEGMENTS: usize = 16;

/// Number of bytes after which a send takes no further segment. A socket buffer does not take more at once.
const GATHER_BYTES: usize = 1 << 20;

/// Flags of every send. A send to a closed connection raises no signal.
const FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// Result of one send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Number of bytes that the kernel took.
    pub(super) bytes: usize,
    /// `true` if the kernel took all bytes that it was offered, so it may take more.
    pub(super) whole: bool,
}

/// The segment that the kernel has taken only partly, and the number of bytes taken. Its rest is sent before
/// the outbox.
#[derive(Debug, Default)]
pub(super) struct Outgoing(Option<(Segment, usize)>);

impl Outgoing {
    /// Returns `true` if no rest of an earlier send is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Sends the rest of the last send and the outbox, up to the limits of one send.
    ///
    /// With `last`, the end of the stream follows. The kernel may then delay the bytes, so that they share a
    /// segment with the FIN.
    pub(super) fn send(
        &mut self,
        fd: BorrowedFd<'_>,
        outbox: &mut Outbox,
        pool: &mut BufferPool,
        last: bool,
    ) -> Result<Sent> {
        let flags = if last { FLAGS | SendFlags::MORE } else { FLAGS };
        let rest = self.0.as_ref().map(|(segment, sent)| &segment.as_slice()[*sent..]);
        let mut slices = [IoSlice::new(&[]); MAX_SEGMENTS];
        let (mut count, mut offered) = (0, 0);
        for (slice, bytes) in slices.iter_mut().zip(rest.into_iter().chain(outbox.slices())) {
            *slice = IoSlice::new(bytes);
            count += 1;
            offered += bytes.len();
            if offered >= GATHER_BYTES {
                break;
            }
        }
        let bytes = match &slices[..count] {
            [] => 0,
            [one] => rustix::net::send(fd, one, flags)?,
            many => rustix::net::sendmsg(fd, many, &mut SendAncillaryBuffer::default(), flags)?,
        };
        self.advance(bytes, outbox, pool);
        Ok(Sent { bytes, whole: bytes == offered })
    }

    /// Removes the first `bytes` bytes after the kernel has taken them, and recycles complete segments.
    fn advance(&mut self, mut bytes: usize, outbox: &mut Outbox, pool: &mut BufferPool) {
        while bytes > 0 {
            let first = self.0.take().or_else(|| outbox.take().map(|segment| (segment, 0)));
            let Some((segment, sent)) = first else { return };
            let left = segment.as_slice().len() - sent;
            if bytes < left {
                self.0 = Some((segment, sent + bytes));
                return;
            }
            bytes -= left;
            pool.recycle(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::fd::AsFd, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn segments_are_sent_in_order_by_short_sends() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (mut outbox, mut pool, mut outgoing) =
            (Outbox::default(), BufferPool::new(), Outgoing::default());
        let mut expected = Vec::new();
        for round in 0..40_u8 {
            for bytes in [vec![round; 30_000], vec![!round; 100]] {
                expected.extend_from_slice(&bytes);
                outbox.share(bytes.into());
            }
        }
        let (mut back, mut short) = (Vec::new(), 0);
        while !outgoing.is_empty() || !outbox.is_empty() {
            match outgoing.send(ours.as_fd(), &mut outbox, &mut pool, false) {
                Ok(sent) => short += usize::from(!sent.whole),
                Err(error) => assert_eq!(error, rustix::io::Errno::AGAIN),
            }
            let mut buffer = [0; 7_777];
            while let Ok(count @ 1..) = theirs.read(&mut buffer) {
                back.extend_from_slice(&buffer[..count]);
            }
        }
        assert!(back == expected, "received {} of {} bytes, or wrong bytes", back.len(), expected.len());
        assert!(short > 0, "no send was short: nothing was tested");
    }
}
