//! Which engine runs, why, and what happens where io_uring is forbidden as container runtimes forbid it.

use windlass::{EngineKind, Router, Server, get};

use crate::common::{self, connect, engine, engine_name};

fn hello() -> Router {
    Router::new().route(get("/", |_| "hello"))
}

/// Returns the label values of `windlass_engine_info`.
fn info(server: &Server) -> (String, String) {
    let page = connect(server).get("/metrics").text();
    let sample = page.lines().find_map(|line| line.strip_prefix("windlass_engine_info{engine=\"")).unwrap();
    let (engine, rest) = sample.split_once("\",reason=\"").unwrap();
    (engine.to_owned(), rest.strip_suffix("\"} 1").unwrap().to_owned())
}

#[test]
fn the_engine_and_its_reason_are_told() {
    let server = common::start(hello());
    assert_eq!(connect(&server).get("/").text(), "hello");
    let (name, reason) = info(&server);
    assert_eq!(name, engine_name());
    let expected = match engine() {
        EngineKind::Auto if cfg!(feature = "io-uring") => "the default, and it works here",
        EngineKind::Auto => "no io_uring: it is not in this build",
        _ => "asked for",
    };
    assert_eq!(reason, expected);
}

/// io_uring really taken away, by what takes it away in the field.
#[cfg(feature = "io-uring")]
mod taken_away {
    use std::{process::Command, thread};

    use rustix::process::{Resource, Rlimit, setrlimit};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    use super::*;

    /// Runs `f` on a thread, and on the threads and processes it starts, without io_uring.
    fn without_io_uring<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
        let denied = move || {
            let rules = [(libc::SYS_io_uring_setup, vec![])].into_iter().collect();
            let refuse = SeccompAction::Errno(libc::EPERM as u32);
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
            apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
            f()
        };
        thread::spawn(denied).join().unwrap()
    }

    #[test]
    fn where_io_uring_is_forbidden_the_default_is_epoll() {
        let server = without_io_uring(|| common::builder(hello()).engine(EngineKind::Auto).start().unwrap());
        assert_eq!(connect(&server).get("/").text(), "hello");
        let (name, reason) = info(&server);
        assert_eq!(name, "epoll");
        assert!(reason.starts_with("no io_uring: io_uring_setup: Operation not permitted"), "{reason}");
        let report = server.drain(None);
        assert!(!report.to_string().is_empty());
    }

    #[test]
    fn an_engine_that_was_asked_for_and_cannot_run_is_an_error() {
        let error =
            without_io_uring(|| common::builder(hello()).engine(EngineKind::IoUring).start().unwrap_err());
        let text = error.to_string();
        for word in
            ["io_uring cannot run here", "io_uring_setup", "Operation not permitted", "windlass doctor"]
        {
            assert!(text.contains(word), "{word:?} is missing in: {text}");
        }
    }

    /// The probe finds nothing, and only the shards' own start does.
    #[test]
    fn shards_that_do_not_start_on_io_uring_start_on_epoll() {
        const CHILD: &str = "WINDLASS_TEST_CHILD";
        const NAME: &str = "engine::taken_away::shards_that_do_not_start_on_io_uring_start_on_epoll";
        if std::env::var_os(CHILD).is_none() {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let output = command.args(["--exact", NAME, "--nocapture"]).env(CHILD, "1").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
            return;
        }
        // Below what glommio wants before it starts, above what a ring of our own locks.
        let little = Some(400 * 1024);
        setrlimit(Resource::Memlock, Rlimit { current: little, maximum: little }).unwrap();
        let server = common::builder(hello()).engine(EngineKind::Auto).start().unwrap();
        assert_eq!(connect(&server).get("/").text(), "hello");
        let (name, reason) = info(&server);
        assert_eq!(name, "epoll");
        assert!(reason.starts_with("no io_uring: shard 0: cannot start: glommio: "), "{reason}");
        let error = common::builder(hello()).engine(EngineKind::IoUring).start().unwrap_err().to_string();
        assert!(error.contains("glommio") && error.contains("windlass doctor"), "{error}");
    }

    /// Runs the binary where io_uring is forbidden.
    #[cfg(feature = "cli")]
    fn windlass(args: &'static [&'static str]) -> std::process::Output {
        without_io_uring(move || Command::new(env!("CARGO_BIN_EXE_windlass")).args(args).output().unwrap())
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_command_line_refuses_an_engine_that_cannot_run_with_status_2() {
        let output = windlass(&["--listen", "127.0.0.1:0", "--shards", "1", "--engine", "io_uring"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.starts_with("windlass: the engine io_uring cannot run here: "), "{text}");
        assert!(last.contains("windlass doctor"), "{text}");

        let output = windlass(&["--engine", "kqueue"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("auto, io_uring and epoll") && text.lines().count() == 1, "{text}");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn doctor_only_warns_of_an_engine_that_another_one_stands_in_for() {
        let output = windlass(&["doctor"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("warn  io_uring"), "{text}");
        assert!(!text.contains("FAIL  io_uring"), "{text}");
    }
}
