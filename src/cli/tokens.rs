//! Tokens, which a file or the environment can hold: the flags of a process are visible to every user of its
//! machine.

use std::{
    env::{self, VarError},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Maximum size of a token's file, bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// A text, or the file that holds it.
pub(super) type TokenOptions = (Option<String>, Option<PathBuf>);

/// A token, or the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Text(String),
    File(PathBuf),
}

impl Token {
    /// Returns the text of a token: of the flags, else of the environment, else of the configuration file.
    /// Returns `None` if none of them sets it. `name` is its key in the file.
    pub(super) fn resolve(
        name: &str,
        (text, file): TokenOptions,
        variable: &str,
        (configured_text, configured_file): TokenOptions,
    ) -> Result<Option<String>, String> {
        let configured = Self::from_options(name, configured_text, configured_file)?;
        let token = match Self::from_options(name, text, file)? {
            Some(token) => Some(token),
            None => Self::from_environment(variable)?.or(configured),
        };
        token.map(|token| token.read(name)).transpose()
    }

    /// Returns the token if a text or a file is set, and `None` if neither is. Returns an error text if both
    /// are. `name` is the key of the text.
    fn from_options(name: &str, text: Option<String>, file: Option<PathBuf>) -> Result<Option<Self>, String> {
        match (text, file) {
            (Some(_), Some(_)) => Err(format!("{name} and {name}_file are both set: remove one of them")),
            (Some(text), None) => Ok(Some(Self::Text(text))),
            (None, file) => Ok(file.map(Self::File)),
        }
    }

    /// Returns the token in an environment variable, or `None` if it is not set.
    fn from_environment(variable: &str) -> Result<Option<Self>, String> {
        match env::var(variable) {
            Ok(text) => Ok(Some(Self::Text(text))),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(format!("the environment variable {variable} is not UTF-8")),
        }
    }

    /// Returns the text of the token, from the file if it is in one. A line end at the end of the file is no
    /// part of the token.
    ///
    /// # Errors
    ///
    /// The file cannot be read, the token is empty, or clients could not send it in a header field.
    fn read(&self, name: &str) -> Result<String, String> {
        let (origin, text) = match self {
            Self::Text(text) => (String::new(), text.clone()),
            Self::File(path) => (format!(" in {}", path.display()), read(name, path)?),
        };
        if text.is_empty() {
            return Err(format!(
                "topics: {name}{origin} is empty: write a secret text, or remove the setting"
            ));
        }
        // RFC 9110 §5.5: field values have no control characters, and no white space at their ends.
        if text.trim() != text || text.contains(char::is_control) {
            return Err(format!(
                "{name}{origin} has a control character, or white space at an end, which clients \
                 cannot send in a header field: remove it"
            ));
        }
        Ok(text)
    }
}

fn read(name: &str, path: &Path) -> Result<String, String> {
    let unusable =
        |reason: &dyn std::fmt::Display| format!("cannot read {name} from {}: {reason}", path.display());
    let file = File::open(path).map_err(|error| unusable(&error))?;
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| unusable(&error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unusable(&"the file is larger than 64 KiB"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
