//! The files of the operating guide: each does what the guide says, on this machine, with this binary.

use std::{
    collections::BTreeSet,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{PATIENCE, Serving};

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&file(name)).unwrap()
}

/// Returns the names of metrics in the rows of a table. A unit test of the library compares the guide with the code.
fn rows(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("| `windlass_")?.split('`').next()).collect()
}

/// Returns the metrics an expression names, less what histograms put behind their names.
fn named(text: &str) -> BTreeSet<&str> {
    let behind =
        |name: &str| name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    let names = text.split("windlass_").skip(1).map(|rest| &rest[..behind(rest)]);
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
}

#[test]
fn alerts_and_dashboard_name_only_metrics_that_exist() {
    let guide = file("operating.md");
    let known: BTreeSet<&str> = rows(&guide).into_iter().collect();
    for name in ["operating/alerts.yml", "operating/grafana.json"] {
        let text = file(name);
        let unknown: Vec<_> = named(&text).difference(&known).map(|name| (*name).to_owned()).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
    let (text, known) = (file("operating/grafana.json"), known.len());
    let shown = named(&text).len();
    assert!(shown * 10 > known * 8, "the dashboard shows {shown} of {known} metrics");
}

#[test]
fn the_dashboards_panels_have_their_own_places() {
    let dashboard = json("operating/grafana.json");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: an id twice", panel["title"]);
        let free = (x..x + w).all(|x| (y..y + h).all(|y| taken.insert((x, y))));
        assert!(free, "{} lies on another", panel["title"]);
        let is_row = panel["type"] == "row";
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(targets.is_empty(), is_row, "{}", panel["title"]);
        assert!(targets.iter().all(|target| target["expr"].as_str().unwrap().contains("$instance")));
    }
}

#[test]
fn systemd_is_told_when_the_server_serves_and_when_it_drains() {
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
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut bytes = [0; 100];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut serving = Serving::start_with(&["--listen", "127.0.0.1:0", "--shards", "1"], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(told(), "READY=1\n");
    assert_eq!(serving.connect().get("/readyz").0, 200, "it serves by then");
    serving.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1\n");
    assert!(serving.ended().success());
    std::fs::remove_file(&path).unwrap();
    let mut alone = Serving::start_with(&["--listen", "127.0.0.1:0"], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(alone.connect().get("/readyz").0, 200, "nobody listens, and it serves all the same");
    alone.signal(Signal::TERM);
    assert!(alone.ended().success());
}

/// The profile, applied to a thread as a container runtime applies it to a container.
#[cfg(target_arch = "x86_64")]
mod profile {
    use std::thread;

    use seccompiler::{BpfMap, TargetArch, apply_filter, compile_from_json};
    use serde_json::json;

    use super::*;

    /// Makes filters out of the profile: what is allowed, and what is answered with an error of its own.
    fn filters() -> BpfMap {
        let profile = json("operating/seccomp.json");
        assert_eq!(
            (&profile["defaultAction"], &profile["defaultErrnoRet"]),
            (&"SCMP_ACT_ERRNO".into(), &1.into())
        );
        // A call that one filter answers must pass the others.
        let (mut passed, mut answered) = (Vec::new(), Vec::new());
        for rule in profile["syscalls"].as_array().unwrap() {
            let names = rule["names"].as_array().unwrap();
            let calls = names.iter().map(|name| match rule["args"].get(0) {
                None => json!({ "syscall": name }),
                Some(args) => {
                    assert_eq!(args["op"], "SCMP_CMP_MASKED_EQ");
                    let op = json!({ "masked_eq": args["value"] });
                    json!({ "syscall": name,
                        "args": [{ "index": args["index"], "type": "qword", "op": op, "val": args["valueTwo"] }] })
                }
            });
            if rule["action"] != "SCMP_ACT_ALLOW" {
                assert_eq!(rule["errnoRet"], libc::ENOSYS);
                answered.extend(calls.clone());
            }
            passed.extend(calls);
        }
        let all = json!({
            "allowed": { "mismatch_action": { "errno": libc::EPERM }, "match_action": "allow", "filter": passed },
            "missing": { "mismatch_action": "allow", "match_action": { "errno": libc::ENOSYS }, "filter": answered },
        });
        compile_from_json(all.to_string().as_bytes(), TargetArch::x86_64).unwrap()
    }

    /// Runs something whose children run under the profile.
    fn under_it<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        let filters = filters();
        let apply = move || {
            // The second lets no further one be added.
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
            let mut serving = under_it(|| Serving::start_on(&arguments));
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
    fn the_profile_forbids_what_no_server_needs() {
        for (program, arguments) in [("unshare", &["--user", "true"][..]), ("chmod", &["u+w", "."])] {
            let runs = || {
                let mut command = Command::new(program);
                command.args(arguments).current_dir(env!("CARGO_TARGET_TMPDIR")).stderr(Stdio::null());
                command.status().unwrap().success()
            };
            // Without it: some systems forbid new user namespaces by themselves.
            assert!(program == "unshare" || runs(), "{program}");
            assert!(!under_it(runs), "{program}");
        }
    }
}
