//! The submission queue and the completion queue that a ring shares with the kernel.

use std::{collections::VecDeque, io, time::Duration};

use io_uring::{
    IoUring, cqueue, squeue,
    types::{SubmitArgs, Timespec},
};

/// Number of entries that the queues hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Entries that fit between two system calls. If there are more, an additional call submits them.
    pub(super) submissions: u32,
    /// Completions that fit. The kernel keeps further ones in a list of its own. There are several for each
    /// submission, because a multishot operation completes often.
    pub(super) completions: u32,
}

/// Sizes for a full batch of connections. The queues take 270 KiB.
const LARGE: Sizes = Sizes { submissions: 2048, completions: 8192 };

/// Sizes for systems with little lockable memory, at the cost of more system calls under load. The queues
/// take 70 KiB.
///
/// Linux 6.14 and later counts rings towards RLIMIT_MEMLOCK, a limit that all shards of a user share.
const SMALL: Sizes = Sizes { submissions: 512, completions: 2048 };

/// Flag of `io_uring_enter`: completes what is ready (`IORING_ENTER_GETEVENTS`).
const ENTER_GETEVENTS: u32 = 1;

/// Completion of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) user_data: u64,
    /// The number of bytes, a file descriptor, or `-errno` after an error.
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Completion {
    /// Returns `true` if more completions of the same operation follow.
    pub(super) fn has_more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// Returns the id of the receive buffer that the kernel used, or `None` if it used none.
    pub(super) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// Both queues of a ring. Only the thread that created them may use them (`SINGLE_ISSUER`).
pub(super) struct Queues {
    uring: IoUring,
    /// Entries that did not fit even after an additional submission. Their number is bounded by the
    /// operations of all slots.
    overflow: VecDeque<squeue::Entry>,
    /// Number of entries whose last completion was not reaped yet.
    in_flight: usize,
}

impl Queues {
    /// Opens a ring on the calling thread. If there is not enough memory, the ring is smaller.
    ///
    /// # Errors
    ///
    /// Fails if io_uring is missing or forbidden, or if there is no memory.
    pub(super) fn new() -> io::Result<Self> {
        match Self::with_sizes(LARGE) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Self::with_sizes(SMALL),
            opened => opened,
        }
    }

    /// Opens a ring of these sizes on the calling thread. The kernel rounds them up to powers of two.
    ///
    /// # Errors
    ///
    /// Fails under the same conditions as [`new`](Self::new).
    pub(super) fn with_sizes(sizes: Sizes) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(sizes.completions)
            .build(sizes.submissions)?;
        Ok(Self { uring, overflow: VecDeque::new(), in_flight: 0 })
    }

    /// Returns the kernel's ring, with which memory is registered.
    pub(super) fn uring(&self) -> &IoUring {
        &self.uring
    }

    /// Queues an entry. The next [`enter`](Self::enter) submits it, at the latest.
    ///
    /// # Safety
    ///
    /// The memory and file descriptors that `entry` refers to must stay valid until its last completion was
    /// reaped.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        self.in_flight += 1;
        // SAFETY: the caller guarantees what this function requires.
        if !self.overflow.is_empty() || !unsafe { self.try_push(entry) } {
            self.overflow.push_back(entry.clone());
        }
    }

    /// Submits the queued entries. With `wait`, also waits for a completion. Makes at most one system call,
    /// and none if there is nothing to submit or to wait for.
    ///
    /// # Errors
    ///
    /// Fails if the ring is unusable.
    pub(super) fn enter(&mut self, wait: bool) -> io::Result<()> {
        self.push_overflow();
        if !wait && !self.kernel_has_work() {
            return Ok(());
        }
        ignore_transient(self.uring.submit_and_wait(usize::from(wait)))
    }

    /// Submits the queued entries and waits up to `limit` for a completion. The end of that time is no error.
    ///
    /// # Errors
    ///
    /// Fails if the ring is unusable.
    pub(super) fn enter_for(&mut self, limit: Duration) -> io::Result<()> {
        self.push_overflow();
        let limit = Timespec::from(limit);
        ignore_transient(self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit)))
    }

    /// Makes completions available that are ready but need this thread, without waiting and without
    /// submitting entries. The kernel makes only some of them available at once.
    ///
    /// # Errors
    ///
    /// Fails if the ring is unusable.
    pub(super) fn run_task_work(&mut self) -> io::Result<()> {
        let queue = self.uring.submission();
        if !queue.taskrun() && !queue.cq_overflow() {
            return Ok(());
        }
        drop(queue);
        // SAFETY: the call passes no memory: neither a signal mask nor a timeout.
        let entered = unsafe { self.uring.submitter().enter::<()>(0, 0, ENTER_GETEVENTS, None) };
        ignore_transient(entered)
    }

    /// Moves at most `limit` completions into `batch`.
    pub(super) fn reap(&mut self, batch: &mut Vec<Completion>, limit: usize) {
        for entry in self.uring.completion().take(limit) {
            let completion =
                Completion { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() };
            self.in_flight -= usize::from(!completion.has_more());
            batch.push(completion);
        }
    }

    /// Returns `true` if there are completions to reap.
    pub(super) fn has_completions(&self) -> bool {
        // SAFETY: no other borrow of the completion queue exists: its other users take `&mut self`.
        !unsafe { self.uring.completion_shared() }.is_empty()
    }

    /// Returns the number of entries whose last completion was not reaped yet.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns `true` if a system call would submit entries or make completions available.
    fn kernel_has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    /// Moves overflowed entries to the submission queue, as far as there is room.
    fn push_overflow(&mut self) {
        while let Some(entry) = self.overflow.front() {
            let entry = entry.clone();
            // SAFETY: the caller of `push` guaranteed it for as long as the entry is in flight.
            if !unsafe { self.try_push(&entry) } {
                return;
            }
            self.overflow.pop_front();
        }
    }

    /// Queues an entry. If the queue is full, an additional submission makes room. Returns `false` if there
    /// is still no room.
    ///
    /// # Safety
    ///
    /// The same as for [`push`](Self::push).
    unsafe fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller guarantees what this function requires.
        if unsafe { self.uring.submission().push(entry) }.is_ok() {
            return true;
        }
        // An error occurs again in the next `enter`, which handles it.
        let _ = self.uring.submit();
        // SAFETY: the caller guarantees what this function requires.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }
}

/// Turns transient errors of a submission into success: an interruption, a timeout, a lack of kernel memory,
/// and completions that must be reaped first. Entries that were not submitted stay queued.
fn ignore_transient(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME) => Ok(()),
            _ => Err(error),
        },
    }
}
