//! Parses arbitrary bytes in one piece and grown by one cut; the verdict must be equal, and all spans must
//! lie in the head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass::proto::h1::{Head, Limits, Reject, Search, Version, parse};

fn run(input: &[u8], cuts: &[usize]) -> (Result<Option<usize>, Reject>, Head) {
    let (mut search, mut head, limits) = (Search::default(), Head::default(), limits());
    for &cut in cuts {
        let verdict = parse(&input[..cut], &mut search, &limits, &mut head);
        if verdict != Ok(None) {
            return (verdict, head);
        }
    }
    (parse(input, &mut search, &limits, &mut head), head)
}

/// Returns limits that short inputs can reach.
fn limits() -> Limits {
    Limits { line_bytes: 128, head_bytes: 512, headers: 40, ..Limits::default() }
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else { return };
    let (whole, head) = run(input, &[]);
    let (grown, grown_head) = run(input, &[usize::from(cut) % (input.len() + 1)]);
    assert_eq!(whole, grown);
    let Ok(Some(len)) = whole else { return };
    assert_eq!(format!("{head:?}"), format!("{grown_head:?}"));
    let bytes = &input[..len];
    assert!(bytes.ends_with(b"\r\n\r\n") && !bytes.contains(&0));
    assert!(head.target(bytes).iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
    assert!(head.http_method(bytes).is_ok());
    assert!(head.version() == Version::Http10 || head.authority(bytes).is_some());
    for (name, value) in head.fields(bytes).iter() {
        assert!(!name.is_empty() && !value.iter().any(|byte| b"\r\n\0".contains(byte)));
    }
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(lines, bytes.windows(2).filter(|pair| pair == b"\r\n").count());
});
