//! Sending an outbox, as much as the kernel takes.

use std::{io::IoSlice, os::fd::BorrowedFd};

use rustix::{
    io::Result,
    net::{SendAncillaryBuffer, SendFlags},
};

use crate::net::{Outbox, buffer_pool::BufferPool, outbox::Segment};

/// Segments of one send at most.
const MAX_SEGMENTS: usize = 16;

/// Bytes after which a send takes no further segment: more than a socket buffer takes at once.
const GATHER_BYTES: usize = 1 << 20;

/// A peer that is gone raises no signal.
const FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// What one send did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Bytes the kernel took.
    pub(super) bytes: usize,
    /// It took all it was offered, so it may take more.
    pub(super) whole: bool,
}

/// The segment of which the kernel took only a part, and how many bytes those are. It goes before the outbox.
#[derive(Debug, Default)]
pub(super) struct Outgoing(Option<(Segment, usize)>);

impl Outgoing {
    /// Says whether nothing is left of a send.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Sends what is left and what the outbox holds, up to the limits of one send.
    ///
    /// With `last`, the end of the stream follows: the kernel may keep the bytes until then, so that both leave as
    /// one segment.
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
        self.forget(bytes, outbox, pool);
        Ok(Sent { bytes, whole: bytes == offered })
    }

    /// Takes `bytes` sent ones off the front.
    fn forget(&mut self, mut bytes: usize, outbox: &mut Outbox, pool: &mut BufferPool) {
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
    fn segments_leave_in_order_however_little_the_kernel_takes() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (mut outbox, mut pool, mut flight) = (Outbox::default(), BufferPool::new(), Outgoing::default());
        let mut expected = Vec::new();
        for round in 0..40_u8 {
            for bytes in [vec![round; 30_000], vec![!round; 100]] {
                expected.extend_from_slice(&bytes);
                outbox.share(bytes.into());
            }
        }
        let (mut back, mut short) = (Vec::new(), 0);
        while !flight.is_empty() || !outbox.is_empty() {
            match flight.send(ours.as_fd(), &mut outbox, &mut pool, false) {
                Ok(sent) => short += usize::from(!sent.whole),
                Err(error) => assert_eq!(error, rustix::io::Errno::AGAIN),
            }
            let mut buffer = [0; 7_777];
            while let Ok(count @ 1..) = theirs.read(&mut buffer) {
                back.extend_from_slice(&buffer[..count]);
            }
        }
        assert!(back == expected, "{} of {} bytes, or wrong ones", back.len(), expected.len());
        assert!(short > 0, "no send was short: nothing was tested");
    }
}
