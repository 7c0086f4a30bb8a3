//! HPACK: the examples of RFC 7541, appendix C, and what must hold for any block.

use proptest::prelude::*;
use windlass::proto::h2::{
    field::{Name, Value},
    hpack::{
        DEFAULT_TABLE_BYTES, Decoder, Malformed,
        encode::{self, Strings},
        huffman,
    },
};

/// One field: name, value.
type Pair = (Vec<u8>, Vec<u8>);

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Decodes a whole block.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, Malformed> {
    decode_pieces(decoder, &[block])
}

/// Decodes a block that comes in pieces; the rest of each is kept for the next.
fn decode_pieces(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Vec<Pair>, Malformed> {
    let (mut bytes, mut pairs, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    decoder.begin();
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut rest = &kept[..];
        while let Some(line) = decoder.next(&mut rest, &mut bytes)? {
            assert_eq!(line.end, bytes.len());
            pairs.push((bytes[line.name..line.value].to_vec(), bytes[line.value..line.end].to_vec()));
        }
        kept = rest.to_vec();
    }
    if kept.is_empty() { Ok(pairs) } else { Err(Malformed) }
}

fn pairs(fields: &[(&str, &str)]) -> Vec<Pair> {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

const STATUS_302: &[(&str, &str)] = &[
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const STATUS_307: &[(&str, &str)] = &[
    (":status", "307"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const STATUS_200: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
];

#[test]
fn single_fields_of_c_2() {
    let cases = [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", ("custom-key", "custom-header")),
        ("040c2f73616d706c652f70617468", (":path", "/sample/path")),
        ("100870617373776f726406736563726574", ("password", "secret")),
        ("82", (":method", "GET")),
    ];
    for (block, field) in cases {
        assert_eq!(decode(&mut Decoder::default(), &hex(block)), Ok(pairs(&[field])), "{block}");
    }
}

#[test]
fn requests_of_c_3_and_c_4() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let huffman = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::default();
        for (block, fields) in blocks.iter().zip([FIRST, SECOND, THIRD]) {
            assert_eq!(decode(&mut decoder, &hex(block)), Ok(pairs(fields)));
        }
    }
}

#[test]
fn responses_of_c_5_and_c_6() {
    let plain = [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54
         6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f
         3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076
         657273696f6e3d31",
    ];
    let huffman = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad1718
         63c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335
         dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::default();
        for (index, (block, fields)) in blocks.iter().zip([STATUS_302, STATUS_307, STATUS_200]).enumerate() {
            let mut block = hex(block);
            if index == 0 {
                // These examples have a table of 256 bytes.
                block.splice(0..0, hex("3fe101"));
            }
            assert_eq!(decode(&mut decoder, &block), Ok(pairs(fields)));
        }
    }
}

#[test]
fn a_table_has_the_size_that_its_limit_allows_and_no_more() {
    let update = |size: usize| {
        let mut bytes = vec![0x3f];
        let mut rest = size - 31;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
        bytes
    };
    assert_eq!(
        decode(&mut Decoder::new(8192), &[update(8192), vec![0x82]].concat()),
        Ok(pairs(&[(":method", "GET")]))
    );
    assert_eq!(decode(&mut Decoder::new(4096), &update(4097)), Err(Malformed));
    let late = [vec![0x82], update(100)].concat();
    assert_eq!(decode(&mut Decoder::default(), &late), Err(Malformed), "only in front of fields");
    let twice = [vec![0x20], update(200), vec![0x82]].concat();
    assert!(decode(&mut Decoder::default(), &twice).is_ok());
}

#[test]
fn a_limit_that_was_lowered_asks_for_an_update() {
    let mut decoder = Decoder::new(100);
    assert!(decode(&mut decoder, &[0x82]).is_ok(), "until it is acknowledged the default holds");
    decoder.limit(100);
    assert_eq!(decode(&mut decoder, &[0x82]), Err(Malformed));
    let mut decoder = Decoder::new(100);
    decoder.limit(100);
    assert!(decode(&mut decoder, &[0x3f, 0x45, 0x82]).is_ok());
    assert!(decode(&mut decoder, &[0x82]).is_ok(), "once is enough");
}

#[test]
fn blocks_that_are_not_hpack_are_refused() {
    let cases: [(&str, &[u8]); 10] = [
        ("index 0", &[0x80]),
        ("an index beyond the tables", &[0xbe]),
        ("a name beyond the tables", &[0x7f, 0x00, 0x01, b'a']),
        ("a name beyond the tables, not indexed", &[0x0f, 0x2f, 0x01, b'a']),
        ("an integer without end", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("a size without end", &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("a length without end", &[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("padding of 8 bits", &[0x00, 0x01, b'a', 0x82, 0x1f, 0xff]),
        ("padding of zeros", &[0x00, 0x01, b'a', 0x81, 0x18]),
        ("the end-of-string symbol", &[0x00, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (what, block) in cases {
        assert_eq!(decode(&mut Decoder::default(), block), Err(Malformed), "{what}");
    }
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::default();
    let mut block = vec![0x40, 1, b'a', 1, b'b', 0x40, 1, b'c', 0x7f, 0x81, 0x1f];
    block.extend(vec![b'x'; 4096]);
    assert_eq!(decode(&mut decoder, &block).unwrap().len(), 2);
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(Malformed));
}

#[test]
fn an_entry_may_be_named_by_one_that_it_evicts() {
    let mut decoder = Decoder::default();
    // A table of 64 bytes holds one such field at a time.
    let first = [0x3f, 0x21, 0x40, 4, b'n', b'a', b'm', b'e', 1, b'1'];
    decode(&mut decoder, &first).unwrap();
    assert_eq!(decode(&mut decoder, &[0x7e, 1, b'2']), Ok(pairs(&[("name", "2")])));
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(pairs(&[("name", "2")])));
}

#[test]
fn names_and_values_are_judged() {
    let kinds = [
        ("x-other", Name::Other),
        ("host", Name::Host),
        ("X", Name::Invalid),
        ("", Name::Invalid),
        ("a b", Name::Invalid),
        (":path", Name::Path),
        (":Path", Name::OtherPseudo),
        ("te", Name::Te),
        ("upgrade", Name::ConnectionSpecific),
    ];
    for (name, kind) in kinds {
        assert_eq!(Name::of(name.as_bytes()), kind, "{name}");
    }
    let values: [(&[u8], bool); 9] = [
        (b"", true),
        (b"a b", true),
        (b"a\tb", true),
        (b"\xe9", true),
        (b" a", false),
        (b"a\t", false),
        (b"a\rb", false),
        (b"a\0b", false),
        (b"a\x7fb", false),
    ];
    for (value, is_valid) in values {
        let mut block = vec![0x40, 1, b'a', value.len() as u8];
        block.extend_from_slice(value);
        block.push(0xbe);
        let (mut decoder, mut bytes, mut rest) = (Decoder::default(), Vec::new(), &block[..]);
        decoder.begin();
        for _ in 0..2 {
            let line = decoder.next(&mut rest, &mut bytes).unwrap().unwrap();
            assert_eq!(line.verdict == Value::Valid, is_valid, "{value:?}, from the table too");
        }
    }
}

/// A peer's encoder: chooses a form for each field, and keeps the table that the decoder should have.
#[derive(Default)]
struct Encoder {
    table: Vec<Pair>,
    capacity: Option<usize>,
}

impl Encoder {
    fn evict(&mut self) {
        let capacity = self.capacity.unwrap_or(DEFAULT_TABLE_BYTES);
        let size = |table: &[Pair]| table.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
        while size(&self.table) > capacity {
            self.table.pop();
        }
    }

    fn resize(&mut self, out: &mut Vec<u8>, capacity: usize) {
        integer(out, 0x20, 5, capacity);
        self.capacity = Some(capacity);
        self.evict();
    }

    fn field(&mut self, out: &mut Vec<u8>, (name, value): &Pair, form: u8) {
        let whole = self.table.iter().position(|known| known == &(name.clone(), value.clone()));
        if let Some(place) = whole.filter(|_| form & 1 == 0) {
            return integer(out, 0x80, 7, 62 + place);
        }
        let named = self.table.iter().position(|(known, _)| known == name).filter(|_| form & 2 == 0);
        let (first, bits) = [(0x40, 6), (0x00, 4), (0x10, 4), (0x40, 6)][usize::from(form >> 2 & 3)];
        integer(out, first, bits, named.map_or(0, |place| 62 + place));
        if named.is_none() {
            string(out, name, form & 16 != 0);
        }
        string(out, value, form & 32 != 0);
        if first == 0x40 {
            self.table.insert(0, (name.clone(), value.clone()));
            self.evict();
        }
    }
}

fn integer(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let mask = (1 << bits) - 1;
    if value < mask {
        return out.push(first | value as u8);
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

fn string(out: &mut Vec<u8>, text: &[u8], is_huffman: bool) {
    if is_huffman {
        let mut coded = Vec::new();
        huffman::encode(text, &mut coded);
        integer(out, 0x80, 7, coded.len());
        out.extend(coded);
    } else {
        integer(out, 0, 7, text.len());
        out.extend_from_slice(text);
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z-]{1,20}".prop_map(String::into_bytes),
        Just(b":path".to_vec()),
        Just(b"cookie".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,60}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(any::<u8>(), 0..1500),
    ]
}

proptest! {
    #[test]
    fn huffman_decodes_what_it_encodes(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut coded = Vec::new();
        huffman::encode(&text, &mut coded);
        prop_assert_eq!(coded.len(), huffman::encoded_len(&text));
        let mut back = b"before".to_vec();
        prop_assert_eq!(huffman::decode(&coded, &mut back), Ok(()));
        prop_assert_eq!(&back[6..], &text[..]);
    }

    #[test]
    fn a_huffman_string_has_one_spelling(coded in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut text = Vec::new();
        if huffman::decode(&coded, &mut text).is_ok() {
            let mut again = Vec::new();
            huffman::encode(&text, &mut again);
            prop_assert_eq!(again, coded);
        }
    }

    #[test]
    fn any_encoder_is_understood_however_its_blocks_are_cut(
        blocks in prop::collection::vec(
            (
                prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
                prop::option::of(0..4097_usize),
            ),
            1..20,
        ),
        fields in prop::collection::vec((name(), value()), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for (choices, capacity) in blocks {
            let (mut block, mut sent) = (Vec::new(), Vec::new());
            if let Some(capacity) = capacity {
                encoder.resize(&mut block, capacity);
            }
            for (which, form) in choices {
                let field = which.get(&fields);
                encoder.field(&mut block, field, form);
                sent.push(field.clone());
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(block.len() + 1)).collect();
            at.extend([0, block.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &block[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode_pieces(&mut decoder, &pieces), Ok(sent));
            prop_assert!(decoder.held_bytes() <= 4 * DEFAULT_TABLE_BYTES + 1024, "{}", decoder.held_bytes());
        }
    }

    #[test]
    fn what_we_encode_is_decoded_to_the_same(
        fields in prop::collection::vec(("[a-z0-9-]{1,30}", "[ -~]{0,100}"), 0..20),
        status in 100..1000_u16,
        is_short in any::<bool>(),
    ) {
        let strings = if is_short { Strings::Shortest } else { Strings::Plain };
        let status = http::StatusCode::from_u16(status).unwrap();
        let (mut block, mut sent) = (Vec::new(), pairs(&[(":status", status.as_str())]));
        encode::status(&mut block, status);
        for (name, value) in &fields {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            encode::field(&mut block, &name, &http::HeaderValue::from_str(value).unwrap(), strings);
            sent.push((name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        prop_assert_eq!(decode(&mut Decoder::default(), &block), Ok(sent));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_alike_however_cut(
        block in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(block.len() + 1);
        let whole = decode(&mut Decoder::default(), &block);
        let parts = decode_pieces(&mut Decoder::default(), &[&block[..cut], &block[cut..]]);
        prop_assert_eq!(whole, parts);
    }
}
