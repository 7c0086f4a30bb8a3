//! The files of the operating guide work as documented, with this binary on this machine.

use std::{
    collections::BTreeSet,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Serving, TIMEOUT};

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&file(name)).unwrap()
}

/// Returns the metric names in the rows of the guide's tables. A unit test of the library compares them with
/// the code.
fn documented_metrics(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("| `windlass_")?.split('`').next()).collect()
}

/// Returns the metric names in an expression, without the suffix of histogram buckets.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let name_end =
        |name: &str| name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    let names = text.split("windlass_").skip(1).map(|rest| &rest[..name_end(rest)]);
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
}

#[test]
fn alerts_and_dashboard_use_existing_metrics_only() {
    let guide = file("operating.md");
    let known: BTreeSet<&str> = documented_metrics(&guide).into_iter().collect();
    for name in ["operating/alerts.yml", "operating/grafana.json"] {
        let text = file(name);
        let unknown: Vec<_> = metric_names(&text).difference(&known).map(|name| (*name).to_owned()).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
    let (text, known) = (file("operating/grafana.json"), known.len());
    let shown = metric_names(&text).len();
    assert!(shown * 10 > known * 8, "the dashboard shows {shown} of {known} metrics");
}

#[test]
fn the_panels_of_the_dashboard_do_not_overlap() {
    let dashboard = json("operating/grafana.json");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: the panel id must be unique", panel["title"]);
        let free = (x..x + w).all(|x| (y..y + h).all(|y| taken.insert((x, y))));
        assert!(free, "{} overlaps another panel", panel["title"]);
        let is_row = panel["type"] == "row";
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(targets.is_empty(), is_row, "{}", panel["title"]);
        assert!(targets.iter().all(|target| target["expr"].as_str().unwrap().contains("$instance")));
    }
}

#[test]
fn the_server_notifies_systemd_of_readiness_and_stopping() {
    let unit = file("operating/windlass.service");
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nRestartPreventExitStatus=2\n"), "{unit}");
    let socket = file("operating/windlass.socket");
    assert!(unit.contains("--listen systemd ") && unit.contains("\nRequires=windlass.socket\n"), "{unit}");
    assert!(
        socket.contains("\nListenStream=") && socket.contains("\nFileDescriptorName=windlass\n"),
        "{socket}"
    );
    let path = std::env::temp_dir().join(format!("windlass-notify-{}", std::process::id()));
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let receive = || {
        let mut bytes = [0; 100];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut serving = Serving::start_with(&["--listen", "127.0.0.1:0", "--shards", "1"], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(receive(), "READY=1\n");
    assert_eq!(serving.connect().get("/readyz").0, 200, "the server must serve once it reports readiness");
    serving.signal(Signal::TERM);
    assert_eq!(receive(), "STOPPING=1\n");
    assert!(serving.ended().success());
    std::fs::remove_file(&path).unwrap();
    let mut unmanaged = Serving::start_with(&["--listen", "127.0.0.1:0"], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(unmanaged.connect().get("/readyz").0, 200, "the server must serve without a service manager");
    unmanaged.signal(Signal::TERM);
    assert!(unmanaged.ended().success());
}

#[test]
fn a_service_manager_with_an_abstract_socket_is_notified() {
    let name = format!("windlass-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut serving = Serving::start_with(&["--listen", "127.0.0.1:0", "--shards", "1"], |command| {
        command.env("NOTIFY_SOCKET", format!("@{name}"));
    });
    let mut bytes = [0; 100];
    for state in ["READY=1\n", "STOPPING=1\n"] {
        let length = manager.recv(&mut bytes).unwrap();
        assert_eq!(std::str::from_utf8(&bytes[..length]), Ok(state));
        serving.signal(Signal::TERM);
    }
    assert!(serving.ended().success());
    assert!(!serving.has("NOTIFY_SOCKET"), "{:?}", serving.lines());
}

/// The seccomp profile, applied to a thread as a container runtime applies it to a container.
#[cfg(target_arch = "x86_64")]
mod profile {
    use std::thread;

    use seccompiler::{BpfMap, TargetArch, apply_filter, compile_from_json};
    use serde_json::json;

    use super::*;

    /// Compiles the profile into two filters: allowed calls, and calls answered with ENOSYS.
    fn filters() -> BpfMap {
        let profile = json("operating/seccomp.json");
        assert_eq!(
            (&profile["defaultAction"], &profile["defaultErrnoRet"]),
            (&"SCMP_ACT_ERRNO".into(), &1.into())
        );
        // A call that one filter answers with an error must pass the other one.
        let (mut allowed, mut missing) = (Vec::new(), Vec::new());
        for rule in profile["syscalls"].as_array().unwrap() {
            let names = rule["names"].as_array().unwrap();
            let calls = names.iter().map(|name| match rule["args"].get(0) {
                None => json!({ "syscall": name }),
                Some(args) => {
                    assert_eq!(args["op"], "SCMP_CMP_MASKED_EQ");
                    let op = json!({ "masked_eq": args["value"] });
                    let arg = json!({
                        "index": args["index"], "type": "qword", "op": op, "val": args["valueTwo"],
                    });
                    json!({ "syscall": name, "args": [arg] })
                }
            });
            if rule["action"] != "SCMP_ACT_ALLOW" {
                assert_eq!(rule["errnoRet"], libc::ENOSYS);
                missing.extend(calls.clone());
            }
            allowed.extend(calls);
        }
        let all = json!({
            "allowed": {
                "mismatch_action": { "errno": libc::EPERM }, "match_action": "allow", "filter": allowed,
            },
            "missing": {
                "mismatch_action": "allow", "match_action": { "errno": libc::ENOSYS }, "filter": missing,
            },
        });
        compile_from_json(all.to_string().as_bytes(), TargetArch::x86_64).unwrap()
    }

    /// Runs `run` under the profile, which its child processes inherit.
    fn with_profile<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        let filters = filters();
        let apply = move || {
            // The second filter forbids further filters, so it is applied last.
            ["missing", "allowed"].iter().for_each(|name| apply_filter(&filters[*name]).unwrap());
            run()
        };
        thread::scope(|scope| scope.spawn(apply).join().unwrap())
    }

    #[test]
    fn the_server_runs_under_the_profile_on_both_engines() {
        let data = std::env::temp_dir().join(format!("windlass-profile-{}", std::process::id()));
        for engine in ["io_uring", "epoll"] {
            let data = data.with_extension(engine);
            let arguments = ["--listen", "127.0.0.1:0", "--shards", "2", "--engine", engine];
            let arguments = [&arguments[..], &["--data", data.to_str().unwrap(), "--access-log"]].concat();
            let mut serving = with_profile(|| Serving::start_on(&arguments));
            let mut client = serving.connect();
            for path in ["/demo/json", "/demo/work?ms=5", "/metrics", "/"] {
                assert_eq!(client.get(path).0, 200, "{engine}: {path}");
            }
            assert_eq!(client.post("/topics/a", "", "event").0, 202, "{engine}");
            assert!(client.get("/metrics").2.contains(&format!("windlass_engine_info{{engine=\"{engine}\"")));
            serving.signal(Signal::HUP);
            serving.signal(Signal::TERM);
            assert!(serving.ended().success(), "{engine}: {:?}", serving.lines());
            std::fs::remove_dir_all(&data).unwrap();
        }
    }

    #[test]
    fn the_profile_forbids_calls_that_no_server_needs() {
        for (program, arguments) in [("unshare", &["--user", "true"][..]), ("chmod", &["u+w", "."])] {
            let runs = || {
                let mut command = Command::new(program);
                command.args(arguments).current_dir(env!("CARGO_TARGET_TMPDIR")).stderr(Stdio::null());
                command.status().unwrap().success()
            };
            // Checked without the profile first: some systems forbid new user namespaces themselves.
            assert!(program == "unshare" || runs(), "{program}");
            assert!(!with_profile(runs), "{program}");
        }
    }
}
