//! Connections that were woken, and how many of them get their turn at once.
//!
//! An event that wakes ten thousand must not hold the shard: they are looked at in slices, one a turn. What a slice sends
//! delays a request that comes meanwhile, so slices are short where requests come. Where none do, a long one costs nobody
//! anything, and saves system calls, and the client's going to sleep and being woken in between.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::net::ConnId;

/// Connections in a slice, at least.
const SHORT: usize = 8;

/// Connections in a slice, at most.
const LONG: usize = 1024;

/// What a connection takes of a slice, about: a send. One with more to do takes the place of several.
const SEND: Duration = Duration::from_micros(4);

/// Places of a slice that one takes that was woken: it asks its streams, and its handler may run.
const WAKE: usize = 4;

/// Connections after which the clock says whether a slice has taken its time.
const LOOK_EVERY: usize = 32;

/// A slice takes at most this part of the time since something last had to wait for one.
const PART: u32 = 1024;

/// The connections that were woken, each once, in the order of their wakes.
pub(super) struct Woken {
    line: VecDeque<ConnId>,
    /// By slot: the connection that stands in the line.
    standing: Vec<Option<Standing>>,
    /// When something came last that had to wait for a slice.
    waited: Instant,
    /// The same, until it is known whether that was an event: that one stands behind the slice whatever its length.
    came: Option<Instant>,
    /// An event was put into taps since.
    was_event: bool,
    /// This turn has a slice.
    has_slice: bool,
    /// What had come by the end of the last turn, and how much of it in that turn.
    arrivals: (u64, usize),
}

/// Who stands in the line, and why.
#[derive(Clone, Copy, Debug)]
struct Standing {
    generation: u32,
    why: Why,
}

/// Why a connection is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its tap holds something.
    Tap,
    /// It was woken, for whatever it waits for. Its tap may hold something too.
    Wake,
}

/// What is left of a slice.
pub(super) struct Slice {
    left: usize,
    taken: usize,
    until: Instant,
}

impl Woken {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            line: VecDeque::new(),
            standing: Vec::new(),
            waited: now,
            came: None,
            was_event: false,
            has_slice: false,
            arrivals: (0, 0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Puts a connection in the line; one that stands there has one reason more.
    pub(super) fn push(&mut self, id: ConnId, why: Why) {
        self.was_event |= why == Why::Tap;
        let slot = id.slot as usize;
        if slot >= self.standing.len() {
            self.standing.resize(slot + 1, None);
        }
        match &mut self.standing[slot] {
            Some(standing) if standing.generation == id.generation => {
                if why == Why::Wake {
                    standing.why = why;
                }
            }
            other => {
                *other = Some(Standing { generation: id.generation, why });
                self.line.push_back(id);
            }
        }
    }

    /// Begins a slice.
    pub(super) fn slice(&mut self, now: Instant) -> Slice {
        if let Some(came) = self.came.take().filter(|_| !self.was_event) {
            self.waited = came;
        }
        let left = self.len(now);
        self.has_slice = !self.line.is_empty();
        Slice { left, taken: 0, until: Instant::now() + SEND * left as u32 }
    }

    /// Returns how many connections a slice may have. Where very much comes, woken ones are served as often as others.
    fn len(&self, now: Instant) -> usize {
        let calm = now.saturating_duration_since(self.waited).min(SEND * PART * LONG as u32);
        let sends = (calm / PART).as_nanos() / SEND.as_nanos();
        (sends as usize).max(self.arrivals.1).clamp(SHORT, LONG)
    }

    /// Takes the next connection of a slice out of the line.
    pub(super) fn next(&mut self, slice: &mut Slice) -> Option<(ConnId, Why)> {
        slice.left = slice.left.checked_sub(1)?;
        slice.taken += 1;
        if slice.taken.is_multiple_of(LOOK_EVERY) && Instant::now() >= slice.until {
            slice.left = 0;
        }
        let id = self.line.pop_front()?;
        let standing = &mut self.standing[id.slot as usize];
        // Behind one that is gone another connection of that slot may stand.
        let why = standing
            .take_if(|standing| standing.generation == id.generation)
            .map_or(Why::Wake, |own| own.why);
        if why == Why::Wake && slice.taken > SHORT {
            slice.left = slice.left.saturating_sub(WAKE - 1);
        }
        Some((id, why))
    }

    /// Takes note of how much has come by the end of a turn.
    pub(super) fn note_arrivals(&mut self, arrivals: u64, now: Instant) {
        let came = usize::try_from(arrivals - self.arrivals.0).unwrap_or(usize::MAX);
        self.arrivals = (arrivals, came);
        (self.came, self.was_event) = ((self.has_slice && came > 0).then_some(now), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32, generation: u32) -> ConnId {
        ConnId { slot, generation }
    }

    /// Takes a slice at this time; returns how many places it had.
    fn slice(woken: &mut Woken, now: Instant) -> usize {
        take(woken, now).0
    }

    /// Takes a slice at this time; returns how many places it had and how many connections were in it.
    fn take(woken: &mut Woken, now: Instant) -> (usize, usize) {
        let mut slice = woken.slice(now);
        slice.until = now + Duration::from_secs(3600);
        (slice.left, std::iter::from_fn(|| woken.next(&mut slice)).count())
    }

    fn fill(woken: &mut Woken) {
        (0..5000).for_each(|slot| woken.push(id(slot, 0), Why::Wake));
    }

    #[test]
    fn who_stands_in_the_line_is_not_put_there_again() {
        let now = Instant::now();
        let mut woken = Woken::new(now);
        for wakes in [id(1, 0), id(2, 0), id(1, 0), id(2, 1), id(2, 1), id(2, 0)] {
            woken.push(wakes, Why::Wake);
        }
        let mut slice = woken.slice(now);
        let mut next = || woken.next(&mut slice).map(|(id, _)| id);
        assert_eq!([next(), next(), next()].map(Option::unwrap), [id(1, 0), id(2, 0), id(2, 1)]);
        // A wake of one that is gone may stand twice; one that lives is never left out.
        assert_eq!((next(), next()), (Some(id(2, 0)), None));
        assert!(woken.is_empty());
        woken.push(id(1, 0), Why::Wake);
        assert!(!woken.is_empty(), "it has had its turn");
    }

    #[test]
    fn who_was_woken_is_so_whatever_else_it_is_looked_at_for() {
        let now = Instant::now();
        for (whys, wanted) in [
            (&[Why::Tap][..], Why::Tap),
            (&[Why::Tap, Why::Tap], Why::Tap),
            (&[Why::Tap, Why::Wake], Why::Wake),
            (&[Why::Wake, Why::Tap], Why::Wake),
        ] {
            let mut woken = Woken::new(now);
            whys.iter().for_each(|why| woken.push(id(3, 1), *why));
            let mut slice = woken.slice(now);
            assert_eq!((woken.next(&mut slice), woken.next(&mut slice)), (Some((id(3, 1), wanted)), None));
        }
    }

    #[test]
    fn slices_grow_while_nothing_waits_and_shrink_when_something_does() {
        let began = Instant::now();
        let mut woken = Woken::new(began);
        let mut arrivals = 0;
        let mut turn = |woken: &mut Woken, after: Duration, came: u64| {
            fill(woken);
            let had = slice(woken, began + after);
            arrivals += came;
            woken.note_arrivals(arrivals, began + after);
            had
        };
        assert_eq!(turn(&mut woken, Duration::ZERO, 0), SHORT);
        assert_eq!(turn(&mut woken, Duration::from_secs(1), 0), 244);
        assert_eq!(turn(&mut woken, Duration::from_secs(100), 1), LONG);
        assert_eq!(turn(&mut woken, Duration::from_secs(100), 0), SHORT);
        assert_eq!(turn(&mut woken, Duration::from_secs(101), 0), 244);
    }

    #[test]
    fn what_came_while_nobody_was_woken_did_not_wait() {
        let began = Instant::now();
        let mut woken = Woken::new(began);
        let later = began + Duration::from_secs(10);
        assert_eq!(take(&mut woken, later).1, 0);
        woken.note_arrivals(1, later);
        fill(&mut woken);
        assert_eq!(slice(&mut woken, later), LONG);
    }

    #[test]
    fn an_event_that_comes_behind_another_makes_no_slice_shorter() {
        let began = Instant::now();
        let mut woken = Woken::new(began);
        let later = began + Duration::from_secs(10);
        for (came, why, slices) in [(1, Why::Tap, LONG), (2, Why::Wake, SHORT)] {
            fill(&mut woken);
            assert_eq!(slice(&mut woken, later), LONG);
            woken.note_arrivals(came, later);
            woken.push(id(6000, 0), why);
            assert_eq!(slice(&mut woken, later), slices);
        }
    }

    #[test]
    fn where_much_comes_as_many_are_woken() {
        let now = Instant::now();
        let mut woken = Woken::new(now);
        fill(&mut woken);
        assert_eq!(slice(&mut woken, now), SHORT);
        woken.note_arrivals(100, now);
        assert_eq!(slice(&mut woken, now), 100);
        woken.note_arrivals(101, now);
        assert_eq!(slice(&mut woken, now), SHORT);
    }

    #[test]
    fn one_that_was_woken_takes_the_places_of_several_unless_the_slice_is_short() {
        let began = Instant::now();
        let mut woken = Woken::new(began);
        fill(&mut woken);
        assert_eq!(take(&mut woken, began), (SHORT, SHORT));
        let (places, visits) = take(&mut woken, began + Duration::from_secs(10));
        assert!(places == LONG && (LONG / WAKE..LONG / WAKE + 2 * SHORT).contains(&visits), "{visits}");
        let mut taps = Woken::new(began);
        (0..5000).for_each(|slot| taps.push(id(slot, 0), Why::Tap));
        assert_eq!(take(&mut taps, began + Duration::from_secs(10)), (LONG, LONG));
    }

    #[test]
    fn a_slice_that_took_its_time_ends() {
        let now = Instant::now();
        let mut woken = Woken::new(now);
        fill(&mut woken);
        let mut slice = Slice { left: 1000, taken: 0, until: now };
        assert!(std::iter::from_fn(|| woken.next(&mut slice)).count() <= LOOK_EVERY);
    }
}
