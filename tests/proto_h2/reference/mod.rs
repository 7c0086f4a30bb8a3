//! Comparison with the crate `h2`: the same frames cause the same requests, resets, ends and error codes.
//!
//! Scripts are fed frame by frame, and the effects of each frame are compared. A difference must be one of
//! [`EXPECTED`], each of which an RFC requires. The rest of the script is skipped after a difference, because
//! the states of the two differ.

mod expected;
mod ours;
mod step;
mod theirs;

use proptest::prelude::*;

use crate::{
    common::frames::{ACK, Frame, PREFACE, SETTINGS, frame, read_frames, settings},
    properties::any_frame,
};
use expected::EXPECTED;
use ours::Ours;
use step::{Step, Stream};
use theirs::Theirs;

/// Frames that are fed one by one.
type Script = Vec<Vec<u8>>;

/// Feeds the frames to both implementations and returns the first difference.
fn difference(script: &Script) -> Option<Case> {
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
    let preface =
        [PREFACE, &frame(SETTINGS, 0, 0, settings(&[(1, 0)])), &frame(SETTINGS, ACK, 0, [])].concat();
    assert_eq!(
        strip(ours.step(&preface)),
        strip(theirs.step(&preface)),
        "the prefaces should have the same effects"
    );
    for bytes in script {
        let (ours, theirs) = (strip(ours.step(bytes)), strip(theirs.step(bytes)));
        if ours != theirs {
            return Some(Case { frame: read_frames(bytes).swap_remove(0), ours, theirs });
        }
        if ours.goaway.is_some() {
            return None;
        }
    }
    None
}

/// Removes streams without effects. At the end of a connection it also removes resets, which affect all
/// streams alike.
fn strip(mut step: Step) -> Step {
    if step.goaway.is_some() {
        step.streams.values_mut().for_each(|stream| (stream.reported_reset, stream.reset) = (false, None));
    }
    step.streams.retain(|_, stream| *stream != Stream::default());
    step
}

/// Frame that has different effects on the two implementations.
#[derive(Debug)]
struct Case {
    frame: Frame,
    ours: Step,
    theirs: Step,
}

impl Case {
    fn codes(&self) -> (Option<u32>, Option<u32>) {
        (self.ours.goaway, self.theirs.goaway)
    }

    /// Returns the code of the stream error, if the frame caused one in Windlass and no connection error.
    fn our_reset(&self) -> Option<u32> {
        self.ours.streams.get(&self.frame.stream)?.reset.filter(|_| self.ours.goaway.is_none())
    }
}

#[test]
fn each_expected_difference_exists() {
    for expected in EXPECTED {
        let case = difference(&(expected.example)());
        assert!(case.as_ref().is_some_and(expected.is), "{}: {case:?}", expected.reason);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn both_implementations_have_the_same_effects(script in prop::collection::vec(any_frame(), 0..40)) {
        if let Some(case) = difference(&script) {
            prop_assert!(EXPECTED.iter().any(|expected| (expected.is)(&case)), "{case:?}");
        }
    }
}
