//! Fingerprint of an event's content, to tell a repeated append from another one with the same key.

use bytes::Bytes;

use super::{Append, Labels};

/// Odd multiplier with well distributed bits (the golden ratio, as FxHash uses it).
const MULTIPLIER: u64 = 0x517c_c1b7_2722_0a95;

/// Returns the fingerprint of everything that the publisher chose except the key and the durability.
///
/// It is stored in files, so it must not change. It is no cryptographic hash: a publisher that constructs two
/// events with the same fingerprint can only deceive itself.
pub(super) fn fingerprint(append: &Append) -> u64 {
    let attributes = append.attributes();
    let mut state = u64::from(attributes.private);
    add_list(&mut state, &append.labels);
    add_list(&mut state, &attributes.tags);
    add_text(&mut state, attributes.id.as_ref());
    add_text(&mut state, append.name.as_ref());
    add_bytes(&mut state, &append.data);
    state
}

fn add_list(state: &mut u64, texts: &Labels) {
    add(state, texts.len() as u64);
    texts.iter().for_each(|text| add_bytes(state, text));
}

fn add_text(state: &mut u64, text: Option<&Bytes>) {
    add(state, u64::from(text.is_some()));
    add_bytes(state, text.map_or(&[], |text| text));
}

/// Adds bytes and their length, so that neighbouring parts cannot exchange bytes unnoticed.
fn add_bytes(state: &mut u64, bytes: &[u8]) {
    add(state, bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| add(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    add(state, u64::from_le_bytes(last));
}

fn add(state: &mut u64, word: u64) {
    *state = (state.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
}
