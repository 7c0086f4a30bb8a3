//! HTTPS of the binary: development certificates, serving, reloading, and invalid pairs.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, Signal, kill_process},
};

use crate::{
    common::{Client, Serving, TempFile, eventually, is_refused, run, windlass},
    configuration::uncommented,
};

/// A temporary folder with a key pair, removed on drop.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-cli-tls-{}-{name}", std::process::id()));
        let folder = Self(path);
        let output = run(&["dev-cert", "--out", folder.0.to_str().unwrap(), "--name", "windlass.test"]);
        assert!(output.status.success(), "{}", output.stderr.escape_ascii());
        folder
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn cert(&self) -> String {
        self.file("cert.pem")
    }

    pub(crate) fn key(&self) -> String {
        self.file("key.pem")
    }

    /// Replaces the pair by another one.
    fn renew(&self, other: &Self) {
        fs::copy(other.cert(), self.cert()).unwrap();
        fs::copy(other.key(), self.key()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs curl; `None` if it is not installed, an error with its standard error if it failed.
fn curl(arguments: &[&str]) -> Option<Result<String, String>> {
    let common = ["--silent", "--show-error", "--fail", "--max-time", "10"];
    let output = Command::new("curl").args(common).args(arguments).output().ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) })
}

#[test]
fn dev_cert_writes_a_private_key_once_and_explains_its_use() {
    let folder = Folder::new("made");
    assert_eq!(fs::metadata(folder.key()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(folder.cert()).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let before = fs::read(folder.key()).unwrap();
    let again = run(&["dev-cert", "--out", folder.0.to_str().unwrap()]);
    is_refused(&again, &["cert.pem exists already", "--out"]);
    assert_eq!(fs::read(folder.key()).unwrap(), before);
    let folder = std::env::temp_dir().join(format!("windlass-cli-tls-{}-told", std::process::id()));
    let output = run(&["dev-cert", "--out", folder.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    for words in ["localhost, 127.0.0.1, ::1", "windlass --tls-cert ", "key.pem\n", "curl --cacert "] {
        assert!(text.contains(words), "no '{words}' in: {text}");
    }
    is_refused(&run(&["dev-cert", "--out", "/proc/nowhere"]), &["cannot write", "/proc/nowhere"]);
}

#[test]
fn curl_gets_every_demo_route_over_tls() {
    let folder = Folder::new("curl");
    let (cert, key) = (folder.cert(), folder.key());
    let serving = Serving::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let port = serving.address().port();
    for host in ["localhost", "127.0.0.1", "windlass.test"] {
        for version in ["--http1.1", "--http2", "--tls-max=1.2"] {
            for path in
                ["/", "/demo/plaintext", "/demo/json", "/demo/hello/you", "/demo/work?ms=1", "/metrics"]
            {
                let resolve = format!("windlass.test:{port}:127.0.0.1");
                let url = format!("https://{host}:{port}{path}");
                let version: Vec<&str> = version.split('=').collect();
                let ask = [&version[..], &["--cacert", &cert, "--resolve", &resolve, "-4", &url]].concat();
                let Some(answer) = curl(&ask) else { return };
                assert!(answer.as_ref().is_ok_and(|text| !text.is_empty()), "{ask:?}: {answer:?}");
            }
        }
    }
    let url = format!("https://localhost:{port}/demo/upload");
    let binary = env!("CARGO_BIN_EXE_windlass");
    let upload = ["--cacert", &cert, "-4", "--http1.1", "--data-binary", &format!("@{binary}"), &url];
    let size = fs::metadata(binary).unwrap().len();
    assert_eq!(curl(&upload).unwrap().unwrap(), format!("{{\"bytes\":{size}}}"));
    let agreed = curl(&[
        "--cacert",
        &cert,
        "-4",
        "-o",
        "/dev/null",
        "-w",
        "%{http_version}",
        &url.replace("upload", "json"),
    ]);
    let http2 = Command::new("curl").arg("--version").output().unwrap();
    if cfg!(feature = "http2") && String::from_utf8_lossy(&http2.stdout).contains("HTTP2") {
        assert_eq!(agreed.unwrap().unwrap(), "2", "HTTP/2 must be negotiated");
    }
}

#[test]
fn pythons_http_client_is_served_over_tls() {
    let folder = Folder::new("python");
    let (cert, key) = (folder.cert(), folder.key());
    let serving = Serving::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let script = "import ssl,sys,http.client as h\n\
        trust=ssl.create_default_context(cafile=sys.argv[2])\n\
        c=h.HTTPSConnection('localhost',int(sys.argv[1]),context=trust)\n\
        for _ in range(3):\n c.request('POST','/demo/echo',b'x'*100000)\n r=c.getresponse()\n \
        assert r.status==200 and r.read()==b'x'*100000\nc.close()\nprint('fine')";
    let port = serving.address().port().to_string();
    let Ok(output) = Command::new("python3").args(["-c", script, &port, &cert]).output() else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fine\n", "{}", output.stderr.escape_ascii());
}

#[test]
fn hup_loads_a_new_pair_and_refuses_an_invalid_one() {
    let (folder, other) = (Folder::new("reload"), Folder::new("other"));
    let (cert, key) = (folder.cert(), folder.key());
    let first = TempFile::new("first.pem", &fs::read_to_string(&cert).unwrap());
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nshards = 2\nunpinned = true\n\
        tls_cert = \"{cert}\"\ntls_key = \"{key}\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
    );
    let file = TempFile::new("reload.toml", &text);
    let checked = run(&["check-config", file.path()]);
    assert!(checked.status.success(), "{}", checked.stderr.escape_ascii());
    let mut serving = Serving::start_on(&["--config", file.path()]);
    let url = format!("https://localhost:{}/readyz", serving.address().port());
    let trusts = |cacert: &str| curl(&["--cacert", cacert, "-4", &url]).map(|answer| answer.is_ok());
    let mut plain = Client::connect(serving.addresses()[1]);
    let mut reloads = |result: &str| {
        let sample = format!("windlass_tls_reloads_total{{result=\"{result}\"}} ");
        let page = plain.get("/metrics").2;
        page.lines().find_map(|line| line.strip_prefix(&sample)?.parse::<u64>().ok()).unwrap()
    };
    assert_ne!(trusts(first.path()), Some(false));
    fs::write(&key, "invalid").unwrap();
    serving.signal(Signal::HUP);
    eventually("the invalid pair is refused", || serving.has("certificate reload failed"));
    assert!(serving.has("key.pem holds no usable private key"), "{:?}", serving.lines());
    assert_ne!(trusts(first.path()), Some(false), "the old pair must still be served");
    folder.renew(&other);
    serving.signal(Signal::HUP);
    eventually("the new pair is loaded", || serving.has("certificates reloaded"));
    assert_ne!(trusts(&other.cert()), Some(false));
    assert_ne!(trusts(first.path()), Some(true), "the old pair must no longer be served");
    assert_eq!((reloads("ok"), reloads("refused")), (1, 1));
    serving.is_running();
}

#[test]
fn the_documented_tls_keys_are_accepted() {
    let (folder, other) = (Folder::new("documented"), Folder::new("documented-other"));
    let page = include_str!("../../src/docs/configuration.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut text = uncommented(example);
    for (name, file) in [
        ("\"cert.pem\"", folder.cert()),
        ("\"key.pem\"", folder.key()),
        ("\"other.pem\"", other.cert()),
        ("\"other-key.pem\"", other.key()),
    ] {
        assert!(text.contains(name), "{name} is not documented");
        text = text.replace(name, &format!("\"{file}\""));
    }
    let file = TempFile::new("documented-tls.toml", &text);
    let output = run(&["check-config", file.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr.escape_ascii());
}

#[test]
fn a_server_with_an_invalid_pair_does_not_start() {
    let (folder, other) = (Folder::new("bad"), Folder::new("bad-other"));
    let (cert, key) = (folder.cert(), folder.key());
    is_refused(&run(&["--tls-cert", &cert]), &["--tls-key"]);
    is_refused(&run(&["--tls-key", &key]), &["--tls-cert"]);
    is_refused(&run(&["--tls-cert", &cert, "--tls-key", &other.key()]), &[&cert, "does not match"]);
    is_refused(&run(&["--tls-cert", &key, "--tls-key", &key]), &[&key, "CERTIFICATE"]);
    is_refused(&run(&["--tls-cert", "/nowhere.pem", "--tls-key", &key]), &["/nowhere.pem", "No such file"]);
    for (text, words) in [
        (format!("tls_cert = \"{cert}\"\n"), "tls_key"),
        (format!("tls_key = \"{key}\"\n"), "tls_cert"),
        ("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = true\n".to_owned(), "needs a certificate"),
        (
            format!(
                "[[listener]]\naddress = \"[::1]:0\"\ntls = false\n\
                 tls_cert = \"{cert}\"\ntls_key = \"{key}\"\n"
            ),
            "tls = false",
        ),
        (format!("tls_cert = \"{cert}\"\ntls_key = \"{}\"\n", other.key()), "does not match"),
    ] {
        let file = TempFile::new("bad-tls.toml", &text);
        is_refused(&run(&["check-config", file.path()]), &[words]);
        is_refused(&run(&["--config", file.path()]), &[words]);
    }
}

/// Replaces a file by a FIFO, which stands for any slow path: who reads it waits for a writer.
fn make_slow(path: &str) {
    fs::remove_file(path).unwrap();
    mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
}

/// Opens a FIFO for writing once somebody reads it.
fn await_reader(path: &str) -> File {
    let mut writer = None;
    eventually("the FIFO is read", || {
        writer = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).ok();
        writer.is_some()
    });
    writer.unwrap()
}

#[test]
fn term_works_while_hup_reads_a_slow_certificate() {
    for engine in ["io_uring", "epoll"] {
        let folder = Folder::new(&format!("slow-{engine}"));
        let (cert, key) = (folder.cert(), folder.key());
        let mut serving = Serving::start(&["--tls-cert", &cert, "--tls-key", &key, "--engine", engine]);
        let chain = fs::read(&cert).unwrap();
        make_slow(&cert);
        serving.signal(Signal::HUP);
        let mut writer = await_reader(&cert);
        serving.signal(Signal::HUP);
        writer.write_all(&chain).unwrap();
        drop(writer);
        eventually("the slow certificate is read", || serving.has("certificates reloaded"));
        let _never_written = await_reader(&cert);
        serving.signal(Signal::TERM);
        assert_eq!(serving.ended().code(), Some(0), "{engine}: {:?}", serving.lines());
        assert!(serving.has("drain complete"), "{engine}: {:?}", serving.lines());
    }
}

/// Returns `true` if a process catches TERM.
fn catches_term(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << (libc::SIGTERM - 1) != 0
}

#[test]
fn term_works_while_the_start_reads_a_slow_certificate() {
    let folder = Folder::new("slow-start");
    let (cert, key) = (folder.cert(), folder.key());
    make_slow(&cert);
    let mut command = windlass(&["--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _never_written = await_reader(&cert);
    eventually("TERM is caught", || catches_term(child.id()));
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    let mut status = None;
    eventually("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
}

#[test]
fn the_start_reads_a_certificate_and_its_key_once() {
    let folder = Folder::new("once");
    let (cert, key) = (folder.cert(), folder.key());
    let texts = [&cert, &key].map(|path| (path.clone(), fs::read(path).unwrap()));
    texts.iter().for_each(|(path, _)| make_slow(path));
    let writer = thread::spawn(move || {
        for (path, text) in texts {
            await_reader(&path).write_all(&text).unwrap();
        }
    });
    // A second read of a FIFO would never end.
    let serving = Serving::start(&["--tls-cert", &cert, "--tls-key", &key]);
    writer.join().unwrap();
    assert!(serving.has("serving address="), "{:?}", serving.lines());
}
