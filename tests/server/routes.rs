//! Routing: which route answers, and what its handler sees of the request.

use std::time::Duration;

use http::{Method, StatusCode};
use windlass::{Body, Request, Response, Route, Router, get, http, options, post, put, static_route};

use crate::common::{Peer, Reply, connect, endless, start};

fn param(name: &'static str) -> impl Fn(Request) -> String + Clone {
    move |request| request.param(name).unwrap_or_default().into_owned()
}

#[track_caller]
fn send(peer: &mut Peer, method: &str, target: &str) -> Reply {
    peer.request(method, target);
    peer.reply_to(method)
}

#[test]
fn a_parameter_matches_one_segment_and_a_rest_parameter_many() {
    let pair = |r: Request| format!("{}+{}", r.param("a").unwrap(), r.param("b").unwrap());
    let router = Router::new()
        .route(get("/user/{id}", param("id")))
        .route(get("/pair/{a}/and/{b}", pair))
        .route(get("/files/{*rest}", param("rest")))
        .route(get("/missing/{id}", param("other")));
    let server = start(router);
    let mut peer = connect(&server);
    assert_eq!(peer.get("/user/7").text(), "7");
    assert_eq!(peer.get("/pair/x/and/y").text(), "x+y");
    assert_eq!(peer.get("/files/a/b/c.txt").text(), "a/b/c.txt");
    assert_eq!(peer.get("/missing/7").text(), "");
    for unknown in ["/user/", "/user/7/more", "/user", "/files", "/pair/x/and"] {
        assert_eq!(peer.get(unknown).status, 404, "{unknown}");
    }
}

#[test]
fn exact_paths_take_precedence_over_patterns_in_any_order() {
    let router = Router::new()
        .route(get("/user/{id}", param("id")))
        .route(get("/{*any}", || "any"))
        .route(get("/user/me", || "exactly me"))
        .route(static_route("/user/fixed", "fixed"));
    let server = start(router);
    let mut peer = connect(&server);
    assert_eq!(peer.get("/user/me").text(), "exactly me");
    assert_eq!(peer.get("/user/fixed").text(), "fixed");
    assert_eq!(peer.get("/user/7").text(), "7");
    assert_eq!(peer.get("/elsewhere/7").text(), "any");
}

#[test]
fn parameters_are_percent_decoded_and_the_path_is_not() {
    let describe =
        |r: Request| format!("{}|{}|{}", r.path(), r.param_raw("name").unwrap(), r.param("name").unwrap());
    let server = start(Router::new().route(get("/hello/{name}", describe)));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/hello/a%20b%C3%A4").text(), "/hello/a%20b%C3%A4|a%20b%C3%A4|a bä");
    assert_eq!(
        peer.get("/hello/a%2Fb+c").text(),
        "/hello/a%2Fb+c|a%2Fb+c|a/b+c",
        "an encoded slash must not separate segments"
    );
    assert_eq!(
        peer.get("/hello/100%").text(),
        "/hello/100%|100%|100%",
        "a percent sign without digits must stay"
    );
}

#[test]
fn parameters_that_are_not_text_are_refused_without_running_a_handler() {
    let server =
        start(Router::new().route(get("/hello/{name}", |_: Request| -> &'static str { panic!("ran") })));
    for bad in ["%ff", "%00", "a%C3", "x%c0%af"] {
        let mut peer = connect(&server);
        let reply = peer.get(&format!("/hello/{bad}"));
        assert_eq!((reply.status, reply.closes()), (400, true), "{bad}");
        peer.expect_close();
    }
}

#[test]
fn the_query_is_not_part_of_the_path() {
    let describe = |r: Request| {
        let first = r.query_value("a").map_or("none".to_owned(), std::borrow::Cow::into_owned);
        format!("{}|{}|{first}", r.path(), r.query().unwrap_or("none"))
    };
    let server = start(Router::new().route(get("/q", describe)).route(static_route("/static", "s")));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/q").text(), "/q|none|none");
    assert_eq!(peer.get("/q?").text(), "/q||none");
    assert_eq!(peer.get("/q?b=2&a=1+2%26&a=3").text(), "/q|b=2&a=1+2%26&a=3|1 2&");
    assert_eq!(peer.get("/q?a=%ff").text(), "/q|a=%ff|\u{fffd}");
    assert_eq!(peer.get("/q?a").text(), "/q|a|", "a key without a value must have an empty value");
    assert_eq!(peer.get("/static?x=/q").text(), "s");
}

#[test]
fn a_known_path_with_another_method_answers_405_with_allow() {
    let router = Router::new()
        .route(get("/thing", || "got"))
        .route(put("/thing", || "put"))
        .route(Route::new(Method::from_bytes(b"PURGE").unwrap(), "/thing", || "purged"))
        .route(post("/only-post/{id}", || "posted"));
    let server = start(router);
    let mut peer = connect(&server);
    let refused = send(&mut peer, "DELETE", "/thing");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, PUT, OPTIONS, PURGE")));
    assert!(!refused.closes());
    assert_eq!(send(&mut peer, "PURGE", "/thing").text(), "purged");
    let refused = send(&mut peer, "GET", "/only-post/7");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(send(&mut peer, "HEAD", "/only-post/7").status, 405);
    assert_eq!(send(&mut peer, "DELETE", "/nowhere").status, 404);
}

#[test]
fn options_is_answered_unless_a_route_handles_it() {
    let router = Router::new()
        .route(get("/a", || "a"))
        .route(post("/b", || "b"))
        .route(options("/own", || Response::text("mine").with_header("x-own", "1")))
        .not_found(|| (StatusCode::NOT_FOUND, "nothing"));
    let server = start(router);
    let mut peer = connect(&server);
    let reply = send(&mut peer, "OPTIONS", "/a");
    assert_eq!((reply.status, reply.header("allow"), reply.body.len()), (204, Some("GET, HEAD, OPTIONS"), 0));
    assert_eq!(send(&mut peer, "OPTIONS", "/own").text(), "mine");
    assert_eq!(send(&mut peer, "OPTIONS", "/nowhere").text(), "nothing");
}

#[test]
fn options_asterisk_lists_all_methods_even_with_a_custom_404() {
    let router = || Router::new().route(get("/a", || "a")).route(post("/b", || "b"));
    for router in [router(), router().not_found(|| "own"), router().route(get("/{*any}", || "any"))] {
        let server = start(router);
        let mut peer = connect(&server);
        let reply = send(&mut peer, "OPTIONS", "*");
        assert_eq!(reply.status, 204);
        let mut allowed: Vec<_> = reply.header("allow").unwrap().split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "OPTIONS", "POST"]);
        assert_eq!(peer.get("/a").text(), "a");
    }
}

#[test]
fn head_is_get_without_its_body_on_every_kind_of_route() {
    async fn delayed(_: Request) -> &'static str {
        "async text"
    }
    let router = Router::new()
        .route(static_route("/static", "static text"))
        .route(get("/inline", || "inline text"))
        .route(get("/async", delayed).run_async())
        .route(get("/blocking", || "blocking text").run_async())
        .route(get("/method", |r: Request| r.method().to_string()));
    let server = start(router);
    let mut peer = connect(&server);
    for path in ["/static", "/inline", "/async", "/blocking"] {
        let got = peer.get(path);
        let head = send(&mut peer, "HEAD", path);
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-length"), Some(got.body.len().to_string().as_str()), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
    }
    assert_eq!(
        send(&mut peer, "HEAD", "/method").header("content-length"),
        Some("4"),
        "the handler must see HEAD"
    );
    assert_eq!(peer.get("/static").text(), "static text", "a reply to HEAD must send no body");
}

#[test]
fn a_custom_404_handler_answers_every_method_with_its_own_status() {
    let own = |mut r: Request| {
        let body = r.take_body().as_bytes().map_or(0, <[u8]>::len);
        (StatusCode::IM_A_TEAPOT, format!("{} {} {body}", r.method(), r.path()))
    };
    let server = start(Router::new().route(get("/a", || "a")).not_found(own));
    let mut peer = connect(&server);
    let reply = peer.get("/b");
    assert_eq!((reply.status, reply.text()), (418, "GET /b 0".to_owned()));
    assert_eq!(peer.post("/c", "four").text(), "POST /c 4");
    assert_eq!(
        send(&mut peer, "DELETE", "/a").status,
        405,
        "a known path must answer 405, not the custom 404"
    );
}

#[test]
fn an_absolute_target_sets_path_and_host() {
    let describe = |r: Request| format!("{} {} {:?}", r.path(), r.host().unwrap(), r.query());
    let server = start(Router::new().route(get("/a", describe)).route(get("/", describe)));
    let mut peer = connect(&server);
    let mut send = |target: &str| {
        peer.send(format!("GET {target} HTTP/1.1\r\nHost: header.example\r\n\r\n"));
        peer.reply().text()
    };
    assert_eq!(send("http://target.example:81/a?q=1"), "/a target.example:81 Some(\"q=1\")");
    assert_eq!(send("http://target.example"), "/ target.example None");
    assert_eq!(send("/a"), "/a header.example None");
}

#[test]
fn groups_add_their_prefix_and_may_nest() {
    let router = Router::new().group("/api", |api| {
        api.route(get("/", || "root"))
            .route(get("/{id}", param("id")))
            .group("v2/", |v2| v2.route(get("/x", || "v2 x")).route(post("/x", || "posted")))
    });
    let server = start(router);
    let mut peer = connect(&server);
    assert_eq!(peer.get("/api").text(), "root");
    assert_eq!(peer.get("/api/7").text(), "7");
    assert_eq!(peer.get("/api/v2/x").text(), "v2 x");
    assert_eq!(peer.post("/api/v2/x", "").text(), "posted");
    assert_eq!(peer.get("/x").status, 404);
}

#[test]
fn a_route_may_set_its_own_body_limit_and_a_streamed_route_has_none() {
    async fn count(mut request: Request) -> String {
        let body = request.take_body().collect(usize::MAX).await.unwrap();
        body.len().to_string()
    }
    let router = Router::new()
        .route(post("/default", count))
        .route(post("/small", count).body_limit(4))
        .route(post("/large", count).body_limit(3 << 20))
        .route(post("/streamed", count).streamed());
    let server = start(router);
    let large = vec![b'x'; (1 << 20) + 1];
    assert_eq!(connect(&server).post("/default", &large[1..]).text(), (1 << 20).to_string());
    let mut peer = connect(&server);
    peer.send(format!("POST /default HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", large.len()));
    assert_eq!(
        peer.reply().status,
        413,
        "a declared length over the limit must be refused before the body is sent"
    );
    assert_eq!(connect(&server).post("/small", "four").text(), "4");
    assert_eq!(connect(&server).post("/small", "fives").status, 413);
    assert_eq!(connect(&server).post("/large", &large).text(), large.len().to_string());
    assert_eq!(connect(&server).post("/streamed", &large).text(), large.len().to_string());
}

#[test]
fn each_return_type_of_a_handler_becomes_its_documented_response() {
    let router = Router::new()
        .route(get("/unit", || ()))
        .route(get("/str", || "text"))
        .route(get("/string", || String::from("text")))
        .route(get("/bytes", || bytes::Bytes::from_static(b"\0\x01")))
        .route(get("/vec", || vec![2u8, 3]))
        .route(get("/status", || StatusCode::ACCEPTED))
        .route(get("/pair", || (StatusCode::CREATED, "made")))
        .route(get("/body", || Body::from("bare")))
        .route(get("/ok", || -> Result<&str, StatusCode> { Ok("fine") }))
        .route(get("/err", || -> Result<&str, StatusCode> { Err(StatusCode::CONFLICT) }))
        .route(get("/http", || {
            http::Response::builder().status(203).header("x-a", "1").body("http").unwrap()
        }));
    let server = start(router);
    let mut peer = connect(&server);
    let (text, bytes) = (Some("text/plain; charset=utf-8"), Some("application/octet-stream"));
    let expected: [(&str, u16, Option<&str>, &[u8]); 11] = [
        ("/unit", 200, None, b""),
        ("/str", 200, text, b"text"),
        ("/string", 200, text, b"text"),
        ("/bytes", 200, bytes, b"\0\x01"),
        ("/vec", 200, bytes, b"\x02\x03"),
        ("/status", 202, None, b""),
        ("/pair", 201, text, b"made"),
        ("/body", 200, None, b"bare"),
        ("/ok", 200, text, b"fine"),
        ("/err", 409, None, b""),
        ("/http", 203, None, b"http"),
    ];
    for (path, status, content_type, body) in expected {
        let reply = peer.get(path);
        assert_eq!(
            (reply.status, reply.header("content-type"), reply.body.as_slice()),
            (status, content_type, body)
        );
        assert!(reply.header("date").is_some(), "{path}");
    }
}

#[test]
fn requests_and_responses_convert_to_and_from_the_http_crate() {
    async fn tower_like(mut request: Request) -> Result<http::Response<Body>, StatusCode> {
        request.extensions_mut().insert(7u8);
        let request: http::Request<Body> = request.try_into().map_err(|_| StatusCode::BAD_REQUEST)?;
        let (parts, body) = request.into_parts();
        let body = body.collect(1024).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let text = format!(
            "{} {} {:?} {:?} {:?} {:?} {}",
            parts.method,
            parts.uri,
            parts.version,
            parts.headers.get("host").unwrap(),
            parts.headers.get_all("x-two").iter().collect::<Vec<_>>(),
            parts.extensions.get::<u8>(),
            String::from_utf8_lossy(&body),
        );
        let response =
            http::Response::builder().status(206).header("set-cookie", "a=1").header("set-cookie", "b=2");
        Ok(response.body(Body::from(text)).unwrap())
    }
    let server = start(Router::new().route(post("/t/{x}", tower_like)));
    let mut peer = connect(&server);
    peer.send(
        "POST http://target.example/t/1?q=2 HTTP/1.1\r\nHost: t\r\nX-Two: a\r\nx-two: b\r\n\
         Content-Length: 4\r\n\r\nbody",
    );
    let reply = peer.reply();
    assert_eq!(reply.status, 206);
    let text = r#"POST /t/1?q=2 HTTP/1.1 "target.example" ["a", "b"] Some(7) body"#;
    assert_eq!(reply.text(), text, "the authority of the target must override Host");
    let cookies: Vec<_> =
        reply.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, v)| v).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[test]
fn headers_of_a_handler_cannot_break_the_framing() {
    let overruled = |_: Request| {
        Response::text("four")
            .with_header("content-length", "9")
            .with_header("transfer-encoding", "chunked")
            .with_header("connection", "x-kept")
            .with_header("x-kept", "1")
    };
    let split = |_: Request| Response::text("x").with_header("x-a", "1\r\nx-b: 2");
    let close =
        |_: Request| Response::new().with_header("connection", "close").with_header("date", "long ago");
    let router = Router::new()
        .route(get("/overruled", overruled))
        .route(get("/split", split))
        .route(get("/interim", || StatusCode::CONTINUE))
        .route(get("/close", close));
    let server = start(router);
    let mut peer = connect(&server);
    let reply = peer.get("/overruled");
    assert_eq!((reply.text().as_str(), reply.header("content-length")), ("four", Some("4")));
    assert_eq!((reply.header("transfer-encoding"), reply.header("x-kept")), (None, Some("1")));
    assert_eq!(reply.header("connection"), None);
    let split = peer.get("/split");
    assert_eq!((split.status, split.header("x-b")), (500, None));
    assert_eq!(peer.get("/interim").status, 500);
    let last = peer.get("/close");
    assert_eq!((last.closes(), last.header("date")), (true, Some("long ago")));
    peer.expect_close();
}

#[test]
fn a_route_added_at_run_time_takes_precedence_at_its_exact_path() {
    let server = start(Router::new().route(get("/{any}", || "pattern")));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/new").text(), "pattern");
    server.routes().add_blocking(static_route("/new", "exact")).unwrap();
    assert_eq!(peer.get("/new").text(), "exact");
    server.routes().remove_blocking(Method::GET, "/new").unwrap();
    assert_eq!(peer.get("/new").text(), "pattern");
}

#[test]
fn a_server_with_invalid_sizes_does_not_start() {
    let mut limits = windlass::Limits::default();
    limits.headers = 0;
    let refused = crate::common::builder(Router::new()).limits(limits).start().unwrap_err();
    assert!(refused.to_string().contains("headers must be from 1 to 1024"), "{refused}");
    let mut pool = windlass::PoolSettings::default();
    pool.workers = Some(0);
    let refused = crate::common::builder(Router::new()).pool(pool).start().unwrap_err();
    assert!(refused.to_string().contains("workers must be from 1 to 1024"), "{refused}");
}

#[test]
fn timeouts_beyond_the_clocks_range_never_expire() {
    let mut timeouts = endless();
    for timeout in
        [&mut timeouts.header, &mut timeouts.body_idle, &mut timeouts.keep_alive, &mut timeouts.age]
    {
        *timeout = Some(Duration::MAX);
    }
    (timeouts.job, timeouts.write_stall, timeouts.stream_idle) =
        (Some(Duration::MAX), Some(Duration::MAX), None);
    (timeouts.body_grace, timeouts.linger, timeouts.grace) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let router = Router::new()
        .route(post("/echo", |mut r: Request| r.take_body()))
        .route(get("/a", || "a").run_async());
    let server = crate::common::builder(router).timeouts(timeouts).start().unwrap();
    let mut peer = connect(&server);
    peer.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Le");
    peer.send("ngth: 2\r\n\r\na");
    peer.send("b");
    assert_eq!(peer.reply().text(), "ab");
    assert_eq!(peer.get("/a").text(), "a");
    drop(peer);
    assert_eq!(server.drain(None).cut_total(), 0);
}
