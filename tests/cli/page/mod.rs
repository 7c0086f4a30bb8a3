//! The page at `/`: its policy, and what a real browser shows of it while load runs.

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

/// Returns what stands between a page's first tags of this name.
fn between<'a>(page: &'a str, tag: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once(&format!("</{tag}>")).unwrap().0
}

#[test]
fn the_page_may_run_its_own_script_and_style_and_nothing_else() {
    let serving = Serving::start(&[]);
    let (status, head, page) = serving.connect().get("/");
    assert_eq!(status, 200);
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).expect(&head);
    for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
        assert_eq!(page.matches(&format!("<{tag}")).count(), 1, "one {tag}, without attributes");
        let hash = STANDARD.encode(Sha256::digest(between(&page, tag)));
        // The client lowers all letters of a head.
        let wanted = format!("{directive} 'sha256-{hash}'").to_ascii_lowercase();
        assert!(policy.contains(&wanted), "src/cli/page.rs must say: {directive} 'sha256-{hash}'");
    }
    assert!(policy.starts_with("default-src 'none';") && policy.contains("connect-src 'self';"), "{policy}");
    let outside = page.split("xmlns='http://www.w3.org/2000/svg'").collect::<String>();
    let outside = outside.replace("\"http://www.w3.org/2000/svg\"", "");
    assert!(
        !outside.contains("http:") && !outside.contains("https:") && !outside.contains("=\"//"),
        "it asks others"
    );
    assert!(!page.contains(" style=") && !page.contains(" onclick="), "the policy forbids these");
}

#[test]
fn the_page_links_what_is_served() {
    for (arguments, there, missing) in [
        (&[][..], &["demo", "topics", "metrics", "healthz", "readyz"][..], &[][..]),
        (&["--no-demo"], &["topics", "metrics"], &["demo"]),
        (&["--no-demo", "--no-topics"], &["metrics"], &["demo", "topics"]),
    ] {
        let serving = Serving::start(arguments);
        let mut client = serving.connect();
        let page = client.get("/").2;
        for path in there {
            assert!(page.contains(&format!("href=\"{path}\"")), "{arguments:?}: {path}");
            assert_eq!(client.get(&format!("/{path}")).0, 200, "{arguments:?}: {path}");
        }
        for path in missing {
            assert!(!page.contains(&format!("href=\"{path}\"")), "{arguments:?}: {path}");
        }
    }
}

/// Returns the number that an element shows; 0 for none.
fn number(browser: &mut Browser, id: &str) -> f64 {
    let text = browser.eval(&format!("document.getElementById('{id}').textContent"));
    text.as_str().unwrap().replace(',', "").parse().unwrap_or(0.0)
}

fn text(browser: &mut Browser, id: &str) -> String {
    browser.eval(&format!("document.getElementById('{id}').textContent")).as_str().unwrap().to_owned()
}

#[test]
fn in_a_browser_the_numbers_move_when_load_runs() {
    let mut serving = Serving::start(&[]);
    let url = format!("http://{}/", serving.address());
    let Some(mut browser) = Browser::open("load", &url) else {
        println!("skipped: no Chromium is installed (Debian: apt-get install chromium)");
        return;
    };
    eventually("the page is live", || browser.eval("document.getElementById('state')?.className") == "live");
    eventually("it shows itself", || number(&mut browser, "connections") >= 1.0);
    let held: Vec<_> = (0..25).map(|_| serving.connect()).collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let address = serving.address();
        let over = &over;
        scope.spawn(move || ask_until(address, over));
        eventually("requests", || number(&mut browser, "requests") > 20.0);
        eventually("connections", || number(&mut browser, "connections") >= 26.0);
        eventually("promoted connections", || number(&mut browser, "promoted") >= 1.0);
        eventually("topics", || number(&mut browser, "topics") >= 1.0);
        eventually("latency", || text(&mut browser, "p99").ends_with("ms"));
        let line = "document.querySelector('#charts path').getAttribute('d').split('L').length";
        eventually("a line is drawn", || browser.eval(line).as_f64() >= Some(3.0));
        look(&mut browser);
        over.store(true, Relaxed);
    });
    assert_eq!(browser.eval("document.querySelectorAll('#shards tr').length"), 2, "a row for each shard");
    drop(held);
    eventually("they are gone", || number(&mut browser, "connections") < 10.0);
    let elsewhere =
        format!("performance.getEntriesByType('resource').filter((r) => !r.name.startsWith('{url}')).length");
    assert_eq!(browser.eval(&elsewhere), 0, "it asked nobody but its server");
    assert_eq!(browser.complaints, Vec::<String>::new());
    serving.signal(rustix::process::Signal::TERM);
    assert!(serving.ended().success(), "who watches holds no drain up");
    eventually("the page says so", || text(&mut browser, "state") == "connection lost");
}

/// Asks for inline and async routes, and publishes.
fn ask_until(address: std::net::SocketAddr, over: &AtomicBool) {
    let mut client = Client::connect(address);
    while !over.load(Relaxed) {
        assert_eq!(client.get("/demo/json").0, 200);
        assert_eq!(client.get("/demo/work?ms=2").0, 200);
        assert_eq!(client.post("/topics/page", "", "event").0, 202);
    }
}

/// Looks at the page as people do: wide and on a phone, light and dark, with the keyboard alone.
fn look(browser: &mut Browser) {
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.show(1280, 900, "light");
    let light = browser.eval(ground);
    browser.show(1280, 900, "dark");
    assert_ne!(browser.eval(ground), light, "dark is not light");
    browser.show(375, 1500, "dark");
    browser.show(375, 1500, "light");
    assert_eq!(browser.eval("document.documentElement.scrollWidth"), 375, "a phone shows all of its width");
    browser.press("Tab", "");
    assert_eq!(browser.eval("document.activeElement.id"), "pause", "the keyboard reaches it");
    browser.press("Enter", "\r");
    eventually("it pauses", || text(browser, "state") == "paused");
    browser.press("Enter", "\r");
    eventually("it goes on", || browser.eval("document.getElementById('state').className") == "live");
    let names =
        browser.eval("[...document.querySelectorAll('svg')].map((svg) => svg.getAttribute('aria-label'))");
    let told = |name: &Value| name.as_str().unwrap().contains("last two minutes: ");
    assert!(names.as_array().is_some_and(|names| names.len() == 4 && names.iter().all(told)), "{names}");
}
