//! Parses arbitrary bytes; a preamble must be found exactly when it is complete, whatever bytes follow it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass::proto::proxy::parse;

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    let first = (0..=data.len()).map(|cut| parse(&data[..cut])).find(|verdict| *verdict != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole);
    if let Ok(Some(preamble)) = whole {
        assert_eq!(parse(&data[..preamble.consumed]), whole);
        assert_eq!(parse(&data[..preamble.consumed - 1]), Ok(None));
    }
});
