//! Static files of the binary.

use std::{fs, path::PathBuf};

use crate::common::{Client, Serving, TempFile, run};

/// A directory with files, removed at the end of a test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-cli-files-{}-{name}", std::process::id()));
        for (file, content) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the status and the body of a GET request.
#[track_caller]
fn served(client: &mut Client, path: &str) -> (u16, String) {
    let (status, _, body) = client.get(path);
    (status, body)
}

#[test]
fn a_directory_is_served_instead_of_the_live_page() {
    let dir = Dir::new("flag", &[("index.html", "home"), ("a/b.txt", "text")]);
    let serving = Serving::start(&["--files", dir.path()]);
    let mut client = serving.connect();
    assert_eq!(served(&mut client, "/"), (200, "home".to_owned()));
    assert_eq!(served(&mut client, "/a/b.txt"), (200, "text".to_owned()));
    assert_eq!(client.get("/demo/plaintext").0, 404, "no demo routes");
    assert_eq!(client.get("/healthz").0, 200);
    assert!(client.get("/metrics").2.contains("windlass_file_jobs_total"));
}

#[test]
fn the_documented_section_is_valid_and_served() {
    let page = include_str!("../../src/docs/configuration.md");
    let example = page.split("# Files\n").nth(1).unwrap().split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let files = [("index.html", "home"), ("404.html", "nothing"), ("one.txt", "one"), ("assets/a.js", "js")];
    let dir = Dir::new("config", &files);
    let one = dir.0.join("one.txt");
    let text = format!(
        "{}\n[[files]]\npath = \"/one\"\nfile = \"{}\"\n",
        example.replace("\"public\"", &format!("\"{}\"", dir.path())),
        one.display()
    );
    let file = TempFile::new("files.toml", &text);
    let output = run(&["check-config", file.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr.escape_ascii());
    let serving = Serving::start(&["--config", file.path()]);
    let mut client = serving.connect();
    assert_eq!(served(&mut client, "/users"), (200, "home".to_owned()));
    assert_eq!(served(&mut client, "/missing.js"), (404, "nothing".to_owned()));
    assert_eq!(served(&mut client, "/assets/a.js"), (200, "js".to_owned()));
    assert_eq!(served(&mut client, "/one"), (200, "one".to_owned()));
}

#[test]
fn a_wrong_section_is_refused() {
    for (text, part) in [
        ("[[files]]\ndir = \"/nonexistent\"\n", "not a directory"),
        ("[[files]]\npath = \"/a\"\n", "set either dir or file"),
        ("[[files]]\ndir = \"/\"\nerror_pages = { x = \"a\" }\n", "x is no status"),
        ("[[files]]\ndir = \"/\"\ncheck_interval = \"soon\"\n", "line 3"),
        ("[[files]]\ndir = \"/\"\nlisting = true\n", "listing"),
    ] {
        let file = TempFile::new("wrong-files.toml", text);
        let output = run(&["check-config", file.path()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(part), "{error}");
    }
}
