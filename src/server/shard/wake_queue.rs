//! Queue of woken connections, and the number of them that are visited in one turn of the event loop.
//!
//! An event that wakes ten thousand connections must not block the shard. The connections are therefore
//! visited in slices, one slice in each turn of the event loop. A request that arrives meanwhile waits for
//! the end of the slice, so slices are short while requests arrive. While none do, long slices delay nothing:
//! they save system calls, and clients are not put to sleep and woken again in between.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::net::ConnId;

/// Minimum number of places in a slice.
const MIN_SLICE: usize = 8;

/// Maximum number of places in a slice.
const MAX_SLICE: usize = 1024;

/// Approximate duration of one place in a slice: enough for a send. A connection with more to do takes
/// several places.
const SEND_TIME: Duration = Duration::from_micros(4);

/// Places that a woken connection takes: it polls its streams, and its handler may run.
const WAKE_PLACES: usize = 4;

/// Number of connections after which the clock is read to check whether the slice has used up its time.
const CLOCK_INTERVAL: usize = 32;

/// Divisor of the time since an arrival was last delayed by a slice. The quotient is the longest duration of
/// a slice.
const IDLE_DIVISOR: u32 = 1024;

/// Connections that were woken, each once, in the order of their wake-ups.
pub(super) struct WakeQueue {
    queue: VecDeque<ConnId>,
    /// Connection of each slot that is in the queue.
    queued: Vec<Option<Queued>>,
    /// Time of the last arrival that was delayed by a slice.
    last_delay: Instant,
    /// Time of an arrival in the last turn. It counts as delayed unless it turns out to be an event: an event
    /// is queued behind the slice anyway, whatever the length of the slice.
    pending_delay: Option<Instant>,
    /// An event was put into outlets since that turn.
    had_event: bool,
    /// The slice of this turn has connections in it.
    has_slice: bool,
    /// Number of arrivals up to the end of the last turn, and number of arrivals in that turn.
    arrivals: (u64, usize),
}

/// Connection in the queue.
#[derive(Clone, Copy, Debug)]
struct Queued {
    generation: u32,
    reason: Reason,
}

/// Reason for which a connection is visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// An outlet of the connection holds an event.
    Outlet,
    /// The connection's waker was woken. An outlet of it may hold an event too.
    Wake,
}

/// Rest of a slice.
pub(super) struct Slice {
    /// Places that are left.
    left: usize,
    /// Number of connections removed from the queue for this slice.
    taken: usize,
    /// Time at which the slice ends.
    until: Instant,
}

impl WakeQueue {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: Vec::new(),
            last_delay: now,
            pending_delay: None,
            had_event: false,
            has_slice: false,
            arrivals: (0, 0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a connection to the queue. If it is there already, it stays in its place, and `Wake` replaces
    /// `Outlet` as the reason.
    pub(super) fn push(&mut self, id: ConnId, reason: Reason) {
        self.had_event |= reason == Reason::Outlet;
        let slot = id.slot as usize;
        if slot >= self.queued.len() {
            self.queued.resize(slot + 1, None);
        }
        match &mut self.queued[slot] {
            Some(queued) if queued.generation == id.generation => {
                if reason == Reason::Wake {
                    queued.reason = reason;
                }
            }
            other => {
                *other = Some(Queued { generation: id.generation, reason });
                self.queue.push_back(id);
            }
        }
    }

    /// Starts this turn's slice: sets how many places it has, and when it ends at the latest.
    pub(super) fn slice(&mut self, now: Instant) -> Slice {
        if let Some(delay) = self.pending_delay.take().filter(|_| !self.had_event) {
            self.last_delay = delay;
        }
        let left = self.len(now);
        self.has_slice = !self.queue.is_empty();
        Slice { left, taken: 0, until: Instant::now() + SEND_TIME * left as u32 }
    }

    /// Returns the number of places of a slice. While many requests arrive there are at least as many places,
    /// so that woken connections are served as often as others.
    fn len(&self, now: Instant) -> usize {
        let calm =
            now.saturating_duration_since(self.last_delay).min(SEND_TIME * IDLE_DIVISOR * MAX_SLICE as u32);
        let sends = (calm / IDLE_DIVISOR).as_nanos() / SEND_TIME.as_nanos();
        (sends as usize).max(self.arrivals.1).clamp(MIN_SLICE, MAX_SLICE)
    }

    /// Removes the next connection of a slice from the queue. Returns `None` at the end of the slice.
    pub(super) fn next(&mut self, slice: &mut Slice) -> Option<(ConnId, Reason)> {
        slice.left = slice.left.checked_sub(1)?;
        slice.taken += 1;
        if slice.taken.is_multiple_of(CLOCK_INTERVAL) && Instant::now() >= slice.until {
            slice.left = 0;
        }
        let id = self.queue.pop_front()?;
        let queued = &mut self.queued[id.slot as usize];
        // The connection may be gone and its slot in use by another one, which is queued separately.
        let reason = queued
            .take_if(|queued| queued.generation == id.generation)
            .map_or(Reason::Wake, |own| own.reason);
        if reason == Reason::Wake && slice.taken > MIN_SLICE {
            slice.left = slice.left.saturating_sub(WAKE_PLACES - 1);
        }
        Some((id, reason))
    }

    /// Updates the number of arrivals at the end of a turn.
    pub(super) fn update_arrivals(&mut self, arrivals: u64, now: Instant) {
        let arrived = usize::try_from(arrivals - self.arrivals.0).unwrap_or(usize::MAX);
        self.arrivals = (arrivals, arrived);
        (self.pending_delay, self.had_event) = ((self.has_slice && arrived > 0).then_some(now), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32, generation: u32) -> ConnId {
        ConnId { slot, generation }
    }

    /// Processes a slice at this time. Returns how many places it had.
    fn slice(queue: &mut WakeQueue, now: Instant) -> usize {
        take(queue, now).0
    }

    /// Processes a slice at this time. Returns how many places it had and how many connections were in it.
    fn take(queue: &mut WakeQueue, now: Instant) -> (usize, usize) {
        let mut slice = queue.slice(now);
        slice.until = now + Duration::from_secs(3600);
        (slice.left, std::iter::from_fn(|| queue.next(&mut slice)).count())
    }

    fn fill(queue: &mut WakeQueue) {
        (0..5000).for_each(|slot| queue.push(id(slot, 0), Reason::Wake));
    }

    #[test]
    fn a_queued_connection_is_not_queued_again() {
        let now = Instant::now();
        let mut queue = WakeQueue::new(now);
        for wakes in [id(1, 0), id(2, 0), id(1, 0), id(2, 1), id(2, 1), id(2, 0)] {
            queue.push(wakes, Reason::Wake);
        }
        let mut slice = queue.slice(now);
        let mut next = || queue.next(&mut slice).map(|(id, _)| id);
        assert_eq!([next(), next(), next()].map(Option::unwrap), [id(1, 0), id(2, 0), id(2, 1)]);
        // A connection that is gone may be queued twice. One that lives is never left out.
        assert_eq!((next(), next()), (Some(id(2, 0)), None));
        assert!(queue.is_empty());
        queue.push(id(1, 0), Reason::Wake);
        assert!(!queue.is_empty(), "it has had its turn");
    }

    #[test]
    fn a_wake_outweighs_an_event() {
        let now = Instant::now();
        for (reasons, wanted) in [
            (&[Reason::Outlet][..], Reason::Outlet),
            (&[Reason::Outlet, Reason::Outlet], Reason::Outlet),
            (&[Reason::Outlet, Reason::Wake], Reason::Wake),
            (&[Reason::Wake, Reason::Outlet], Reason::Wake),
        ] {
            let mut queue = WakeQueue::new(now);
            reasons.iter().for_each(|reason| queue.push(id(3, 1), *reason));
            let mut slice = queue.slice(now);
            assert_eq!((queue.next(&mut slice), queue.next(&mut slice)), (Some((id(3, 1), wanted)), None));
        }
    }

    #[test]
    fn slices_grow_while_nothing_is_delayed_and_shrink_after_a_delay() {
        let began = Instant::now();
        let mut queue = WakeQueue::new(began);
        let mut arrivals = 0;
        let mut turn = |queue: &mut WakeQueue, after: Duration, arrived: u64| {
            fill(queue);
            let had = slice(queue, began + after);
            arrivals += arrived;
            queue.update_arrivals(arrivals, began + after);
            had
        };
        assert_eq!(turn(&mut queue, Duration::ZERO, 0), MIN_SLICE);
        assert_eq!(turn(&mut queue, Duration::from_secs(1), 0), 244);
        assert_eq!(turn(&mut queue, Duration::from_secs(100), 1), MAX_SLICE);
        assert_eq!(turn(&mut queue, Duration::from_secs(100), 0), MIN_SLICE);
        assert_eq!(turn(&mut queue, Duration::from_secs(101), 0), 244);
    }

    #[test]
    fn arrivals_without_a_slice_are_not_delayed() {
        let began = Instant::now();
        let mut queue = WakeQueue::new(began);
        let later = began + Duration::from_secs(10);
        assert_eq!(take(&mut queue, later).1, 0);
        queue.update_arrivals(1, later);
        fill(&mut queue);
        assert_eq!(slice(&mut queue, later), MAX_SLICE);
    }

    #[test]
    fn an_event_behind_another_makes_no_slice_shorter() {
        let began = Instant::now();
        let mut queue = WakeQueue::new(began);
        let later = began + Duration::from_secs(10);
        for (arrived, reason, slices) in [(1, Reason::Outlet, MAX_SLICE), (2, Reason::Wake, MIN_SLICE)] {
            fill(&mut queue);
            assert_eq!(slice(&mut queue, later), MAX_SLICE);
            queue.update_arrivals(arrived, later);
            queue.push(id(6000, 0), reason);
            assert_eq!(slice(&mut queue, later), slices);
        }
    }

    #[test]
    fn slices_have_as_many_places_as_there_are_arrivals() {
        let now = Instant::now();
        let mut queue = WakeQueue::new(now);
        fill(&mut queue);
        assert_eq!(slice(&mut queue, now), MIN_SLICE);
        queue.update_arrivals(100, now);
        assert_eq!(slice(&mut queue, now), 100);
        queue.update_arrivals(101, now);
        assert_eq!(slice(&mut queue, now), MIN_SLICE);
    }

    #[test]
    fn a_woken_connection_takes_several_places_unless_the_slice_is_short() {
        let began = Instant::now();
        let mut queue = WakeQueue::new(began);
        fill(&mut queue);
        assert_eq!(take(&mut queue, began), (MIN_SLICE, MIN_SLICE));
        let (places, visits) = take(&mut queue, began + Duration::from_secs(10));
        assert!(
            places == MAX_SLICE
                && (MAX_SLICE / WAKE_PLACES..MAX_SLICE / WAKE_PLACES + 2 * MIN_SLICE).contains(&visits),
            "{visits}"
        );
        let mut filled = WakeQueue::new(began);
        (0..5000).for_each(|slot| filled.push(id(slot, 0), Reason::Outlet));
        assert_eq!(take(&mut filled, began + Duration::from_secs(10)), (MAX_SLICE, MAX_SLICE));
    }

    #[test]
    fn a_slice_ends_when_its_time_is_used_up() {
        let now = Instant::now();
        let mut queue = WakeQueue::new(now);
        fill(&mut queue);
        let mut slice = Slice { left: 1000, taken: 0, until: now };
        assert!(std::iter::from_fn(|| queue.next(&mut slice)).count() <= CLOCK_INTERVAL);
    }
}
