//! Scanner for Rust code that recognises literals, comments and use trees, which is enough for the house
//! rules.

/// Returns the text with comments and literals replaced by spaces. Line breaks are kept.
pub(crate) fn blanked(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest, out.chars().next_back());
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// Returns the length of the comment or literal at the start of `rest`, or 0.
fn skipped(rest: &str, before: Option<char>) -> usize {
    let after_word = before.is_some_and(is_word);
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if rest.starts_with('\'') {
        let mut chars = rest.chars().skip(1);
        let (first, second) = (chars.next(), chars.next());
        let literal = first == Some('\\') || second == Some('\'');
        return if literal { quoted(rest, '\'') } else { 0 };
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| !after_word);
    raw.map_or(0, |raw| raw_string(rest, raw))
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    rest.len()
}

fn raw_string(rest: &str, raw: &str) -> usize {
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if !raw[hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - raw.len() + hashes + 1;
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns `true` if a line contains a word that is not part of a longer one.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(is_word) && !after.starts_with(is_word)
    })
}

/// Returns the top-level modules of the crate that a file names. `depth` is the depth of the file's module.
pub(crate) fn crate_modules(code: &str, depth: usize) -> Vec<String> {
    let up = "super::".repeat(depth);
    let roots = if depth == 0 { vec!["crate::"] } else { vec!["crate::", up.as_str()] };
    let mut modules = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let before = &code[..at];
            if !before.ends_with(is_word) && !before.ends_with("super::") {
                let parts = first_parts(&code[at + root.len()..]);
                // A longer chain of `super` is inside an inline module and leads to no other top-level
                // module.
                modules.extend(parts.into_iter().filter(|part| part != "super"));
            }
        }
    }
    modules
}

/// Returns the first part of every path of a use tree: `a` and `c` for `{a::b, c::{d, e}}`.
fn first_parts(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    let Some(group) = tree.strip_prefix('{') else {
        return vec![tree.chars().take_while(|c| is_word(*c)).collect()];
    };
    let (mut parts, mut depth, mut item) = (Vec::new(), 0_usize, String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(std::mem::take(&mut item)),
            _ => item.push(c),
        }
    }
    parts.push(item);
    parts.iter().flat_map(|part| first_parts(part)).filter(|part| !part.is_empty()).collect()
}

/// Returns `true` if the code names an external path such as `std::net` or `tokio`, alone or in a group.
pub(crate) fn names(code: &str, path: &str) -> bool {
    let (root, rest) = path.split_once("::").unwrap_or((path, ""));
    let is_root = |at: &usize| {
        let (before, after) = (code[..*at].trim_end_matches(' '), &code[at + root.len()..]);
        let outer = before.strip_suffix("::").is_none_or(|before| !before.ends_with(is_word));
        outer && !before.ends_with('.') && after.starts_with("::")
            || (before.ends_with("use") && !after.starts_with(is_word))
    };
    let roots = code.match_indices(root).map(|(at, _)| at);
    let whole = roots.filter(|at| !code[..*at].ends_with(is_word)).filter(is_root);
    let mut trees = whole.map(|at| code[at + root.len()..].trim_start_matches("::"));
    if rest.is_empty() { trees.next().is_some() } else { trees.any(|tree| tree_has(tree, rest)) }
}

/// Returns `true` if one of the paths of a use tree starts with `path`.
fn tree_has(tree: &str, path: &str) -> bool {
    let (first, rest) = path.split_once("::").unwrap_or((path, ""));
    let found = first_parts(tree).iter().any(|part| part == first);
    found && (rest.is_empty() || has_word(tree.split(';').next().unwrap_or(""), rest))
}

#[test]
fn paths_are_found_in_code_and_use_trees() {
    let code = blanked(
        "use crate::{a::{x, y}, b}; // crate::c\nlet s = \"crate::d\"; crate::e::f(); super::super::g();",
    );
    assert_eq!(crate_modules(&code, 2), ["a", "b", "e", "g"]);
    assert_eq!(crate_modules("super::a(); super::super::b()", 1), ["a"]);
    assert!(names("use std::{io, net::TcpStream};", "std::net"));
    assert!(names("let a: std::net::IpAddr;", "std::net"));
    assert!(!names("use std::{io, time::Instant};", "std::net"));
    assert!(names("use std::{io, net::{IpAddr, TcpStream}};", "std::net::TcpStream"));
    assert!(!names("use std::net::IpAddr; struct TcpStream;", "std::net::TcpStream"));
    assert!(names("use std::time::{Duration, SystemTime};", "std::time::SystemTime"));
    assert!(names("use glommio;", "glommio") && names("glommio::spawn_local(f)", "glommio"));
    assert!(!names("mod glommio; host::glommio::run()", "glommio"));
    assert!(!names("use windlass_glommio::x; self.glommio()", "glommio"));
    assert!(names("::glommio::x()", "glommio"));
}

#[test]
fn literals_and_comments_are_blanked() {
    let text = "a'\\''b 'x' <'life> \"un\\\"safe\" r#\"un\"safe\"# /* un /* */ safe */ c // unsafe\nd";
    let code = blanked(text);
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "<'life>", "c", "d"]);
    assert_eq!(code.lines().count(), text.lines().count());
}
