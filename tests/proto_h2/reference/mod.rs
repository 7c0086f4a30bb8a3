//! The same frames to this implementation and to the crate `h2`: the same requests are seen, the same
//! streams and connections end, with the same codes.
//!
//! Scripts are fed frame by frame, and what comes of each frame is compared. Where the two differ the
//! difference must be one of [`EXPLAINED`], each argued from the RFC; behind it a script is not followed,
//! as the two have parted.

mod explained;
mod ours;
mod step;
mod theirs;

use proptest::prelude::*;

use crate::{
    common::frames::{ACK, Frame, PREFACE, SETTINGS, frame, read_frames, settings},
    properties::any_frame,
};
use explained::EXPLAINED;
use ours::Ours;
use step::{Step, Stream};
use theirs::Theirs;

/// Frames, each fed by itself.
type Script = Vec<Vec<u8>>;

/// Feeds both and returns the first difference.
fn difference(script: &Script) -> Option<Case> {
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
    let preface =
        [PREFACE, &frame(SETTINGS, 0, 0, settings(&[(1, 0)])), &frame(SETTINGS, ACK, 0, [])].concat();
    assert_eq!(strip(ours.step(&preface)), strip(theirs.step(&preface)), "the greeting");
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

/// Leaves out streams of which nothing came, and what streams are told as the connection ends: that is the
/// same for all.
fn strip(mut step: Step) -> Step {
    if step.goaway.is_some() {
        step.streams.values_mut().for_each(|stream| (stream.gone, stream.reset) = (false, None));
    }
    step.streams.retain(|_, stream| *stream != Stream::default());
    step
}

/// A frame of which different things came.
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

    /// The code of the stream error that is all that came of the frame here.
    fn our_reset(&self) -> Option<u32> {
        self.ours.streams.get(&self.frame.stream)?.reset.filter(|_| self.ours.goaway.is_none())
    }
}

#[test]
fn each_difference_that_is_explained_is_there() {
    for explained in EXPLAINED {
        let case = difference(&(explained.example)());
        assert!(case.as_ref().is_some_and(explained.is), "{}: {case:?}", explained.because);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn both_see_and_send_the_same(script in prop::collection::vec(any_frame(), 0..40)) {
        if let Some(case) = difference(&script) {
            prop_assert!(EXPLAINED.iter().any(|explained| (explained.is)(&case)), "{case:?}");
        }
    }
}
