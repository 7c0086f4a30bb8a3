//! Files of the project in the form that the rules read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::code::blanked;

/// Text file of the project.
pub(crate) struct Source {
    /// Path from the top of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Text with comments and literals replaced by spaces; lines are kept.
    pub(crate) code: String,
    /// Folder of the crate's `lib.rs`.
    pub(crate) root: &'static str,
}

impl Source {
    pub(crate) fn new(path: String, text: String) -> Self {
        Self { path, code: blanked(&text), text, root: "src/" }
    }

    /// Returns the module path from the top of the crate: `proto`, `h1`, `parse` for `src/proto/h1/parse.rs`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inner = self.path.strip_prefix(self.root).unwrap_or(&self.path);
        let stem = inner.strip_suffix(".rs").unwrap_or(inner);
        stem.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }

    /// Returns `true` if the file holds unit tests, which may import anything.
    pub(crate) fn is_test(&self) -> bool {
        let stem = self.path.trim_end_matches(".rs");
        stem.contains("/tests/") || stem.ends_with("tests")
    }

    /// Returns the code without unit tests, which are at the end of a file or in separate files.
    pub(crate) fn product_code(&self) -> &str {
        if self.is_test() {
            return "";
        }
        self.code.split("#[cfg(test)]\nmod tests").next().unwrap_or("")
    }

    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

/// Reads all Rust files of the folders.
pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    files(folders, "rs")
}

/// Reads all files of the folders that have this extension.
pub(crate) fn files(folders: &[&str], extension: &str) -> Vec<Source> {
    let top = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let mut paths = Vec::new();
    folders.iter().for_each(|folder| collect(&top.join(folder), extension, &mut paths));
    assert!(!paths.is_empty(), "no .{extension} file under {folders:?}");
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        Source::new(path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, extension, paths);
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
}
