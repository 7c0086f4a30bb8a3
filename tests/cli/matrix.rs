//! `scripts/matrix.sh`: selection of cells, and reports of failed and leaking cells.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use crate::common::TempFile;

/// Runs the script with this binary or a wrapper of it.
fn matrix(binary: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/matrix.sh"));
    command.arg("--no-build").args(arguments).env("WINDLASS_BIN", binary).env_remove("RUST_LOG");
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn list_cells(arguments: &[&str]) -> Vec<String> {
    let output = matrix("/nowhere", &[&["--list"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn cells_are_selected_by_globs() {
    let all = list_cells(&[]);
    assert_eq!(all.len(), 38);
    for engine in ["io_uring", "epoll"] {
        let of_engine = list_cells(&["--cells", &format!("{engine}/*")]);
        assert!(
            of_engine.len() == 19 && of_engine.iter().all(|cell| cell.starts_with(engine)),
            "{of_engine:?}"
        );
    }
    assert_eq!(list_cells(&["--cells", "epoll/h?/async/few"]), ["epoll/h1/async/few", "epoll/h2/async/few"]);
    assert_eq!(
        list_cells(&["--cells", "*/slow,epoll/ws/*", "--exclude", "io_uring/*,*/killed"]),
        ["epoll/ws/inline/few", "epoll/ws/inline/many", "epoll/sse/inline/slow"]
    );
    for nothing in [["--cells", "h1"], ["--exclude", "*"]] {
        assert_eq!(matrix("/nowhere", &nothing).status.code(), Some(2), "{nothing:?}");
    }
}

#[cfg(all(feature = "http2", feature = "ws"))]
#[test]
fn a_cell_that_is_served_and_leaks_nothing_passes() {
    let cells = ["--quick", "--cells", "*/h1/async/few,*/sse/inline/killed"];
    let output = matrix(env!("CARGO_BIN_EXE_windlass"), &cells);
    let text = text(&output);
    assert!(output.status.success() && text.contains("no descriptor stayed open"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("io_uring/") || line.starts_with("epoll/")).count(),
        4
    );
}

#[test]
fn a_cell_without_served_requests_fails_with_diagnostics() {
    let arguments = ["--quick", "--cells", "epoll/h1/inline/few", "--serve", "--no-demo"];
    let output = matrix(env!("CARGO_BIN_EXE_windlass"), &arguments);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in ["no request was served", " tasks,", "RSS ", " fds,", "nofile ", "TIME_WAIT"] {
        assert!(text.contains(word), "no '{word}' in {text}");
    }
}

#[test]
fn leaked_descriptors_are_reported_by_cell() {
    // Each load leaves a connection open for longer than the script waits.
    let script = format!(
        "#!/usr/bin/env bash\n\
         [[ $1 != load || $* != *--duration\\ 1\\ * ]] || \
         for url; do [[ $url != http* ]] || rest=${{url#http://}}; done\n\
         [[ -z ${{rest-}} ]] || {{ exec 9<>/dev/tcp/${{rest%%:*}}/$(cut -d/ -f1 <<<\"${{rest#*:}}\"); \
         sleep 8 >/dev/null 2>&1 & }}\n\
         exec 9<&- '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_windlass")
    );
    let file = TempFile::new("leaking", &script);
    set_permissions(&file.0, Permissions::from_mode(0o755)).unwrap();
    let arguments = ["--quick", "--settle", "1", "--passes", "2", "--cells", "epoll/h1/inline/few"];
    let output = matrix(file.path(), &arguments);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let leader = text
        .lines()
        .skip_while(|line| !line.starts_with("descriptors that stayed"))
        .nth(1)
        .unwrap_or_default();
    let figures: Vec<_> = leader.split_whitespace().collect();
    assert_eq!(figures, ["epoll/h1/inline/few", "2", "2", "1", "1.0"], "{text}");
}
