//! Headless Chromium, controlled by the DevTools protocol over two pipes.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::common::TIMEOUT;

/// Names of the program in Debian and elsewhere.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser with one open page, killed on drop.
pub(super) struct Browser {
    child: Child,
    folder: PathBuf,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// Script errors and policy violations that the browser reported.
    pub(super) errors: Vec<String>,
}

impl Browser {
    /// Opens a page; `None` if no browser is installed.
    pub(super) fn open(name: &str, url: &str) -> Option<Self> {
        let program = NAMES.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())?;
        let folder = std::env::temp_dir().join(format!("windlass-browser-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (to, from) = (folder.join("to"), folder.join("from"));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        let child = launch(program, &folder, &to, &from);
        // The pipes are opened in the order in which the shell opens their other ends.
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = messages(File::open(from).unwrap());
        let mut browser = Self { child, folder, to, from, session: None, last: 0, errors: Vec::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Log", "Runtime", "Page"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.call("Page.navigate", json!({ "url": url }));
        Some(browser)
    }

    /// Calls a method of the protocol and returns its result.
    #[track_caller]
    pub(super) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut message = self.from.recv_timeout(TIMEOUT).expect("the browser must answer");
            if message["id"] == self.last {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].take();
            }
            self.record_error(&message);
        }
    }

    fn record_error(&mut self, message: &Value) {
        let is_error =
            message["method"] == "Log.entryAdded" && message["params"]["entry"]["level"] == "error";
        if is_error || message["method"] == "Runtime.exceptionThrown" {
            self.errors.push(message["params"].to_string());
        }
    }

    /// Evaluates an expression in the page.
    #[track_caller]
    pub(super) fn eval(&mut self, expression: &str) -> Value {
        let what = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", what);
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].take()
    }

    /// Shows the page at this size in a light or dark scheme, and saves a screenshot.
    pub(super) fn show(&mut self, width: u32, height: u32, scheme: &str) {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
        let shot = self.call("Page.captureScreenshot", json!({}));
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{width}-{scheme}.png"));
        std::fs::write(picture, STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// Presses a key.
    pub(super) fn press(&mut self, key: &str, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "code": key, "text": text,
                "windowsVirtualKeyCode": if key == "Tab" { 9 } else { 13 } });
            self.call("Input.dispatchKeyEvent", event);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The other browser processes exit with the first one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts the browser with the pipes at descriptors 3 and 4, where it expects them.
fn launch(program: &str, folder: &Path, to: &Path, from: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec 3<"$1" 4>"$2"; shift 2; exec "$@""#, "sh"]).args([to, from]).arg(program);
    command.args([
        "--headless",
        "--remote-debugging-pipe",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    if rustix::process::geteuid().is_root() {
        command.arg("--no-sandbox");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Receives NUL-terminated messages until the browser exits.
fn messages(from: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}
