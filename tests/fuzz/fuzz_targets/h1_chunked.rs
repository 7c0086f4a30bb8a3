//! Decodes arbitrary bytes in one piece and in two; data, end and trailers must be equal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass::proto::h1::{Body, Framing, Limits, Reject, Step};

type Outcome = Result<(Vec<u8>, Option<usize>, Vec<Vec<u8>>), Reject>;

fn run(input: &[u8], ends: &[usize]) -> Outcome {
    let limits = Limits { extension_bytes: 16, trailer_bytes: 64, headers: 4, ..Limits::default() };
    let mut body = Body::new(Framing::Chunked, &limits);
    let (mut data, mut at, mut ended) = (Vec::new(), 0, None);
    for &end in ends {
        while ended.is_none() {
            match body.decode(&input[at..end])? {
                Step::NeedMore => {
                    at = end;
                    break;
                }
                Step::Done { consumed } => ended = Some(at + consumed),
                Step::Data { consumed, data: range } => {
                    assert!(!range.is_empty() && range.end == consumed);
                    data.extend_from_slice(&input[at..end][range]);
                    at += consumed;
                }
            }
        }
    }
    assert_eq!(body.is_done(), ended.is_some());
    let trailers = body.trailers().iter().map(|(name, value)| [name, b"=", value].concat()).collect();
    Ok((data, ended, trailers))
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else { return };
    let cut = usize::from(cut) % (input.len() + 1);
    assert_eq!(run(input, &[input.len()]), run(input, &[cut, input.len()]));
});
