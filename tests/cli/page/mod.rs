//! The page at `/`: its content security policy, and its display in a real browser under load.

mod browser;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::{Client, Serving, eventually};
use browser::Browser;

/// Returns the text between the first pair of these tags.
fn between<'a>(page: &'a str, tag: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once(&format!("</{tag}>")).unwrap().0
}

#[test]
fn the_policy_allows_only_the_pages_own_script_and_style() {
    let serving = Serving::start(&[]);
    let chat: &[_] = if cfg!(feature = "ws") { &["/demo/ws"] } else { &[] };
    for path in ["/", "/demo", "/demo/sse"].iter().chain(chat) {
        let (status, head, page) = serving.connect().get(path);
        assert_eq!(status, 200, "{path}");
        let policy =
            head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).expect(&head);
        let scripts = usize::from(*path != "/demo");
        for (tag, directive, count) in [("script", "script-src", scripts), ("style", "style-src", 1)] {
            let found = page.matches(&format!("<{tag}")).count();
            assert_eq!(found, count, "{path}: elements {tag}, without attributes");
            assert_eq!(policy.matches(directive).count(), count, "{path}: {policy}");
            if count == 1 {
                let hash = STANDARD.encode(Sha256::digest(between(&page, tag)));
                // The client lowercases the head.
                let wanted = format!("{directive} 'sha256-{hash}'").to_ascii_lowercase();
                assert!(policy.contains(&wanted), "the page {path} needs: {directive} 'sha256-{hash}'");
            }
        }
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("connect-src 'self';"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'none'"),
            "{policy}"
        );
        assert!(head.contains("x-content-type-options: nosniff\r\n"), "{path}: {head}");
        let outside = page.split("xmlns='http://www.w3.org/2000/svg'").collect::<String>();
        let outside = outside.replace("\"http://www.w3.org/2000/svg\"", "");
        let outside = outside.replace("location.protocol === \"https:\"", "");
        assert!(
            !outside.contains("http:") && !outside.contains("https:") && !outside.contains("=\"//"),
            "{path}: the page must not load from other hosts"
        );
        for attribute in [" style=", " onclick=", " onload="] {
            assert!(!page.contains(attribute), "{path}: the policy forbids inline attributes");
        }
    }
}

#[test]
fn the_page_links_to_what_is_served() {
    for (arguments, present, missing) in [
        (&[][..], &["demo", "topics", "metrics", "healthz", "readyz"][..], &[][..]),
        (&["--no-demo"], &["topics", "metrics"], &["demo"]),
        (&["--no-demo", "--no-topics"], &["metrics"], &["demo", "topics"]),
    ] {
        let serving = Serving::start(arguments);
        let mut client = serving.connect();
        let page = client.get("/").2;
        for path in present {
            assert!(page.contains(&format!("href=\"{path}\"")), "{arguments:?}: {path}");
            assert_eq!(client.get(&format!("/{path}")).0, 200, "{arguments:?}: {path}");
        }
        for path in missing {
            assert!(!page.contains(&format!("href=\"{path}\"")), "{arguments:?}: {path}");
        }
    }
}

/// Returns the number that an element shows; 0 if it shows none.
fn number(browser: &mut Browser, id: &str) -> f64 {
    let text = browser.eval(&format!("document.getElementById('{id}').textContent"));
    text.as_str().unwrap().replace(',', "").parse().unwrap_or(0.0)
}

fn text(browser: &mut Browser, id: &str) -> String {
    browser.eval(&format!("document.getElementById('{id}').textContent")).as_str().unwrap().to_owned()
}

#[test]
fn a_browser_shows_changing_numbers_under_load() {
    let mut serving = Serving::start(&[]);
    let url = format!("http://{}/", serving.address());
    let Some(mut browser) = Browser::open("load", &url) else {
        println!("skipped: no Chromium is installed (Debian: apt-get install chromium)");
        return;
    };
    eventually("the page is live", || browser.eval("document.getElementById('state')?.className") == "live");
    eventually("the page shows its own connection", || number(&mut browser, "connections") >= 1.0);
    let held: Vec<_> = (0..25).map(|_| serving.connect()).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let address = serving.address();
        let stop = &stop;
        scope.spawn(move || send_requests_until(address, stop));
        eventually("requests", || number(&mut browser, "requests") > 20.0);
        eventually("connections", || number(&mut browser, "connections") >= 26.0);
        eventually("promoted connections", || number(&mut browser, "promoted") >= 1.0);
        eventually("topics", || number(&mut browser, "topics") >= 1.0);
        eventually("latency", || text(&mut browser, "p99").ends_with("ms"));
        let line = "document.querySelector('#charts path').getAttribute('d').split('L').length";
        eventually("the chart shows a line", || browser.eval(line).as_f64() >= Some(3.0));
        check_display(&mut browser);
        stop.store(true, Relaxed);
    });
    assert_eq!(
        browser.eval("document.querySelectorAll('#shards tr').length"),
        2,
        "the table must have a row per shard"
    );
    drop(held);
    eventually("the connections are closed", || number(&mut browser, "connections") < 10.0);
    let elsewhere =
        format!("performance.getEntriesByType('resource').filter((r) => !r.name.startsWith('{url}')).length");
    assert_eq!(browser.eval(&elsewhere), 0, "the page must load from its server only");
    assert_eq!(browser.errors, Vec::<String>::new());
    serving.signal(rustix::process::Signal::TERM);
    assert!(serving.ended().success(), "an open page must not delay the drain");
    eventually("the page shows the lost connection", || text(&mut browser, "state") == "connection lost");
}

/// Sends requests to inline and async routes, and publishes.
fn send_requests_until(address: std::net::SocketAddr, stop: &AtomicBool) {
    let mut client = Client::connect(address);
    while !stop.load(Relaxed) {
        assert_eq!(client.get("/demo/json").0, 200);
        assert_eq!(client.get("/demo/work?ms=2").0, 200);
        assert_eq!(client.post("/topics/page", "", "event").0, 202);
    }
}

/// Checks the page on a wide screen and a phone, light and dark, and with the keyboard alone.
fn check_display(browser: &mut Browser) {
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.show(1280, 900, "light");
    let light = browser.eval(ground);
    browser.show(1280, 900, "dark");
    assert_ne!(browser.eval(ground), light, "the dark scheme must have another background");
    browser.show(375, 1500, "dark");
    browser.show(375, 1500, "light");
    assert_eq!(
        browser.eval("document.documentElement.scrollWidth"),
        375,
        "the page must fit the width of a phone"
    );
    browser.press("Tab", "");
    assert_eq!(
        browser.eval("document.activeElement.id"),
        "pause",
        "the first Tab must focus the pause button"
    );
    browser.press("Enter", "\r");
    eventually("the page pauses", || text(browser, "state") == "paused");
    browser.press("Enter", "\r");
    eventually("the page continues", || browser.eval("document.getElementById('state').className") == "live");
    let names =
        browser.eval("[...document.querySelectorAll('svg')].map((svg) => svg.getAttribute('aria-label'))");
    let is_labelled = |name: &Value| name.as_str().unwrap().contains("last two minutes: ");
    assert!(
        names.as_array().is_some_and(|names| names.len() == 4 && names.iter().all(is_labelled)),
        "{names}"
    );
}

#[test]
fn the_demo_pages_work_under_their_policy() {
    let serving = Serving::start(&[]);
    let mut pages = vec![("/demo", "document.querySelectorAll('a').length > 5")];
    pages.push((
        "/demo/sse",
        "[...document.querySelectorAll('h2 span')].every((h) => /: connected/.test(h.textContent))",
    ));
    if cfg!(feature = "ws") {
        pages.push(("/demo/ws", "document.getElementById('state')?.textContent.startsWith('1 member')"));
    }
    for (path, works) in pages {
        let url = format!("http://{}{path}", serving.address());
        let Some(mut browser) = Browser::open(&path.replace('/', "-"), &url) else {
            println!("skipped: no Chromium is installed (Debian: apt-get install chromium)");
            return;
        };
        eventually(path, || browser.eval(works) == true);
        let style = "document.body && getComputedStyle(document.body).maxWidth !== 'none'";
        eventually("the style applies", || browser.eval(style) == true);
        assert_eq!(browser.errors, Vec::<String>::new(), "{path}");
    }
}
