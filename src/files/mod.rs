//! Static files: routes that serve a directory or one file; must not know connections, engines or the server.
//!
//! - `settings`: the options of a route.
//! - `disk`: opening and reading files, behind a trait.
//! - `jobs`: work that may wait for a disk, on a few threads of the pool.
//! - `lookup`, `entry`, `cache`: from a name to a file that is ready to be sent.
//! - `conditions`, `ranges`, `coding`: the rules of RFC 9110 §13, §14 and §12.5.3, as pure functions.
//! - `respond`, `source`: the response and its body.
//! - `handler`: the handler of the route.

mod cache;
mod coding;
mod conditions;
mod disk;
mod entry;
mod handler;
mod jobs;
mod lookup;
mod name;
mod promise;
mod ranges;
mod respond;
mod settings;
mod source;

#[doc(hidden)]
pub use disk::{FileKind, FileStat, FileSystem, OpenedFile};
#[doc(hidden)]
pub use handler::static_files_over;
pub use handler::{static_dir, static_dir_with, static_file, static_file_with};
pub use settings::Settings;
