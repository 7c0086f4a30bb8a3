//! Options of a route for static files.

use std::{fmt, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};

/// Options of a route for static files. See [`static_dir_with`](crate::static_dir_with).
///
/// ```
/// use windlass::{Router, files::Settings, static_dir_with};
/// # let dir = std::env::temp_dir();
/// let settings = Settings::new()
///     .precompressed(true)
///     .cache_control("no-cache")
///     .cache_control_for("assets/", "public, max-age=31536000, immutable");
/// let router = Router::new().route(static_dir_with("/app", dir, settings));
/// ```
///
/// An invalid option, such as a header with a line break, is an error of the server's start.
#[derive(Clone)]
pub struct Settings {
    pub(super) index: Vec<String>,
    pub(super) precompressed: bool,
    pub(super) follow_symlinks: bool,
    pub(super) hidden: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) cache_file_bytes: usize,
    pub(super) cache_bytes: usize,
    pub(super) check_interval: Duration,
    fallback: Option<String>,
    error_pages: Vec<(StatusCode, String)>,
    cache_control: Option<HeaderValue>,
    cache_rules: Vec<(String, HeaderValue)>,
    content_types: Vec<(String, HeaderValue)>,
    problem: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            index: vec!["index.html".to_owned()],
            precompressed: false,
            follow_symlinks: true,
            hidden: false,
            headers: Vec::new(),
            cache_file_bytes: 64 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            check_interval: Duration::from_secs(1),
            fallback: None,
            error_pages: Vec::new(),
            cache_control: None,
            cache_rules: Vec::new(),
            content_types: Vec::new(),
            problem: None,
        }
    }
}

impl Settings {
    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the names of index files, in the order in which they are looked for. They answer requests for a
    /// directory. Default: `index.html`. Without any, such requests get `404`. Directories are never listed.
    #[must_use]
    pub fn index<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        Self { index: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the file that answers, with status `200`, requests for names that do not exist, as single-page
    /// applications need it. The name is relative to the directory. Default: none.
    ///
    /// It does not answer requests for names with an extension, such as `/app.js`: they get `404`.
    #[must_use]
    pub fn fallback(self, file: impl Into<String>) -> Self {
        Self { fallback: Some(file.into()), ..self }
    }

    /// Sets the file whose content is the body of error responses with this status. The name is relative to
    /// the directory. Default: a line of plain text.
    ///
    /// It applies to the responses of this route: `404`, `403`, `406`, `412`, `416` and `503`.
    #[must_use]
    pub fn error_page(mut self, status: StatusCode, file: impl Into<String>) -> Self {
        self.error_pages.retain(|(known, _)| *known != status);
        self.error_pages.push((status, file.into()));
        self
    }

    /// Serves the files `name.br`, `name.zst` and `name.gz` instead of `name` to clients that accept these
    /// codings. Default: `false`.
    ///
    /// The client's weights decide; without a preference the order is `br`, `zstd`, `gzip`. A compressed file
    /// that is older than `name` is ignored. Each is also served under its own name.
    #[must_use]
    pub fn precompressed(self, precompressed: bool) -> Self {
        Self { precompressed, ..self }
    }

    /// Follows symbolic links that are relative and lead to a place below the directory. Default: `true`.
    /// With
    /// `false` no link is followed. Links that lead out of the directory are never followed.
    #[must_use]
    pub fn follow_symlinks(self, follow_symlinks: bool) -> Self {
        Self { follow_symlinks, ..self }
    }

    /// Serves files and directories whose names begin with a dot. Default: `false`: they get `404`, except
    /// `.well-known`.
    #[must_use]
    pub fn hidden(self, hidden: bool) -> Self {
        Self { hidden, ..self }
    }

    /// Sets the `Cache-Control` header of all files without a rule of their own. Default: none.
    #[must_use]
    pub fn cache_control(mut self, value: impl TryInto<HeaderValue>) -> Self {
        self.cache_control = self.value("cache-control", value);
        self
    }

    /// Sets the `Cache-Control` header of the files that match a pattern. The first rule that matches
    /// applies.
    ///
    /// A pattern is a file, such as `app/index.html`; all files below a directory, such as `assets/`; or all
    /// files with an extension, such as `*.js`. It applies to the name of the file that is sent, for example
    /// of the index file, relative to the directory.
    #[must_use]
    pub fn cache_control_for(mut self, pattern: &str, value: impl TryInto<HeaderValue>) -> Self {
        if let Some(value) = self.value("cache-control", value) {
            self.cache_rules.push((pattern.to_owned(), value));
        }
        self
    }

    /// Adds a header to all responses of the route.
    #[must_use]
    pub fn header(mut self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        match name.try_into() {
            Ok(name) => {
                if let Some(value) = self.value(name.as_str(), value) {
                    self.headers.push((name, value));
                }
            }
            Err(_) => {
                self.problem.get_or_insert("a header has an invalid name".to_owned());
            }
        }
        self
    }

    /// Sets the `Content-Type` of files with an extension, such as `wasm`. Default: by a table of common
    /// extensions, and `application/octet-stream` for others. Text types of the table have the parameter
    /// `charset=utf-8`.
    #[must_use]
    pub fn content_type(mut self, extension: &str, value: impl TryInto<HeaderValue>) -> Self {
        if let Some(value) = self.value("content-type", value) {
            self.content_types.push((extension.to_ascii_lowercase(), value));
        }
        self
    }

    /// Sets the size up to which the content of a file is kept in memory, bytes. Default 64 KiB. Larger files
    /// are kept open and read from the page cache.
    #[must_use]
    pub fn cache_file_bytes(self, bytes: usize) -> Self {
        Self { cache_file_bytes: bytes, ..self }
    }

    /// Sets the maximum size of all content that is kept in memory for the route, bytes. Default 64 MiB. At
    /// most 512 files are kept, whatever their size.
    ///
    /// It must be at least 32 times [`cache_file_bytes`](Self::cache_file_bytes), otherwise the largest of
    /// the small files are read for each request.
    #[must_use]
    pub fn cache_bytes(self, bytes: usize) -> Self {
        Self { cache_bytes: bytes, ..self }
    }

    /// Sets the time after which a file is checked for changes when it is requested. Default 1 s. A change
    /// becomes visible after at most twice this time. With zero every request waits for a check.
    #[must_use]
    pub fn check_interval(self, interval: Duration) -> Self {
        Self { check_interval: interval, ..self }
    }

    /// Converts a header value. Keeps a problem for the start of the server if it is invalid.
    fn value(&mut self, name: &str, value: impl TryInto<HeaderValue>) -> Option<HeaderValue> {
        let value = value.try_into().ok();
        if value.is_none() {
            self.problem.get_or_insert_with(|| format!("the value of the header `{name}` is invalid"));
        }
        value
    }

    /// Returns the first invalid option, as a text.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Returns the file that answers for a name that does not exist.
    pub(super) fn fallback_for(&self, name: &str) -> Option<&str> {
        let last = name.rsplit('/').next().unwrap_or_default();
        self.fallback.as_deref().filter(|_| !last.contains('.'))
    }

    /// Returns the file for error responses with this status.
    pub(super) fn error_page_for(&self, status: StatusCode) -> Option<&str> {
        self.error_pages.iter().find(|(known, _)| *known == status).map(|(_, file)| file.as_str())
    }

    /// Returns the value of `Cache-Control` for a file.
    pub(super) fn cache_control_of(&self, name: &str) -> Option<HeaderValue> {
        let rule = self.cache_rules.iter().find(|(pattern, _)| is_matched(pattern, name));
        rule.map(|(_, value)| value).or(self.cache_control.as_ref()).cloned()
    }

    /// Returns the value of `Content-Type` for a file.
    pub(super) fn content_type_of(&self, name: &str) -> HeaderValue {
        let file = name.rsplit('/').next().unwrap_or_default();
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        if let Some((_, value)) = self.content_types.iter().find(|(known, _)| *known == extension) {
            return value.clone();
        }
        let guessed = mime_guess::from_ext(&extension).first_raw().unwrap_or("application/octet-stream");
        if guessed.starts_with("text/")
            && let Ok(value) = HeaderValue::try_from(format!("{guessed}; charset=utf-8"))
        {
            return value;
        }
        HeaderValue::from_static(guessed)
    }
}

/// Returns `true` if a pattern of [`Settings::cache_control_for`] matches the name of a file.
fn is_matched(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None if pattern.ends_with('/') => name.starts_with(pattern),
        None => name == pattern,
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Settings");
        debug.field("index", &self.index).field("fallback", &self.fallback);
        debug.field("precompressed", &self.precompressed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_applies() {
        let settings = Settings::new()
            .cache_control("no-cache")
            .cache_control_for("assets/draft.js", "no-store")
            .cache_control_for("assets/", "immutable")
            .cache_control_for("*.js", "max-age=60");
        for (name, value) in [
            ("assets/draft.js", "no-store"),
            ("assets/app.js", "immutable"),
            ("app.js", "max-age=60"),
            ("index.html", "no-cache"),
        ] {
            assert_eq!(settings.cache_control_of(name).unwrap(), value, "{name}");
        }
        assert_eq!(Settings::new().cache_control_of("a"), None);
    }

    #[test]
    fn content_types_are_those_of_the_extension() {
        let settings = Settings::new().content_type("X3D", "model/x3d+xml");
        for (name, value) in [
            ("a/index.html", "text/html; charset=utf-8"),
            ("a.CSS", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.woff2", "font/woff2"),
            ("a.x3d", "model/x3d+xml"),
            ("a.b/c", "application/octet-stream"),
            ("a.tar.gz", "application/gzip"),
            ("a.unknown", "application/octet-stream"),
        ] {
            assert_eq!(settings.content_type_of(name), value, "{name}");
        }
    }

    #[test]
    fn the_fallback_does_not_answer_for_names_with_an_extension() {
        let settings = Settings::new().fallback("app.html");
        assert_eq!(settings.fallback_for("a.b/users"), Some("app.html"));
        assert_eq!(settings.fallback_for("users/"), Some("app.html"));
        assert_eq!(settings.fallback_for("app.js"), None);
        assert_eq!(Settings::new().fallback_for("users"), None);
    }

    #[test]
    fn the_first_invalid_option_is_kept() {
        let settings = Settings::new().header("x-a", "ok").header("x-b", "no\n").header("x c", "ok");
        assert!(settings.problem().unwrap().contains("`x-b`"));
        assert_eq!(Settings::new().header("x-a", "ok").problem(), None);
    }
}
