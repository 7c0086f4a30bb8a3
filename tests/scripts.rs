//! Every script prints its usage and rejects invalid arguments before it builds or starts anything.
//!
//! The tests read the options and their values from the usage text of each script, so new scripts and options
//! are covered. The value name of an option, such as `CORE`, selects its invalid values from
//! [`INVALID_VALUES`].
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

/// Value names in usage texts, each with values that must be rejected.
const INVALID_VALUES: &[(&str, &[&str])] = &[
    ("N", &["0", "-1", "1.5", "three", "", "9999999999", "--quick"]),
    ("R", &["0", "-1", "many", "", "0.0"]),
    ("TIME", &["0", "-1", "soon", "", "10 minutes"]),
    ("CORE", &["-1", "9999", "first", ""]),
    ("CORES", &["-1", "9999", "0,", "0;1", ""]),
    ("A,B", &["0", "0,0", "0,9999", "0-1", ""]),
    ("ENGINE", &["kqueue", "", "io_uring epoll"]),
    ("NAME", &["unknown", "", "h1 h2"]),
    ("NAMES", &["unknown", "", "plain-64,unknown"]),
    ("FILE", &["/nonexistent", "", "/"]),
    ("GLOBS", &[""]),
    ("ARGUMENT", &[""]),
    ("COMMAND", &[""]),
    ("URL", &["", "127.0.0.1:80"]),
    ("DIR", &[""]),
];

/// Positional arguments in usage texts, each with a value that must be rejected. A test filter may be
/// anything.
const INVALID_ARGUMENTS: &[(&str, Option<&str>)] = &[
    ("CASE", Some("unknown case")),
    ("LIBRARY", Some("unknown library")),
    ("STEP", Some("unknown step")),
    ("FILTER", None),
];

/// Option of a script, with its value name if it takes a value.
#[derive(Debug)]
struct Opt {
    name: String,
    value: Option<String>,
}

struct Script {
    /// File name, which starts each error message.
    name: String,
    usage: String,
}

impl Script {
    /// Runs the script without cargo in its path and without a binary, so that an argument it accepts causes
    /// a different error.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(top().join("scripts").join(&self.name));
        command.args(arguments).current_dir("/").stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("CARGO", "false").env("CARGO_TARGET_DIR", "/nonexistent");
        for variable in ["WINDLASS_BIN", "WINDLASS_AUTOBAHN", "GRPC_SOURCES"] {
            command.env_remove(variable);
        }
        command.output().unwrap()
    }

    /// Asserts that the script rejects the arguments with one line that contains all these words.
    #[track_caller]
    fn rejects(&self, arguments: &[&str], words: &[&str]) {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        let shown = format!("{} {arguments:?}: {error}", self.name);
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(output.stdout.is_empty(), "{shown} printed {}", output.stdout.escape_ascii());
        assert_eq!(error.lines().count(), 1, "{shown}");
        let message = error.strip_prefix(&format!("{}: ", self.name)).unwrap_or_else(|| panic!("{shown}"));
        for word in words {
            assert!(message.contains(word), "no {word:?} in {shown}");
        }
    }

    /// Returns the options that the usage text lists, one per line.
    fn options(&self) -> Vec<Opt> {
        let lines = self.usage.lines().filter_map(|line| line.strip_prefix("  --"));
        let described = lines.filter_map(|line| line.trim_start().split_once("  "));
        let option = |(head, _): (&str, &str)| match head.split_once(' ') {
            Some((name, value)) => Opt { name: format!("--{name}"), value: Some(value.to_owned()) },
            None => Opt { name: format!("--{head}"), value: None },
        };
        described.map(option).filter(|option| option.name != "--").collect()
    }

    /// Returns the names of the positional arguments in the usage line.
    fn positional(&self) -> Vec<&str> {
        let line = self.usage.lines().find_map(|line| line.strip_prefix("usage: ")).unwrap();
        let line = line.split(" [-- ").next().unwrap();
        let words = line.split(|c: char| !c.is_ascii_alphabetic() && c != '-').filter(|word| word.len() > 1);
        words.filter(|word| word.chars().all(|c| c.is_ascii_uppercase()) && *word != "OPTION").collect()
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn scripts() -> Vec<Script> {
    let names = fs::read_dir(top().join("scripts")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".sh"));
    let mut scripts: Vec<_> = names.map(|name| Script { name, usage: String::new() }).collect();
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    for script in &mut scripts {
        script.usage = String::from_utf8(script.run(&["--help"]).stdout).unwrap();
    }
    assert!(scripts.len() > 10);
    scripts
}

#[test]
fn every_script_prints_its_usage() {
    for script in scripts() {
        for flag in ["--help", "-h"] {
            let output = script.run(&[flag]);
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{} {flag}: {output:?}",
                script.name
            );
        }
        let usage = &script.usage;
        assert!(usage.contains(&format!("\nusage: scripts/{}", script.name)), "{}: {usage}", script.name);
        assert!(usage.contains("\nNeeds "), "{} should state what it needs: {usage}", script.name);
        assert!(usage.lines().all(|line| line.chars().count() <= 110), "{}: {usage}", script.name);
        // The usage text ends before the code.
        let code = |line: &str| line.starts_with("source ") || line.starts_with("set ");
        assert!(!usage.lines().any(code), "{}: {usage}", script.name);
    }
}

#[test]
fn unknown_options_and_arguments_are_rejected() {
    for script in scripts() {
        script.rejects(&["--no-such-option"], &["--no-such-option", "--help"]);
        script.rejects(&["-x"], &["-x", "--help"]);
        for name in script.positional() {
            let (_, wrong) = INVALID_ARGUMENTS.iter().find(|(known, _)| *known == name).unwrap();
            if let Some(wrong) = wrong {
                script.rejects(&[wrong], &[wrong]);
            }
        }
        if script.positional().is_empty() {
            script.rejects(&["argument"], &["unexpected argument 'argument'"]);
        }
    }
}

#[test]
fn options_without_a_value_are_rejected() {
    for script in scripts() {
        for Opt { name, value } in script.options() {
            if value.is_some() {
                script.rejects(&[&name], &[&name, "needs a value"]);
            }
        }
    }
}

#[test]
fn invalid_values_are_rejected() {
    let mut rejected = 0;
    for script in scripts() {
        for Opt { name, value } in script.options() {
            let Some(value) = value else { continue };
            let known = INVALID_VALUES.iter().find(|(known, _)| *known == value);
            let (_, wrong) =
                known.unwrap_or_else(|| panic!("{} {name}: add {value} to INVALID_VALUES", script.name));
            for wrong in *wrong {
                script.rejects(&[&name, wrong], &[&name]);
                rejected += 1;
            }
        }
    }
    assert!(rejected > 100, "{rejected}");
}

#[test]
fn contradicting_options_are_rejected() {
    let script = |name: &str| Script { name: name.to_owned(), usage: String::new() };
    script("soak.sh").rejects(&["--ab", "--target", "http://127.0.0.1:1/"], &["--ab", "--target"]);
    let dropped = ["--nothing-dropped", "--target", "http://127.0.0.1:1/"];
    script("soak.sh").rejects(&dropped, &["--nothing-dropped", "--target"]);
    script("autobahn.sh").rejects(&["--record", "1.1.1"], &["--record"]);
    for name in ["bench.sh", "fanout.sh"] {
        script(name)
            .rejects(&["--server-core", "0", "--client-core", "0"], &["--server-core", "--client-core"]);
    }
    script("matrix.sh").rejects(&["--cells", "http"], &["no cell matches"]);
    script("mailbox.sh").rejects(&["tell", "flume", "more"], &["unexpected argument 'more'"]);
    script("asan.sh").rejects(&["net::", "conn::"], &["unexpected argument 'conn::'"]);
    script("instructions.sh").rejects(&["--check", "--write"], &["--write"]);
}

#[test]
fn usage_texts_are_parsed_correctly() {
    let soak = scripts().into_iter().find(|script| script.name == "soak.sh").unwrap();
    let options = soak.options();
    let named = |name: &str| options.iter().find(|option| option.name == name).unwrap();
    assert_eq!(named("--duration").value.as_deref(), Some("TIME"));
    assert!(
        named("--ab").value.is_none() && soak.positional().is_empty(),
        "{options:?} {:?}",
        soak.positional()
    );
    let mailbox = scripts().into_iter().find(|script| script.name == "mailbox.sh").unwrap();
    assert_eq!(mailbox.positional(), ["CASE", "LIBRARY"]);
}
