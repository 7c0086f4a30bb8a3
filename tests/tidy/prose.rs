//! House rules on comments and names.

use crate::{files, report, sources};

/// Maximum width of a line of code, comment or script.
const MAX_COLUMNS: usize = 110;

/// Words that must not start a doc comment. A type's comment starts with a noun, a function's with a verb.
const OPENINGS: [&str; 6] = ["What", "Where", "Who", "How", "Why", "Says"];

/// Names that are too vague, because they could stand for many different things.
const VAGUE: [&str; 3] = ["fn settle", "struct State ", "enum State "];

const FOLDERS: [&str; 4] = ["src", "actors", "tests", "benches"];

#[test]
fn doc_comments_open_with_a_noun_or_a_verb() {
    let mut faults = Vec::new();
    for source in sources(&FOLDERS) {
        let mut inside = false;
        for (index, line) in source.text.lines().enumerate() {
            let line = line.trim_start();
            let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
            let first = comment.and_then(|text| text.split_whitespace().next()).unwrap_or("");
            if !inside && OPENINGS.contains(&first) {
                faults.push(format!("{}:{}: opens with `{first}`", source.path, index + 1));
            }
            inside = comment.is_some();
        }
    }
    report(&faults);
}

#[test]
fn lines_fit_the_width() {
    let mut faults = Vec::new();
    let scripts = files(&["scripts"], "sh");
    for source in sources(&FOLDERS).into_iter().chain(scripts) {
        for (index, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            let is_table = line.trim_start().trim_start_matches(['/', '!', ' ']).starts_with('|');
            if columns > MAX_COLUMNS && !is_table {
                faults.push(format!("{}:{}: {columns} columns", source.path, index + 1));
            }
        }
    }
    report(&faults);
}

#[test]
fn names_are_specific() {
    let mut faults = Vec::new();
    for source in sources(&["src", "actors/src"]) {
        for (index, line) in source.code.lines().enumerate() {
            if let Some(name) = VAGUE.iter().find(|name| format!("{line} ").contains(*name)) {
                faults.push(format!("{}:{}: `{}`: use a specific name", source.path, index + 1, name.trim()));
            }
        }
    }
    report(&faults);
}
