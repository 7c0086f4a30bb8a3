//! Static files of the binary: the flag `--files` and the `[[files]]` sections of the file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use http::StatusCode;
use serde::Deserialize;

use windlass::{Route, files::Settings, static_dir_with, static_file_with};

/// A `[[files]]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilesConfig {
    /// Path of the route.
    #[serde(default = "root")]
    path: String,
    /// Directory that is served. Either this or `file` is set.
    dir: Option<PathBuf>,
    /// File that is served.
    file: Option<PathBuf>,
    index: Option<Vec<String>>,
    fallback: Option<String>,
    /// Error pages by status.
    #[serde(default)]
    error_pages: BTreeMap<String, String>,
    precompressed: Option<bool>,
    follow_symlinks: Option<bool>,
    hidden: Option<bool>,
    cache_control: Option<String>,
    #[serde(default)]
    cache_rules: Vec<CacheRule>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    content_types: BTreeMap<String, String>,
    cache_file_bytes: Option<usize>,
    cache_bytes: Option<usize>,
    #[serde(default, deserialize_with = "duration")]
    check_interval: Option<Duration>,
}

/// A rule of `cache_rules`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheRule {
    files: String,
    value: String,
}

fn root() -> String {
    "/".to_owned()
}

fn duration<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(value)?;
    humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

impl FilesConfig {
    /// Returns a section that serves a directory at `/` with the default options.
    pub(super) fn of_dir(dir: &Path) -> Self {
        Self {
            path: root(),
            dir: Some(dir.to_owned()),
            file: None,
            index: None,
            fallback: None,
            error_pages: BTreeMap::new(),
            precompressed: None,
            follow_symlinks: None,
            hidden: None,
            cache_control: None,
            cache_rules: Vec::new(),
            headers: BTreeMap::new(),
            content_types: BTreeMap::new(),
            cache_file_bytes: None,
            cache_bytes: None,
            check_interval: None,
        }
    }

    /// Returns `true` if the section takes the place of the live page.
    pub(super) fn is_at_root(&self) -> bool {
        self.path == "/"
    }

    /// Returns the route of the section. Checks that its directory, or that of its file, can be opened: if
    /// not, the server does not start.
    ///
    /// # Errors
    ///
    /// A text for the user: a key is wrong.
    pub(super) fn route(&self) -> Result<Route, String> {
        let settings = self.settings()?;
        match (&self.dir, &self.file) {
            (Some(dir), None) if !dir.is_dir() => {
                Err(format!("[[files]] at {}: `{}` is not a directory", self.path, dir.display()))
            }
            (Some(dir), None) => Ok(static_dir_with(&self.path, dir, settings)),
            (None, Some(file)) => Ok(static_file_with(&self.path, file, settings)),
            _ => Err(format!("[[files]] at {}: set either dir or file", self.path)),
        }
    }

    fn settings(&self) -> Result<Settings, String> {
        let mut settings = Settings::new();
        let set = |settings: Settings, key: Option<bool>, with: fn(Settings, bool) -> Settings| match key {
            Some(value) => with(settings, value),
            None => settings,
        };
        settings = set(settings, self.precompressed, Settings::precompressed);
        settings = set(settings, self.follow_symlinks, Settings::follow_symlinks);
        settings = set(settings, self.hidden, Settings::hidden);
        if let Some(index) = &self.index {
            settings = settings.index(index.clone());
        }
        if let Some(fallback) = &self.fallback {
            settings = settings.fallback(fallback);
        }
        for (status, file) in &self.error_pages {
            let code = StatusCode::from_bytes(status.as_bytes());
            let code = code.map_err(|_| format!("[[files]] at {}: {status} is no status", self.path))?;
            settings = settings.error_page(code, file);
        }
        for CacheRule { files, value } in &self.cache_rules {
            settings = settings.cache_control_for(files, value.as_str());
        }
        if let Some(value) = &self.cache_control {
            settings = settings.cache_control(value.as_str());
        }
        for (name, value) in &self.headers {
            settings = settings.header(name.as_str(), value.as_str());
        }
        for (extension, value) in &self.content_types {
            settings = settings.content_type(extension, value.as_str());
        }
        if let Some(bytes) = self.cache_file_bytes {
            settings = settings.cache_file_bytes(bytes);
        }
        if let Some(bytes) = self.cache_bytes {
            settings = settings.cache_bytes(bytes);
        }
        if let Some(interval) = self.check_interval {
            settings = settings.check_interval(interval);
        }
        Ok(settings)
    }
}
