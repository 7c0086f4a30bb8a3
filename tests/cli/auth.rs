//! `[auth]` and `windlass token`: keys and tokens from the command line, used by a server.

use std::fs;

use rustix::process::Signal;

use crate::common::{Client, Serving, TempFile, eventually, is_refused, run};

/// A temporary folder, removed on drop.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-cli-auth-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Creates a key in this file.
    fn key(&self, algorithm: &str, name: &str) -> String {
        let file = self.file(name);
        let output = run(&["token", "key", "--alg", algorithm, "--out", &file]);
        assert!(output.status.success(), "{}", output.stderr.escape_ascii());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(&format!("created {file}")), "{text}");
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Signs a token of alice with this key and further flags.
fn sign(key: &str, more: &[&str]) -> String {
    let flags = ["token", "sign", "--key", key, "--sub", "alice", "--publish", "chat/{sub}"];
    let output = run(&[&flags, more].concat());
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn publish(serving: &Serving, topic: &str, token: &str) -> u16 {
    serving.connect().post(topic, &format!("Authorization: Bearer {token}\r\n"), "x").0
}

#[test]
fn tokens_of_each_kind_of_key_are_accepted() {
    let folder = Folder::new("kinds");
    let (es, ed, hs) =
        (folder.key("ES256", "es.pem"), folder.key("EdDSA", "ed.pem"), folder.key("HS256", "secret"));
    let config = format!(
        "[auth]\nissuer = \"me\"\naudience = [\"feed\"]\n\
         [[auth.key]]\nid = \"es\"\npublic_key = {:?}\n[[auth.key]]\npublic_key = {:?}\n\
         [[auth.key]]\nsecret_file = {hs:?}\n",
        folder.file("es.pub.pem"),
        folder.file("ed.pub.pem"),
    );
    let config = TempFile::new("auth.toml", &config);
    assert!(run(&["check-config", config.path()]).status.success());
    // Other machines may reach the server, because publishing needs an identity.
    let serving =
        Serving::start_on(&["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0", "--config", config.path()]);
    let named = ["--issuer", "me", "--audience", "feed", "--audience", "more"];
    for (key, more) in [(&es, &["--key-id", "es"][..]), (&ed, &[]), (&hs, &[])] {
        let token = sign(key, &[&named, more].concat());
        assert_eq!(publish(&serving, "/topics/chat/alice", &token), 202, "{key}");
        assert_eq!(publish(&serving, "/topics/chat/bob", &token), 403, "{key}");
    }
    assert_eq!(publish(&serving, "/topics/chat/alice", &sign(&es, &["--issuer", "me"])), 401, "no audience");
    assert_eq!(serving.connect().get("/topics/chat/alice").0, 401);
    eventually("the log has the reason", || serving.has("the token lacks a required claim"));
}

#[test]
fn sighup_reads_the_keys_again() {
    let folder = Folder::new("reload");
    let (old, new) = (folder.key("ES256", "old.pem"), folder.key("ES256", "new.pem"));
    let public = folder.file("current.pem");
    fs::copy(folder.file("old.pub.pem"), &public).unwrap();
    let config = TempFile::new("auth-reload.toml", &format!("[[auth.key]]\npublic_key = {public:?}\n"));
    let serving = Serving::start(&["--config", config.path()]);
    let (old, new) = (sign(&old, &[]), sign(&new, &[]));
    assert_eq!(publish(&serving, "/topics/chat/alice", &old), 202);
    fs::copy(folder.file("new.pub.pem"), &public).unwrap();
    serving.signal(Signal::HUP);
    eventually("the keys are reloaded", || serving.has("keys of tokens reloaded"));
    assert_eq!(publish(&serving, "/topics/chat/alice", &old), 401);
    assert_eq!(publish(&serving, "/topics/chat/alice", &new), 202);
    fs::write(&public, "nonsense").unwrap();
    serving.signal(Signal::HUP);
    eventually("the reload fails", || serving.has("reload of keys failed"));
    assert_eq!(publish(&serving, "/topics/chat/alice", &new), 202);
}

#[test]
fn what_cannot_be_used_is_refused_in_one_line() {
    let folder = Folder::new("refused");
    let key = folder.key("ES256", "key.pem");
    let refused = |text: &str, words: &[&str]| {
        let file = TempFile::new("auth-refused.toml", text);
        is_refused(&run(&["check-config", file.path()]), words);
    };
    refused("[auth]\nleeway = \"1s\"\n", &["no key", "jwks_file"]);
    refused("[auth]\nleewy = \"1s\"\n", &["line 2", "leewy"]);
    refused("[[auth.key]]\nid = \"a\"\n", &["exactly one", "public_key"]);
    refused("[[auth.key]]\npublic_key = \"/nowhere\"\n", &["/nowhere", "No such file"]);
    refused(&format!("[[auth.key]]\npublic_key = {key:?}\n"), &[&key, "private key"]);
    refused("[[auth.key]]\nsecret_env = \"WINDLASS_TEST_NO_SUCH_VARIABLE\"\n", &["WINDLASS_TEST_NO_SUCH"]);
    let with_key =
        |more: &str| format!("[auth]\n{more}\n[[auth.key]]\npublic_key = {:?}\n", folder.file("key.pub.pem"));
    refused(&with_key("algorithms = [\"none\"]"), &["'none'", "ES256"]);
    refused(&with_key("algorithms = [\"RS256\"]"), &["ECDSA", "algorithms"]);
    refused(&with_key("sources = [\"body\"]"), &["'body'", "header"]);
    refused(&with_key("anonymous = [\"a*\"]"), &["anonymous", "pattern"]);
    refused(&with_key("leeway = \"2h\""), &["leeway", "1h"]);
    refused(&with_key("leeway = \"soon\""), &["leeway", "30s"]);
    let again = run(&["token", "key", "--alg", "ES256", "--out", &key]);
    is_refused(&again, &["exists already"]);
    is_refused(&run(&["token", "key", "--alg", "none", "--out", &key]), &["none", "--alg"]);
    let sign =
        |key: &str, more: &[&str]| run(&[&["token", "sign", "--key", key, "--sub", "a/b"], more].concat());
    is_refused(&sign(&key, &["--subscribe", "chat/{sub}"]), &["chat/{sub}", "subject"]);
    is_refused(&sign(&key, &["--publish", "a*"]), &["'a*'", "pattern"]);
    is_refused(&sign(&key, &["--expires", "soon"]), &["soon", "--expires"]);
    is_refused(&sign("/nowhere", &[]), &["/nowhere", "No such file"]);
    is_refused(&sign(&folder.file("key.pub.pem"), &[]), &["no private key"]);
}

#[test]
fn the_documented_settings_are_valid_with_and_without_their_optional_keys() {
    let folder = Folder::new("documented");
    folder.key("ES256", "issuer.pem");
    let page = include_str!("../../src/docs/identity.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let example = example.replace("issuer.pub.pem", &folder.file("issuer.pub.pem"));
    // The alternatives of one key exclude each other, and the JWKS needs a file.
    let all =
        example.replace("\n# secret", "\n## secret").replace("\n# jwks", "\n## jwks").replace("\n# ", "\n");
    for text in [example, all] {
        let file = TempFile::new("documented-auth.toml", &text);
        let output = run(&["check-config", file.path()]);
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr.escape_ascii());
    }
}

#[test]
fn an_admin_listener_serves_what_operators_need_and_disconnects_a_subject() {
    let folder = Folder::new("admin");
    let key = folder.key("EdDSA", "key.pem");
    let text = format!("[[auth.key]]\npublic_key = {:?}\n", folder.file("key.pub.pem"));
    let config = TempFile::new("auth-admin.toml", &text);
    let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", config.path()];
    let serving = Serving::start_with(&flags, |command| {
        command.env("WINDLASS_ADMIN_TOKEN", "for operators");
    });
    let [public, admin] = serving.addresses()[..] else { panic!("{:?}", serving.lines()) };
    let statuses = |address| {
        let mut client = Client::connect(address);
        ["/metrics", "/", "/healthz", "/topics"].map(|path| client.get(path).0)
    };
    assert_eq!(statuses(public), [404, 404, 200, 401]);
    assert_eq!(statuses(admin), [200, 200, 200, 404]);
    let token = sign(&key, &[]);
    assert_eq!(publish(&serving, "/topics/chat/alice", &token), 202);
    let mut client = Client::connect(admin);
    let mut disconnect = |token: &str, body: &str| {
        client.post("/admin/disconnect", &format!("Authorization: Bearer {token}\r\n"), body)
    };
    let alice = r#"{"subject":"alice"}"#;
    assert_eq!(disconnect("for nobody", alice).0, 401);
    for invalid in ["", "alice", "{}", r#"{"subject":""}"#, r#"{"subject":"a","more":1}"#] {
        assert_eq!(disconnect("for operators", invalid).0, 400, "{invalid}");
    }
    assert_eq!(publish(&serving, "/topics/chat/alice", &token), 202);
    let (status, _, body) = disconnect("for operators", alice);
    assert_eq!((status, body.trim_end()), (200, r#"{"subject":"alice","streams":0}"#));
    assert_eq!(publish(&serving, "/topics/chat/alice", &token), 401);
    assert_eq!(Client::connect(public).post("/admin/disconnect", "", alice).0, 404);
    let plain = Serving::start(&[]);
    assert_eq!(plain.connect().post("/admin/disconnect", "", alice).0, 404, "there is no admin token");
    assert_eq!(plain.connect().get("/metrics").0, 200);
}
