//! Arbitrary header blocks of one connection have the same result if they are decoded at once and in two
//! pieces. Decoded field lines survive encoding and decoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass::proto::h2::hpack::{
    Decoder, Malformed,
    encode::{self, Strings},
};

type Line = (Vec<u8>, Vec<u8>);

fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Vec<Line>, Malformed> {
    let (mut bytes, mut lines, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    decoder.begin();
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut rest = &kept[..];
        while let Some(line) = decoder.next(&mut rest, &mut bytes)? {
            assert!(line.name <= line.value && line.value <= line.end && line.end == bytes.len());
            lines.push((bytes[line.name..line.value].to_vec(), bytes[line.value..].to_vec()));
            // The caller of the decoder limits the decoded size.
            if bytes.len() > 64 * 1024 {
                return Err(Malformed);
            }
        }
        kept = rest.to_vec();
    }
    if kept.is_empty() { Ok(lines) } else { Err(Malformed) }
}

fuzz_target!(|data: &[u8]| {
    let Some((&limit, data)) = data.split_first() else { return };
    let limit = usize::from(limit) * 32;
    let (mut whole, mut cut) = (Decoder::new(limit), Decoder::new(limit));
    whole.limit(limit);
    cut.limit(limit);
    // Each block follows a byte with its length and a byte with the position of the cut.
    let mut rest = data;
    while let [len, at, blocks @ ..] = rest {
        let (block, remaining) = blocks.split_at(usize::from(*len).min(blocks.len()));
        rest = remaining;
        let at = usize::from(*at) % (block.len() + 1);
        let lines = decode(&mut whole, &[block]);
        assert_eq!(lines, decode(&mut cut, &[&block[..at], &block[at..]]));
        let Ok(lines) = lines else { return };
        for strings in [Strings::Plain, Strings::Shortest] {
            let mut coded = Vec::new();
            lines.iter().for_each(|(name, value)| encode::literal_name(&mut coded, name, value, strings));
            assert_eq!(decode(&mut Decoder::default(), &[&coded]), Ok(lines.clone()));
        }
        assert!(whole.held_bytes() <= 4 * limit.max(4096) + 1024);
    }
});
