//! The two queues shared with the kernel: entries submitted, completions reaped.

use std::{collections::VecDeque, io, time::Duration};

use io_uring::{
    IoUring, cqueue, squeue,
    types::{SubmitArgs, Timespec},
};

/// How many entries the queues hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Entries that fit between two enters; more are submitted as they come.
    pub(super) submissions: u32,
    /// Completions that fit before the kernel keeps them in a list of its own: several for each submission,
    /// because a multishot operation completes often.
    pub(super) completions: u32,
}

/// A batch of connections, answered at once: 270 KiB.
const ROOMY: Sizes = Sizes { submissions: 2048, completions: 8192 };

/// What serves as well, with some more system calls under load: 70 KiB. Linux ≥ 6.14 charges rings to
/// RLIMIT_MEMLOCK, and many shards share one user's limit.
const FRUGAL: Sizes = Sizes { submissions: 512, completions: 2048 };

/// One completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) user_data: u64,
    /// Bytes or a file descriptor; an error is `-errno`.
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Completion {
    /// Says whether the operation goes on: more completions follow.
    pub(super) fn more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// Returns the provided buffer the kernel used.
    pub(super) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// Both queues of one ring. Only the thread that made it may use it (`SINGLE_ISSUER`).
pub(super) struct Queues {
    uring: IoUring,
    /// Entries that found the queue full although it was just submitted. Bounded by the operations of all slots.
    spill: VecDeque<squeue::Entry>,
    /// Entries without their last completion.
    in_flight: usize,
}

impl Queues {
    /// Opens a ring on the calling thread, a smaller one where memory for it is short.
    ///
    /// # Errors
    ///
    /// The kernel refuses: io_uring missing or forbidden, or no memory.
    pub(super) fn new() -> io::Result<Self> {
        match Self::of(ROOMY) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Self::of(FRUGAL),
            opened => opened,
        }
    }

    /// Opens a ring of these sizes (rounded up to powers of two) on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(super) fn of(sizes: Sizes) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(sizes.completions)
            .build(sizes.submissions)?;
        Ok(Self { uring, spill: VecDeque::new(), in_flight: 0 })
    }

    /// Returns the kernel's ring, to register memory with it.
    pub(super) fn uring(&self) -> &IoUring {
        &self.uring
    }

    /// Queues an entry; it is handed to the kernel by the next [`enter`](Self::enter) at the latest.
    ///
    /// # Safety
    ///
    /// Memory and file descriptors named by `entry` stay valid until its last completion was reaped.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        self.in_flight += 1;
        // SAFETY: the caller's promise.
        if !self.spill.is_empty() || !unsafe { self.try_push(entry) } {
            self.spill.push_back(entry.clone());
        }
    }

    /// Submits what is queued and, with `wait`, waits for a completion. At most one system call; none when there is
    /// nothing to do in the kernel.
    ///
    /// # Errors
    ///
    /// The ring is unusable.
    pub(super) fn enter(&mut self, wait: bool) -> io::Result<()> {
        self.unspill();
        if !wait && !self.kernel_has_work() {
            return Ok(());
        }
        tolerate(self.uring.submit_and_wait(usize::from(wait)))
    }

    /// Submits what is queued and waits for a completion for at most `limit`.
    ///
    /// # Errors
    ///
    /// The ring is unusable.
    pub(super) fn enter_for(&mut self, limit: Duration) -> io::Result<()> {
        self.unspill();
        let limit = Timespec::from(limit);
        tolerate(self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit)))
    }

    /// Moves at most `limit` completions into `batch`.
    pub(super) fn reap(&mut self, batch: &mut Vec<Completion>, limit: usize) {
        for entry in self.uring.completion().take(limit) {
            let completion =
                Completion { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() };
            self.in_flight -= usize::from(!completion.more());
            batch.push(completion);
        }
    }

    /// Says whether completions wait to be reaped.
    pub(super) fn ready(&self) -> bool {
        // SAFETY: no other borrow of the completion queue exists: `&self` is alive and every user takes `&mut self`.
        !unsafe { self.uring.completion_shared() }.is_empty()
    }

    /// Returns how many entries have not seen their last completion.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn kernel_has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    fn unspill(&mut self) {
        while let Some(entry) = self.spill.front() {
            let entry = entry.clone();
            // SAFETY: whoever pushed the entry promised it for as long as it is in flight.
            if !unsafe { self.try_push(&entry) } {
                return;
            }
            self.spill.pop_front();
        }
    }

    /// Queues an entry, making room by one submission if there is none.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push).
    unsafe fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller's promise.
        if unsafe { self.uring.submission().push(entry) }.is_ok() {
            return true;
        }
        // An error here is met again, and judged, by the next enter.
        let _ = self.uring.submit();
        // SAFETY: the caller's promise.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }
}

/// Judges what an enter returned: an interruption, or a kernel short of memory or with completions to reap first,
/// is no failure; what was not submitted stays queued.
fn tolerate(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME) => Ok(()),
            _ => Err(error),
        },
    }
}
