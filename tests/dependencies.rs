//! Checks the dependency graph against the licence, ban and source rules of `deny.toml`, with cargo alone.
//!
//! cargo-deny reads the same file and also checks advisories, but takes minutes to install; see
//! `scripts/check.sh`.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde::Deserialize;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Content of `deny.toml`. Unknown keys are errors, because this test would not check their rules.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Rules {
    graph: Graph,
    /// Checked by cargo-deny only, because advisories need a separate database.
    #[serde(rename = "advisories")]
    _advisories: toml::Table,
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Graph {
    targets: Vec<String>,
    all_features: bool,
    /// Workspace packages that are not checked, together with packages that only they depend on.
    exclude: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Licences {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "confidence-threshold")]
    _confidence_threshold: f64,
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

/// Licences that are allowed for one crate only.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Exception {
    allow: Vec<String>,
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Bans {
    wildcards: Level,
    /// Path dependencies within the workspace need no version.
    allow_wildcard_paths: bool,
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Level,
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Ban {
    /// Name of the banned crate, optionally with a colon and the banned versions.
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Sources {
    unknown_registry: Level,
    unknown_git: Level,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Deny,
    Warn,
    Allow,
}

/// Part of the output of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Clone, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

#[test]
fn the_dependencies_obey_the_rules_of_deny_toml() {
    let rules: Rules = toml::from_str(&std::fs::read_to_string(top().join("deny.toml")).unwrap()).unwrap();
    assert!(rules.graph.all_features);
    let packages = packages(&rules.graph);
    assert!(packages.len() > 150, "only {} packages", packages.len());
    let faults = faults(&rules, packages.values());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    for Exception { name, .. } in &rules.licenses.exceptions {
        let used = packages.values().any(|package| package.name == *name);
        assert!(used, "deny.toml: remove the exception for `{name}`, which is not a dependency");
    }
}

#[test]
fn a_package_that_breaks_a_rule_is_reported() {
    let rules: Rules = toml::from_str(&std::fs::read_to_string(top().join("deny.toml")).unwrap()).unwrap();
    let good = Package {
        id: "good".to_owned(),
        name: "good".to_owned(),
        version: "0.4.15".to_owned(),
        license: Some("MIT".to_owned()),
        source: Some(CRATES_IO.to_owned()),
        dependencies: Vec::new(),
    };
    let wildcard = Dependency { name: "rand".to_owned(), req: "*".to_owned(), path: None };
    let bad = [
        (Package { license: Some("GPL-3.0-only".to_owned()), ..good.clone() }, "GPL-3.0-only"),
        (Package { license: Some("MPL-2.0".to_owned()), ..good.clone() }, "MPL-2.0"),
        (Package { license: None, ..good.clone() }, "no licence"),
        (Package { name: "openssl-sys".to_owned(), ..good.clone() }, "rustls is the TLS"),
        (Package { name: "h2".to_owned(), ..good.clone() }, "RUSTSEC-2026-0258"),
        (Package { source: Some("git+https://example.com/a".to_owned()), ..good.clone() }, "git+https"),
        (Package { source: Some("registry+https://example.com".to_owned()), ..good.clone() }, "registry"),
        (Package { source: None, dependencies: vec![wildcard], ..good.clone() }, "rand"),
    ];
    for (package, word) in bad {
        let faults = faults(&rules, [&package]);
        assert!(faults.len() == 1 && faults[0].contains(word), "{word}: {faults:?}");
    }
    let newer = Package { name: "h2".to_owned(), version: "0.4.16".to_owned(), ..good.clone() };
    let excepted =
        Package { name: "bitmaps".to_owned(), license: Some("MPL-2.0+".to_owned()), ..good.clone() };
    assert!(faults(&rules, [&good, &newer, &excepted]).is_empty());
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the packages of the graphs of all targets by ID.
fn packages(graph: &Graph) -> BTreeMap<String, Package> {
    let mut found = BTreeMap::new();
    for target in &graph.targets {
        let Metadata { packages, workspace_members, resolve } = metadata(target);
        let edges: BTreeMap<_, _> =
            resolve.nodes.into_iter().map(|node| (node.id, node.dependencies)).collect();
        let by_id: BTreeMap<_, _> =
            packages.into_iter().map(|package| (package.id.clone(), package)).collect();
        for name in &graph.exclude {
            assert!(by_id.values().any(|package| package.name == *name), "deny.toml excludes {name}");
        }
        let included = |id: &String| !graph.exclude.contains(&by_id[id].name);
        let mut open: Vec<String> = workspace_members.into_iter().filter(included).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id.clone()) {
                open.extend(edges[&id].iter().cloned());
                found.insert(id.clone(), by_id[&id].clone());
            }
        }
    }
    found
}

fn metadata(target: &str) -> Metadata {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--all-features"]);
    let output = command.args(["--filter-platform", target]).current_dir(top()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn faults<'a>(rules: &Rules, packages: impl IntoIterator<Item = &'a Package>) -> Vec<String> {
    packages.into_iter().flat_map(|package| faults_of(rules, package)).collect()
}

fn faults_of(rules: &Rules, package: &Package) -> Vec<String> {
    let Package { name, version, .. } = package;
    let mut faults = Vec::new();
    let exceptions = rules.licenses.exceptions.iter().filter(|exception| exception.name == *name);
    let allowed: Vec<&String> =
        rules.licenses.allow.iter().chain(exceptions.flat_map(|exception| &exception.allow)).collect();
    match &package.license {
        None => faults.push(format!("{name} {version}: no licence")),
        Some(licence) if !licence_is_met(licence, &|name| allowed.iter().any(|allowed| *allowed == name)) => {
            faults.push(format!("{name} {version}: the licence {licence} is not allowed"));
        }
        Some(_) => {}
    }
    for Ban { spec, reason } in &rules.bans.deny {
        let (banned, below) = spec.split_once(":<").unwrap_or((spec, ""));
        assert!(!banned.contains(':'), "deny.toml: expected `name:<version`, found `{spec}`");
        if name == banned && (below.is_empty() || numbers(version) < numbers(below)) {
            faults.push(format!("{name} {version}: banned: {reason}"));
        }
    }
    if rules.bans.wildcards == Level::Deny && package.source.is_none() {
        let excused = |dependency: &Dependency| rules.bans.allow_wildcard_paths && dependency.path.is_some();
        let wild =
            package.dependencies.iter().filter(|dependency| dependency.req == "*" && !excused(dependency));
        faults.extend(
            wild.map(|dependency| format!("{name}: depends on {} with a wildcard version", dependency.name)),
        );
    }
    if let Some(source) = package.source.as_deref().filter(|source| *source != CRATES_IO) {
        let Sources { unknown_registry, unknown_git } = rules.sources;
        let level = if source.starts_with("git+") { unknown_git } else { unknown_registry };
        if level == Level::Deny {
            faults.push(format!("{name} {version}: comes from {source}"));
        }
    }
    faults
}

/// Returns the numbers of a version, without pre-release and build metadata.
fn numbers(version: &str) -> Vec<u64> {
    let end = version.find(['-', '+']).unwrap_or(version.len());
    version[..end].split('.').map(|number| number.parse().unwrap()).collect()
}

/// Returns `true` if the allowed licences satisfy an SPDX expression. AND takes precedence over OR. `/` is an
/// old form of OR.
fn licence_is_met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().collect::<Vec<_>>();
    words.reverse();
    let met = alternatives(&mut words, allowed);
    assert!(words.is_empty(), "cannot read the licence {expression}");
    met
}

/// Parses terms joined by OR. `words` is in reverse order.
fn alternatives(words: &mut Vec<&str>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = conjunction(words, allowed);
    while words.last() == Some(&"OR") {
        words.pop();
        met |= conjunction(words, allowed);
    }
    met
}

/// Parses terms joined by AND.
fn conjunction(words: &mut Vec<&str>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = term(words, allowed);
    while words.last() == Some(&"AND") {
        words.pop();
        met &= term(words, allowed);
    }
    met
}

/// Parses a licence, with its exception if it has one, or an expression in parentheses.
fn term(words: &mut Vec<&str>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let word = words.pop().expect("expression should contain a licence");
    if word == "(" {
        let met = alternatives(words, allowed);
        assert_eq!(words.pop(), Some(")"));
        return met;
    }
    if words.last() == Some(&"WITH") {
        let exception = words.split_off(words.len() - 2)[0];
        return allowed(&format!("{word} WITH {exception}"));
    }
    // A `+` means "or any later version"; the version itself is one of the choices.
    allowed(word.trim_end_matches('+'))
}

#[test]
fn licence_expressions_follow_the_rules_of_spdx() {
    let met = |expression| licence_is_met(expression, &|name| ["MIT", "ISC", "Apache-2.0"].contains(&name));
    for expression in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/BSL-1.0",
        "(MIT OR GPL-3.0) AND ISC",
        "GPL-3.0 AND BSL-1.0 OR MIT",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR GPL-3.0",
    ] {
        assert!(met(expression), "{expression}");
    }
    for expression in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "MIT AND (GPL-3.0 OR BSL-1.0)",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(!met(expression), "{expression}");
    }
}
