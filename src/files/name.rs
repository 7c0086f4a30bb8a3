//! From the path of a request to the name of a file.

use std::borrow::Cow;

use crate::proto::percent;

/// Returns the name of the file for the part of a path below its route, percent-encoded and without the
/// leading slash. The name ends with a slash or is empty if the path names a directory.
///
/// Returns `None` if no file can have that name: it has an empty segment, `.`, `..`, a NUL, or an encoded
/// slash. Without `hidden`, also if a segment other than `.well-known` begins with a dot.
pub(super) fn of_path(path: &str, hidden: bool) -> Option<Cow<'_, str>> {
    if path.is_empty() {
        return Some(Cow::Borrowed(""));
    }
    let name = percent::decoded(path);
    // A slash that was encoded is part of a segment, and no file name has one.
    if name.matches('/').count() != path.matches('/').count() {
        return None;
    }
    let segments = name.strip_suffix('/').unwrap_or(&name).split('/');
    let is_served = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && !segment.contains('\0')
            && (hidden || !segment.starts_with('.') || segment == ".well-known")
    };
    segments.into_iter().all(is_served).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::of_path;

    #[test]
    fn only_paths_that_can_name_a_file_below_the_root_have_a_name() {
        for (path, name) in [
            ("", Some("")),
            ("a", Some("a")),
            ("a/b.txt", Some("a/b.txt")),
            ("a/", Some("a/")),
            ("a%20b/%C3%A4", Some("a b/\u{e4}")),
            ("%2561", Some("%61")),
            ("...", None),
            (".well-known/x", Some(".well-known/x")),
            (".git/config", None),
            ("a/.env", None),
            ("/", None),
            ("//", None),
            ("/etc/passwd", None),
            ("a//b", None),
            ("a//", None),
            (".", None),
            ("..", None),
            ("../a", None),
            ("a/../../b", None),
            ("a/..", None),
            ("%2e%2e/a", None),
            ("%2E%2e%2Fa", None),
            ("a%2Fb", None),
            ("a%2f..%2fb", None),
            ("..%2f", None),
            ("a%00", None),
            ("a%00.txt", None),
        ] {
            assert_eq!(of_path(path, false).as_deref(), name, "{path}");
        }
        assert_eq!(of_path(".git/config", true).as_deref(), Some(".git/config"));
        assert_eq!(of_path("..", true), None);
        assert_eq!(of_path("..\\..\\a", true).as_deref(), Some("..\\..\\a"), "a file name on Linux");
    }
}
