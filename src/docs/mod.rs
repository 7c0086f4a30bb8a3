//! Guides: pages about the whole server, and example programs.
//!
//! Only text. The pages must not know how the server works inside, except its map in `architecture.md`.

#[doc = include_str!("actors.md")]
pub mod actors {}

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("changelog.md")]
pub mod changelog {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[doc = include_str!("embedding.md")]
pub mod embedding {}

/// Complete programs, each in one file.
pub mod examples {
    macro_rules! examples {
        ($($name:ident $file:literal)*) => {
            $(
                #[doc = concat!("The file `", $file, "`:\n\n```ignore\n", include_str!($file), "\n```")]
                pub mod $name {}
            )*
        };
    }

    examples! {
        hello_world "examples/hello_world.rs"
        users "examples/users.rs"
        key_value_store "examples/key_value_store.rs"
        todos "examples/todos.rs"
        ticks "examples/ticks.rs"
        websocket_chat "examples/websocket_chat.rs"
        chat "examples/chat.rs"
        rate_limiter "examples/rate_limiter.rs"
        jobs "examples/jobs.rs"
        axum_behind "examples/axum_behind.rs"
        embedded "examples/embedded.rs"
    }
}

#[doc = include_str!("events.md")]
pub mod events {}

#[cfg(feature = "files")]
#[doc = include_str!("files.md")]
pub mod files {}

#[doc = include_str!("grpc.md")]
pub mod grpc {}

#[doc = include_str!("http2.md")]
pub mod http2 {}

#[cfg(feature = "ws")]
#[doc = include_str!("hub.md")]
pub mod hub {}

#[cfg(feature = "jwt")]
#[doc = include_str!("identity.md")]
pub mod identity {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("soak.md")]
pub mod soak {}

#[doc = include_str!("topics.md")]
pub mod topics {}

#[cfg(feature = "tls")]
#[doc = include_str!("tls.md")]
pub mod tls {}

#[cfg(feature = "ws")]
#[doc = include_str!("websocket.md")]
pub mod websocket {}

/// README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    const README: &str = include_str!("../../README.md");

    const OPERATING: &str = include_str!("operating.md");

    #[test]
    fn the_operating_page_lists_every_metric_with_its_labels() {
        for metric in crate::metrics::catalog::ALL {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "—".to_owned() } else { labels.join(", ") };
            let row = format!("| `{}` | {labels} | ", metric.name);
            assert!(OPERATING.contains(&row), "operating.md lacks: {row}");
        }
        let rows = OPERATING.lines().filter(|line| line.starts_with("| `windlass_")).count();
        assert_eq!(
            rows,
            crate::metrics::catalog::ALL.len(),
            "operating.md names a metric that does not exist"
        );
    }

    #[test]
    fn the_embedding_page_lists_every_feature() {
        let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
        let features = manifest["features"].as_table().unwrap().keys().filter(|name| *name != "default");
        let features: BTreeSet<_> = features.map(String::as_str).collect();
        let rows = include_str!("embedding.md").split("| feature |").nth(1).unwrap().lines().skip(2);
        let rows = rows.map_while(|row| row.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.collect::<BTreeSet<_>>(), features);
    }

    #[test]
    fn readme_is_read_in_two_minutes() {
        assert!(README.lines().count() < 120, "{} lines", README.lines().count());
    }

    #[test]
    fn readme_has_a_short_example() {
        let example = README.split("```rust,no_run\n").nth(1).unwrap().split("```").next().unwrap();
        assert!(example.lines().count() <= 30, "{} lines", example.lines().count());
    }

    #[test]
    fn readme_links_only_files_that_exist() {
        for link in README.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
            assert!(link.starts_with("https://") || file.exists(), "{link}");
        }
    }
}
