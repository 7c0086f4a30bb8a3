//! Path templates: their syntax, and messages that show how to correct a wrong one.

use matchit::InsertError;

use crate::proto::percent;

/// Checks the characters and the syntax of a template and returns its normal form, in which paths are looked
/// up. Its parameters are checked when it is inserted: see [`problem`].
///
/// # Errors
///
/// The text describes the problem, as the end of a sentence.
pub(super) fn checked(template: &str) -> Result<String, String> {
    if !template.starts_with('/') {
        return Err("the path must begin with '/'".to_owned());
    }
    if let Some(corrected) = in_our_syntax(template) {
        return Err(format!(
            "this is the path syntax of another framework, write `{corrected}`: `{{name}}` matches one \
             segment, `{{*name}}` matches the rest of the path"
        ));
    }
    if !template.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#') {
        let problem = "the path must be visible ASCII without '?' and '#'; percent-encode other characters";
        return Err(problem.to_owned());
    }
    Ok(percent::normalized(template).into_owned())
}

/// Describes the error of a template that matchit refused, as the end of a sentence. `others` are the
/// templates that were added before.
pub(super) fn problem<'t>(
    template: &str,
    error: &InsertError,
    mut others: impl Iterator<Item = &'t str>,
) -> String {
    match error {
        InsertError::Conflict { with } => match others.find(|other| is_same_shape(template, other)) {
            Some(other) => {
                format!("the route `{other}` matches the same paths; give the parameters the same names")
            }
            None => format!("it conflicts with the route `{with}`: a path could match both"),
        },
        InsertError::InvalidParamSegment => {
            "a segment may have one parameter, at its end, such as `/v{version}`".to_owned()
        }
        InsertError::InvalidCatchAll => {
            "a parameter that matches the rest of the path must be a whole segment at its end, such as \
             `/files/{*path}`"
                .to_owned()
        }
        _ => {
            "a parameter must have a name in matching braces, such as `{id}`; `{{` and `}}` stand for braces"
                .to_owned()
        }
    }
}

/// Returns `true` if the templates differ at most in the names of their parameters.
fn is_same_shape(one: &str, other: &str) -> bool {
    fn shape(template: &str) -> impl Iterator<Item = (&str, Option<bool>)> {
        template.split('/').map(|segment| match segment.find('{') {
            Some(at) => (&segment[..at], Some(segment[at..].starts_with("{*"))),
            None => (segment, None),
        })
    }
    shape(one).eq(shape(other))
}

/// Returns the template in our syntax if a segment of it is in that of another framework, otherwise `None`.
fn in_our_syntax(template: &str) -> Option<String> {
    let mut is_foreign = false;
    let segments: Vec<_> = template
        .split('/')
        .map(|segment| match foreign_parameter(segment) {
            Some(corrected) => {
                is_foreign = true;
                corrected
            }
            None => segment.to_owned(),
        })
        .collect();
    is_foreign.then(|| segments.join("/"))
}

/// Returns a segment in our syntax if it is a parameter in the syntax of another framework, otherwise `None`.
fn foreign_parameter(segment: &str) -> Option<String> {
    let one = |name: &str| format!("{{{}}}", name_in(name, "name"));
    let rest = |name: &str| format!("{{*{}}}", name_in(name, "rest"));
    let between = |start: &str, end: &str| segment.strip_prefix(start)?.strip_suffix(end);
    // Express, Rails, Gin, earlier versions of axum: `:id`, `*path`.
    if let Some(name) = segment.strip_prefix(':') {
        return Some(if name.ends_with('*') || name.ends_with('+') { rest(name) } else { one(name) });
    }
    if let Some(name) = segment.strip_prefix('*') {
        return Some(rest(name));
    }
    // Flask, Rocket: `<int:id>`, `<path..>`.
    if let Some(inner) = between("<", ">") {
        let is_rest = inner.ends_with("..") || inner.starts_with("path:");
        let name = inner.rsplit(':').next().unwrap_or_default();
        return Some(if is_rest { rest(name) } else { one(name) });
    }
    // Next.js: `[id]`, `[...path]`.
    if let Some(inner) = between("[", "]") {
        return Some(if inner.contains("...") { rest(inner) } else { one(inner) });
    }
    // actix-web, Spring, Go: `{id:[0-9]+}`, `{path:.*}`, `{path...}`, `{**path}`, `{id?}`.
    let inner = between("{", "}").filter(|_| !segment.starts_with("{{"))?;
    let is_name = |name: &str| !name.is_empty() && !name.contains([':', '.', '?', '*', '$']);
    match inner.strip_prefix('*') {
        Some(name) if is_name(name) => None,
        None if is_name(inner) || inner.is_empty() => None,
        Some(name) => Some(rest(name)),
        None => {
            let (name, pattern) = inner.split_once(':').unwrap_or((inner, ""));
            let is_rest = name.ends_with("...") || pattern.starts_with(".*") || pattern.starts_with(".+");
            Some(if is_rest { rest(name) } else { one(name) })
        }
    }
}

/// Returns the first identifier in a text, or `otherwise` if it has none.
fn name_in<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_part(character)).find(|name| !name.is_empty()).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_other_frameworks_are_translated() {
        for (foreign, ours) in [
            ("/t/:id", "/t/{id}"),
            ("/t/:id/:sub", "/t/{id}/{sub}"),
            ("/t/:id(\\d+)", "/t/{id}"),
            ("/t/:id?", "/t/{id}"),
            ("/t/:path*", "/t/{*path}"),
            ("/files/*", "/files/{*rest}"),
            ("/files/*path", "/files/{*path}"),
            ("/t/<id>", "/t/{id}"),
            ("/t/<int:id>", "/t/{id}"),
            ("/t/<path:file>", "/t/{*file}"),
            ("/t/<file..>", "/t/{*file}"),
            ("/t/[id]", "/t/{id}"),
            ("/t/[...slug]", "/t/{*slug}"),
            ("/t/{id:[0-9]+}", "/t/{id}"),
            ("/t/{tail:.*}", "/t/{*tail}"),
            ("/t/{path...}", "/t/{*path}"),
            ("/t/{**path}", "/t/{*path}"),
            ("/t/{id?}", "/t/{id}"),
            ("/t/{$}", "/t/{name}"),
            ("/t/:", "/t/{name}"),
        ] {
            let error = checked(foreign).unwrap_err();
            assert!(error.contains(&format!("write `{ours}`")), "{foreign}: {error}");
        }
    }

    #[test]
    fn our_own_syntax_and_plain_text_are_accepted() {
        for template in [
            "/",
            "/t/{id}",
            "/t/{*rest}",
            "/t/v{id}",
            "/jobs/7:cancel",
            "/a*b",
            "/{{id}}",
            "/a,b;c=[d",
            "/~x",
        ] {
            assert_eq!(checked(template).as_deref(), Ok(template));
        }
        assert_eq!(checked("/%61%c3%A4").as_deref(), Ok("/a%C3%A4"));
    }

    #[test]
    fn templates_of_one_shape_match_the_same_paths() {
        assert!(is_same_shape("/a/{b}", "/a/{c}"));
        assert!(is_same_shape("/v{b}/{*c}", "/v{x}/{*y}"));
        for other in ["/a/{*c}", "/a/{c}/d", "/b/{c}", "/a/x{c}", "/a"] {
            assert!(!is_same_shape("/a/{b}", other), "{other}");
        }
    }
}
