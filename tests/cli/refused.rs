//! Invalid input: one error line that names the problem and the fix, and exit status 2.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::common::{TempFile, is_refused, output, run, windlass};

#[test]
fn invalid_flags_are_refused() {
    is_refused(&run(&["--lisen", "x"]), &["'--lisen'", "--listen", "--help"]);
    is_refused(&run(&["serve", "--grace", "soon"]), &["'soon'", "--grace", "--help"]);
    is_refused(&run(&["--shards"]), &["--shards", "--help"]);
    is_refused(&run(&["--shards", "2", "--cores", "0"]), &["2 shards", "1 cores"]);
    is_refused(&run(&["--engine", "kqueue"]), &["kqueue", "--engine"]);
    is_refused(&run(&["sevre"]), &["sevre", "--help"]);
    is_refused(&run(&["check-config"]), &["<FILE>", "--help"]);
    is_refused(&run(&["--shards", "2", "doctor"]), &["--help"]);
}

#[test]
fn invalid_values_are_refused() {
    is_refused(&run(&["--listen", "localhost:80"]), &["localhost:80", "write 127.0.0.1:8080"]);
    is_refused(&run(&["--listen", "127.0.0.1"]), &["the port is missing", "write 127.0.0.1:8080"]);
    is_refused(&run(&["--shards", "0"]), &["shards must be at least 1"]);
    is_refused(&run(&["--cores", "1-x"]), &["'1-x'", "0,2-3"]);
    is_refused(&run(&["--listen", "127.0.0.1:0", "--cores", "4095"]), &["core 4095", "allowed cores"]);
    is_refused(&run(&["--workers", "0"]), &["workers", "1 to 1024"]);
}

#[test]
fn unavailable_addresses_are_refused() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let line = is_refused(&run(&["--listen", &address]), &[&address, "in use", "choose another port"]);
    assert!(
        line.contains(&std::process::id().to_string()),
        "the error must name the listening process: {line}"
    );
    is_refused(
        &run(&["--listen", "192.0.2.1:80", "--no-topics"]),
        &["192.0.2.1:80", "no interface has this address"],
    );
    is_refused(&run(&["--listen", "unix:/nowhere/at/all.sock"]), &["/nowhere/at/all.sock", "choose a path"]);
}

#[test]
fn invalid_files_are_refused() {
    is_refused(&run(&["--config", "/nowhere.toml"]), &["/nowhere.toml", "No such file"]);
    is_refused(&run(&["check-config", "/nowhere.toml"]), &["/nowhere.toml", "No such file"]);
    for (text, words) in [
        ("speed = 1\n", ["line 1", "speed"]),
        ("[limits]\nhead = 1\n", ["line 2", "head_bytes"]),
        ("[timeouts]\nheader = \"ten\"\n", ["line 2", "\"10s\""]),
        ("[pool]\nworkers = 0\n", ["workers", "1 to 1024"]),
        ("[limits]\nhead_bytes = 1\n", ["head_bytes", "from 256 to 65536"]),
        ("[[listener]]\naddress = \"x\"\n", ["\"x\"", "write 127.0.0.1:8080"]),
        ("listen = [\"127.0.0.1:1\"\n", ["line", "array"]),
        ("cores = \"x\"\n", ["'x'", "0,2-3"]),
        ("shards = 2\ncores = \"0\"\n", ["2 shards", "1 cores"]),
        ("trusted_proxies = [\"x\"]\n", ["trusted_proxies", "10.0.0.0/8"]),
    ] {
        let file = TempFile::new("bad.toml", text);
        is_refused(&run(&["check-config", file.path()]), &words);
        is_refused(&run(&["--no-demo", "--config", file.path()]), &words);
    }
    let not_text = TempFile::new("binary.toml", "");
    std::fs::write(&not_text.0, [0xff, 0xfe]).unwrap();
    is_refused(&run(&["check-config", not_text.path()]), &["binary.toml"]);
}

/// Runs a command from a thread whose seccomp filter forbids io_uring; the child inherits the filter.
pub(crate) fn without_io_uring(command: Command) -> Output {
    let run = move || {
        let filter = SeccompFilter::new(
            BTreeMap::from([(libc::SYS_io_uring_setup, vec![])]),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        output(command)
    };
    thread::spawn(run).join().unwrap()
}

#[test]
fn io_uring_is_refused_where_it_is_forbidden() {
    let output = without_io_uring(windlass(&["--engine", "io_uring", "--listen", "127.0.0.1:0"]));
    is_refused(&output, &["io_uring", "Operation not permitted", "windlass doctor"]);
}

#[test]
fn io_uring_is_refused_if_too_little_memory_can_be_locked() {
    let mut command = Command::new("sh");
    let script = "ulimit -l 64 && exec \"$0\" --engine io_uring --listen 127.0.0.1:0";
    command.args(["-c", script, env!("CARGO_BIN_EXE_windlass")]);
    is_refused(&output(command), &["MemLockLimit", "windlass doctor"]);
}
