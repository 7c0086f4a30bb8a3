//! Compiler messages for wrong handlers and middleware.
//!
//! Each file in `tests/refused` is a program that must not compile. Its `//~` lines must appear in the
//! compiler's output.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// Returns the newest build of the library next to this test binary.
fn library(deps: &Path) -> PathBuf {
    let built = fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap_or_default().to_owned();
    let libraries =
        built.filter(|path| name(path).starts_with("libwindlass-") && name(path).ends_with(".rlib"));
    let age = |path: &PathBuf| {
        fs::metadata(path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    libraries.max_by_key(age).expect("the library is built before its tests")
}

/// Compiles a program against the library. Returns whether it compiled, and the compiler's messages.
fn compile(program: &Path) -> (bool, String) {
    let executable = std::env::current_exe().unwrap();
    let deps = executable.parent().unwrap();
    let out = std::env::temp_dir().join(format!("windlass-refused-{}", std::process::id()));
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--color=never"])
        .arg(format!("--extern=windlass={}", library(deps).display()))
        .arg(format!("-Ldependency={}", deps.display()))
        .arg("-o")
        .arg(&out)
        .arg(program)
        .output()
        .unwrap();
    let _ = fs::remove_file(out);
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_compiler_explains_what_a_wrong_program_needs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let mut programs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.sort();
    assert!(programs.len() >= 5, "{programs:?}");
    let mut faults = Vec::new();
    for program in programs {
        let text = fs::read_to_string(&program).unwrap();
        let (compiles, answer) = compile(&program);
        let expected = text.lines().filter_map(|line| line.strip_prefix("//~ "));
        let missing: Vec<_> = expected.filter(|line| !answer.contains(line)).collect();
        if compiles || !missing.is_empty() {
            faults.push(format!("{}: lacks {missing:#?} in\n{answer}", program.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
