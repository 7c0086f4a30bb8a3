//! The Huffman code of HPACK (RFC 7541 §5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive, in the order of their symbols. So the
//! lengths alone define it, and everything else here is computed from them at compile time. Nearly all text
//! has codes of 5 to 8 bits: one look-up decodes the one or two that the next bits hold. Longer codes are
//! found by comparing with the first code of each length.

/// The symbol that ends a string; it must not occur in one.
const EOS: u16 = 256;

/// Bits of the longest code.
const LONGEST: usize = 30;

/// Bits that one look-up decodes: two codes of letters and digits.
const LOOKUP_BITS: u32 = 12;

/// Bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The codes of one length: the first of them, aligned to the left of 32 bits, and its place in [`ORDER`].
#[derive(Clone, Copy)]
struct Group {
    bits: u32,
    first: u32,
    place: usize,
}

/// Symbols in the order of their codes.
static ORDER: [u16; 257] = order();

/// The groups of codes, by length; those of lengths without codes are empty.
static GROUPS: [Group; LONGEST + 1] = groups();

/// The code of each symbol, in its lowest bits.
static CODES: [u32; 257] = codes();

/// By the next bits, the codes that they hold as a whole.
static LOOKUP: [Entry; 1 << LOOKUP_BITS] = lookup();

/// The codes that some bits hold as a whole.
#[derive(Clone, Copy)]
struct Entry {
    symbols: [u8; 2],
    /// Number of symbols: 0 if the first code is longer.
    count: u8,
    /// Bits of all of them.
    bits: u8,
}

const fn order() -> [u16; 257] {
    let mut order = [0; 257];
    let (mut place, mut bits) = (0, 1);
    while bits <= LONGEST {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == bits {
                order[place] = symbol as u16;
                place += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    order
}

const fn groups() -> [Group; LONGEST + 1] {
    let mut groups = [Group { bits: 0, first: 0, place: 0 }; LONGEST + 1];
    let (mut code, mut place, mut bits) = (0_u64, 0, 1);
    while bits <= LONGEST {
        let first = (code << (32 - bits)) as u32;
        groups[bits] = Group { bits: bits as u32, first, place };
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == bits {
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        bits += 1;
    }
    groups
}

const fn codes() -> [u32; 257] {
    let (order, groups) = (order(), groups());
    let mut codes = [0; 257];
    let mut place = 0;
    while place < 257 {
        let symbol = order[place] as usize;
        let group = groups[LENGTHS[symbol] as usize];
        codes[symbol] = (group.first >> (32 - group.bits)) + (place - group.place) as u32;
        place += 1;
    }
    codes
}

const fn lookup() -> [Entry; 1 << LOOKUP_BITS] {
    let single = single_codes();
    let mut table = [Entry { symbols: [0; 2], count: 0, bits: 0 }; 1 << LOOKUP_BITS];
    let mut index = 0;
    while index < 1 << LOOKUP_BITS {
        let (first, bits) = single[index];
        if bits > 0 {
            let (second, more) = single[(index << bits) & ((1 << LOOKUP_BITS) - 1)];
            table[index] = if more > 0 && bits + more <= LOOKUP_BITS as u8 {
                Entry { symbols: [first, second], count: 2, bits: bits + more }
            } else {
                Entry { symbols: [first, 0], count: 1, bits }
            };
        }
        index += 1;
    }
    table
}

/// By bits, the symbol whose code they begin with, and the bits of that; 0 for a longer code.
const fn single_codes() -> [(u8, u8); 1 << LOOKUP_BITS] {
    let codes = codes();
    let mut table = [(0, 0); 1 << LOOKUP_BITS];
    let mut symbol = 0;
    while symbol < 256 {
        let bits = LENGTHS[symbol] as u32;
        if bits <= LOOKUP_BITS {
            let spare = LOOKUP_BITS - bits;
            let first = (codes[symbol] << spare) as usize;
            let mut index = 0;
            while index < 1 << spare {
                table[first + index] = (symbol as u8, bits as u8);
                index += 1;
            }
        }
        symbol += 1;
    }
    table
}

/// Error of a string that is not of this code, or is padded wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// Decodes a string and appends it to `out`.
///
/// # Errors
///
/// The string holds the end-of-string symbol, or its padding is longer than 7 bits or not all ones.
pub fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let start = out.len();
    // The shortest code has 5 bits; a look-up writes two symbols whether it has them or not.
    out.resize(start + input.len() * 8 / 5 + 2, 0);
    let decoded = decode_to(input, &mut out[start..]);
    out.truncate(start + decoded.unwrap_or(0));
    decoded.map(|_| ())
}

/// Decodes into a buffer that has room for as many symbols as the input can have. Returns how many it had.
fn decode_to(input: &[u8], out: &mut [u8]) -> Result<usize, Invalid> {
    let (mut bits, mut len) = (Bits::new(input), 0);
    loop {
        bits.refill();
        if bits.count < LONGEST as u32 {
            return decode_end(bits, out, len);
        }
        while bits.count >= LOOKUP_BITS {
            let entry = LOOKUP[(bits.window >> (64 - LOOKUP_BITS)) as usize];
            if entry.count == 0 {
                if bits.count < LONGEST as u32 {
                    break;
                }
                let (symbol, length) = long_symbol((bits.window >> 32) as u32)?;
                out[len] = symbol;
                len += 1;
                bits.consume(length);
                continue;
            }
            let Some([first, second]) = out.get_mut(len..len + 2) else { return Err(Invalid) };
            [*first, *second] = entry.symbols;
            len += usize::from(entry.count);
            bits.consume(u32::from(entry.bits));
        }
    }
}

/// Decodes the last bits: whole codes, then padding (RFC 7541 §5.2).
fn decode_end(mut bits: Bits<'_>, out: &mut [u8], mut len: usize) -> Result<usize, Invalid> {
    loop {
        let ones = u64::MAX.checked_shl(64 - bits.count).unwrap_or(0);
        if bits.count < 8 && bits.window == ones {
            return Ok(len);
        }
        // Ones behind the end make no code whole that is not: the end-of-string symbol is the only code of
        // ones.
        let window = bits.window | !ones;
        let entry = LOOKUP[(window >> (64 - LOOKUP_BITS)) as usize];
        let (symbol, length) = match entry.count {
            0 => long_symbol((window >> 32) as u32)?,
            _ => (entry.symbols[0], u32::from(LENGTHS[usize::from(entry.symbols[0])])),
        };
        if length > bits.count {
            return Err(Invalid);
        }
        out[len] = symbol;
        len += 1;
        bits.consume(length);
    }
}

fn long_symbol(window: u32) -> Result<(u8, u32), Invalid> {
    let groups = &GROUPS[LOOKUP_BITS as usize + 1..];
    // An empty group begins where the next one does, so the last that begins low enough is the right one.
    let group = groups.iter().rev().find(|group| group.first <= window).ok_or(Invalid)?;
    let place = group.place + ((window - group.first) >> (32 - group.bits)) as usize;
    match ORDER.get(place) {
        Some(&EOS) | None => Err(Invalid),
        Some(&symbol) => Ok((symbol as u8, group.bits)),
    }
}

/// A string as a window of bits, aligned to the left.
struct Bits<'a> {
    input: &'a [u8],
    window: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self { input, window: 0, count: 0 }
    }

    /// Fills the window with as many whole bytes as fit.
    #[inline]
    fn refill(&mut self) {
        if let Some((next, _)) = self.input.split_first_chunk::<8>() {
            let bytes = (64 - self.count) / 8;
            let fresh = u64::from_be_bytes(*next) >> (64 - bytes * 8) << (64 - bytes * 8);
            self.window |= fresh >> self.count;
            self.count += bytes * 8;
            self.input = &self.input[bytes as usize..];
        }
        while self.count <= 56
            && let Some((&byte, rest)) = self.input.split_first()
        {
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.input = rest;
        }
    }

    #[inline]
    fn consume(&mut self, bits: u32) {
        self.window <<= bits;
        self.count -= bits;
    }
}

/// Returns how many bytes a string has once encoded.
pub fn encoded_len(text: &[u8]) -> usize {
    text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum::<usize>().div_ceil(8)
}

/// Encodes a string and appends it to `out`.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut count) = (0_u64, 0);
    for &byte in text {
        let bits = u32::from(LENGTHS[usize::from(byte)]);
        window = window << bits | u64::from(CODES[usize::from(byte)]);
        count += bits;
        while count >= 8 {
            count -= 8;
            out.push((window >> count) as u8);
        }
    }
    if count > 0 {
        // The padding is the beginning of the end-of-string symbol: ones.
        out.push((window << (8 - count)) as u8 | 0xff >> count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_appendix_b() {
        let known = [
            (b'0', 0x0),
            (b'a', 0x3),
            (b' ', 0x14),
            (b':', 0x5c),
            (b'&', 0xf8),
            (b'!', 0x3f8),
            (b'\\', 0x7fff0),
            (0x80, 0xfffe6),
            (0xff, 0x3ffffee),
            (b'\n', 0x3fff_fffc),
            (0x16, 0x3fff_fffe),
        ];
        for (symbol, code) in known {
            assert_eq!(CODES[usize::from(symbol)], code, "{symbol:#x}");
        }
        assert_eq!(CODES[usize::from(EOS)], 0x3fff_ffff);
    }

    #[test]
    fn codes_fill_their_space() {
        let space: u64 = LENGTHS.iter().map(|&bits| 1 << (LONGEST - usize::from(bits))).sum();
        assert_eq!(space, 1 << LONGEST);
    }
}
