//! Positions have exactly one text form, and the parser handles any input.

use proptest::prelude::*;
use windlass::replay::{Epoch, Position, PositionError};

fn position(epoch: u64, seq: u64) -> Position {
    Position::new(Epoch::from_bits(epoch), seq)
}

#[test]
fn the_epoch_is_written_with_all_its_digits() {
    assert_eq!(position(0x1f, 0).to_string(), "000000000000001f-0");
    let longest = position(u64::MAX, u64::MAX).to_string();
    assert_eq!(longest, "ffffffffffffffff-18446744073709551615");
    assert_eq!(longest.len(), Position::MAX_BYTES);
}

#[test]
fn other_text_forms_are_refused() {
    let epoch = "00000000deadbeef";
    assert_eq!(Position::parse(format!("{epoch}-7").as_bytes()), Ok(position(0xdead_beef, 7)));
    let wrong = [
        "-",
        "-01",
        "-00",
        "-+7",
        "--7",
        "- 7",
        "-7 ",
        "-7\n",
        "-18446744073709551616",
        "_7",
        "7",
        "",
        "-7.0",
    ];
    for rest in wrong {
        assert_eq!(Position::parse(format!("{epoch}{rest}").as_bytes()), Err(PositionError), "{rest:?}");
    }
    for text in
        ["", "7", "00000000DEADBEEF-7", "0000000deadbeef-7", "000000000deadbeef-7", " 00000000deadbeef-7"]
    {
        assert_eq!(Position::parse(text.as_bytes()), Err(PositionError), "{text:?}");
    }
    assert_eq!(Position::parse("0000000é00000000-7".as_bytes()), Err(PositionError));
    assert_eq!(Position::parse(&vec![b'0'; 1 << 20]), Err(PositionError));
}

#[test]
fn epochs_differ() {
    assert_ne!(Epoch::random().unwrap(), Epoch::random().unwrap());
}

proptest! {
    #[test]
    fn a_written_position_parses_back(epoch: u64, seq: u64) {
        let text = position(epoch, seq).to_string();
        prop_assert_eq!(text.parse::<Position>().unwrap(), position(epoch, seq));
    }

    /// Any text that parses equals the text form of the parsed position.
    #[test]
    fn a_position_has_one_text_form(text in "[0-9a-fA-F]{14,17}[-_+ ]?[-+0-9 ]{0,22}") {
        if let Ok(position) = Position::parse(text.as_bytes()) {
            prop_assert_eq!(position.to_string(), text);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_parse_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(position) = Position::parse(&bytes) {
            prop_assert_eq!(position.to_string().into_bytes(), bytes);
        }
    }
}
