//! Choice of the engine and its reason, also where io_uring is forbidden as in container runtimes.

use windlass::{EngineKind, Router, Server, get};

use crate::common::{self, connect, engine, engine_name};

fn hello() -> Router {
    Router::new().route(get("/", || "hello"))
}

/// Returns the label values of `windlass_engine_info`.
fn info(server: &Server) -> (String, String) {
    let page = connect(server).get("/metrics").text();
    let sample = page.lines().find_map(|line| line.strip_prefix("windlass_engine_info{engine=\"")).unwrap();
    let (engine, rest) = sample.split_once("\",reason=\"").unwrap();
    (engine.to_owned(), rest.strip_suffix("\"} 1").unwrap().to_owned())
}

#[test]
fn metrics_report_the_engine_and_its_reason() {
    let server = common::start(hello());
    assert_eq!(connect(&server).get("/").text(), "hello");
    let (name, reason) = info(&server);
    assert_eq!(name, engine_name());
    let expected = match engine() {
        EngineKind::Auto if cfg!(feature = "io-uring") => "preferred and available",
        EngineKind::Auto => "no io_uring: it is not compiled in",
        _ => "configured",
    };
    assert_eq!(reason, expected);
}

/// Tests where io_uring is unavailable, by seccomp and by the memlock limit.
#[cfg(feature = "io-uring")]
mod without_io_uring_support {
    use std::process::Command;

    use rustix::process::{Resource, Rlimit, setrlimit};

    use super::*;
    use crate::without_io_uring::without_io_uring;

    #[test]
    fn the_default_is_epoll_where_io_uring_is_forbidden() {
        let server = without_io_uring(|| common::builder(hello()).engine(EngineKind::Auto).start().unwrap());
        assert_eq!(connect(&server).get("/").text(), "hello");
        let (name, reason) = info(&server);
        assert_eq!(name, "epoll");
        assert!(reason.starts_with("no io_uring: io_uring_setup: Operation not permitted"), "{reason}");
        let report = server.drain(None);
        assert!(!report.to_string().is_empty());
    }

    #[test]
    fn a_configured_engine_that_cannot_run_is_an_error() {
        let error =
            without_io_uring(|| common::builder(hello()).engine(EngineKind::IoUring).start().unwrap_err());
        let text = error.to_string();
        for word in
            ["io_uring cannot run here", "io_uring_setup", "Operation not permitted", "windlass doctor"]
        {
            assert!(text.contains(word), "{word:?} is missing in: {text}");
        }
    }

    /// The probe succeeds here; only the start of the shards fails.
    #[test]
    fn shards_that_fail_to_start_on_io_uring_start_on_epoll() {
        const CHILD: &str = "WINDLASS_TEST_CHILD";
        const NAME: &str =
            "engine::without_io_uring_support::shards_that_fail_to_start_on_io_uring_start_on_epoll";
        if std::env::var_os(CHILD).is_none() {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let output = command.args(["--exact", NAME, "--nocapture"]).env(CHILD, "1").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
            return;
        }
        // Less than glommio requires to start, more than the probe's ring locks.
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
}
