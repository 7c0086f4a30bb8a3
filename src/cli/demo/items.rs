//! The data of `/demo/items`. The servers of `benches/peers` answer with the same bytes.

use serde::Serialize;

/// A page of a catalogue.
#[derive(Serialize)]
pub(super) struct Page {
    page: u32,
    pages: u32,
    items: [Item; 11],
}

#[derive(Serialize)]
struct Item {
    id: u32,
    name: &'static str,
    cents: u32,
    in_stock: bool,
    tags: [&'static str; 2],
}

const fn item(id: u32, name: &'static str, cents: u32, in_stock: bool, tags: [&'static str; 2]) -> Item {
    Item { id, name, cents, in_stock, tags }
}

/// The served page, about 1 KiB of JSON.
pub(super) static PAGE: Page = Page {
    page: 2,
    pages: 17,
    items: [
        item(4101, "Capstan bar, ash", 1850, true, ["ash", "deck"]),
        item(4102, "Deck block, bronze", 4275, true, ["bronze", "deck"]),
        item(4103, "Windlass pawl", 2990, false, ["iron", "spare"]),
        item(4104, "Hemp rope, 40 m", 5600, true, ["hemp", "rope"]),
        item(4105, "Chain stopper", 8425, true, ["iron", "chain"]),
        item(4106, "Anchor buoy, red", 1995, false, ["foam", "anchor"]),
        item(4107, "Snatch block", 6340, true, ["steel", "rope"]),
        item(4108, "Cleat, oak", 740, true, ["oak", "deck"]),
        item(4109, "Belaying pin", 515, false, ["oak", "rope"]),
        item(4110, "Winch handle", 3880, true, ["steel", "spare"]),
        item(4111, "Shackle, 12 mm", 265, true, ["steel", "chain"]),
    ],
};

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_equals_the_one_of_the_other_servers() {
        let measured = include_str!("../../../benches/peers/items.json");
        assert_eq!(serde_json::to_string(&super::PAGE).unwrap(), measured);
        assert!((960..=1088).contains(&measured.len()), "about 1 KiB");
    }
}
