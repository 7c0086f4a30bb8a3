//! Every script prints its usage and refuses wrong arguments before it builds or starts anything.
//!
//! The tests read the options and their values from the usage text of each script, so they cover a new script
//! or option without a change here. The name that an option gives to its value says what the value is: see
//! [`WRONG_VALUES`].
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

/// Names of values in usage texts, each with values that must be refused.
const WRONG_VALUES: &[(&str, &[&str])] = &[
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

/// Positional arguments in usage texts, each with a value that must be refused. A test filter may be
/// anything.
const WRONG_ARGUMENTS: &[(&str, Option<&str>)] = &[
    ("CASE", Some("unknown case")),
    ("LIBRARY", Some("unknown library")),
    ("STEP", Some("unknown step")),
    ("FILTER", None),
];

/// An option of a script, with the name of its value if it takes one.
#[derive(Debug)]
struct Opt {
    name: String,
    value: Option<String>,
}

struct Script {
    /// The file name, which starts each error message.
    name: String,
    usage: String,
}

impl Script {
    /// Runs the script. There is no cargo on its path and no binary where it looks for one: an argument that
    /// it does not refuse ends in a different message.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(top().join("scripts").join(&self.name));
        command.args(arguments).current_dir("/").stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("CARGO", "false").env("CARGO_TARGET_DIR", "/nonexistent");
        for variable in ["WINDLASS_BIN", "WINDLASS_AUTOBAHN", "GRPC_SOURCES"] {
            command.env_remove(variable);
        }
        command.output().unwrap()
    }

    /// Asserts that the script refuses the arguments with one line that has all these words.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &[&str]) {
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
        assert!(usage.contains("\nNeeds "), "{} does not say what it needs: {usage}", script.name);
        assert!(usage.lines().all(|line| line.chars().count() <= 110), "{}: {usage}", script.name);
        // The comment ends where the code begins.
        let code = |line: &str| line.starts_with("source ") || line.starts_with("set ");
        assert!(!usage.lines().any(code), "{}: {usage}", script.name);
    }
}

#[test]
fn options_that_do_not_exist_are_refused() {
    for script in scripts() {
        script.refuses(&["--no-such-option"], &["--no-such-option", "--help"]);
        script.refuses(&["-x"], &["-x", "--help"]);
        for name in script.positional() {
            let (_, wrong) = WRONG_ARGUMENTS.iter().find(|(known, _)| *known == name).unwrap();
            if let Some(wrong) = wrong {
                script.refuses(&[wrong], &[wrong]);
            }
        }
        if script.positional().is_empty() {
            script.refuses(&["argument"], &["unexpected argument 'argument'"]);
        }
    }
}

#[test]
fn options_without_their_value_are_refused() {
    for script in scripts() {
        for Opt { name, value } in script.options() {
            if value.is_some() {
                script.refuses(&[&name], &[&name, "needs a value"]);
            }
        }
    }
}

#[test]
fn wrong_values_are_refused() {
    let mut refused = 0;
    for script in scripts() {
        for Opt { name, value } in script.options() {
            let Some(value) = value else { continue };
            let known = WRONG_VALUES.iter().find(|(known, _)| *known == value);
            let (_, wrong) = known
                .unwrap_or_else(|| panic!("{} {name}: give {value} a line in WRONG_VALUES", script.name));
            for wrong in *wrong {
                script.refuses(&[&name, wrong], &[&name]);
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn contradictions_are_refused() {
    let script = |name: &str| Script { name: name.to_owned(), usage: String::new() };
    script("soak.sh").refuses(&["--ab", "--target", "http://127.0.0.1:1/"], &["--ab", "--target"]);
    let dropped = ["--nothing-dropped", "--target", "http://127.0.0.1:1/"];
    script("soak.sh").refuses(&dropped, &["--nothing-dropped", "--target"]);
    script("autobahn.sh").refuses(&["--record", "1.1.1"], &["--record"]);
    for name in ["bench.sh", "fanout.sh"] {
        script(name)
            .refuses(&["--server-core", "0", "--client-core", "0"], &["--server-core", "--client-core"]);
    }
    script("matrix.sh").refuses(&["--cells", "http"], &["no cell matches"]);
    script("mailbox.sh").refuses(&["tell", "flume", "more"], &["unexpected argument 'more'"]);
    script("asan.sh").refuses(&["net::", "conn::"], &["unexpected argument 'conn::'"]);
    script("instructions.sh").refuses(&["--check", "--write"], &["--write"]);
}

#[test]
fn usage_texts_are_read_as_they_are_meant() {
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
