//! The same files over HTTP/2 and TLS.

#[cfg(feature = "http2")]
use windlass::{
    Router,
    http::{Method, Request},
    static_dir,
};

#[cfg(feature = "http2")]
use super::{Dir, MODIFIED_DATE};
#[cfg(feature = "http2")]
use crate::{
    common::{eventually, metric, start},
    h2::client::{Client, request},
};

/// Content of the large file: no two places are the same.
fn large() -> String {
    (0..100_000u32).map(|n| format!("{n:07},")).collect()
}

#[cfg(feature = "http2")]
#[test]
fn http2_serves_files_ranges_and_conditions() {
    let large = large();
    let dir = Dir::with(&[("small", "text"), ("large", &large), ("sub/index.html", "index")]);
    let server = start(Router::new().route(static_dir("/", &dir.0)));
    let mut client = Client::connect(&server);
    let small = client.get("/small");
    assert_eq!((small.text(), small.header("last-modified")), ("text", Some(MODIFIED_DATE)));
    assert_eq!(client.get("/large").text(), large);
    assert_eq!(client.get("/sub").header("location"), Some("/sub/"));
    assert_eq!(client.get("/sub/").text(), "index");
    assert_eq!(client.get("/missing").status, 404);
    let mut send = |path: &str, name: &str, value: &str| {
        let (mut parts, ()) = request(Method::GET, path).into_parts();
        parts.headers.insert(windlass::http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        client.request(Request::from_parts(parts, ()), Default::default())
    };
    let etag = small.header("etag").unwrap();
    assert_eq!(send("/small", "if-none-match", etag).status, 304);
    assert_eq!(send("/small", "if-match", "\"x\"").status, 412);
    assert_eq!(send("/large", "range", "bytes=65530-65545").text(), &large[65_530..65_546]);
    assert_eq!(send("/large", "range", "bytes=800000-").status, 416);
    assert!(send("/large", "range", "bytes=0-9,20-").text().contains(&large[20..]));
    let head = client.call(Method::HEAD, "/large", "");
    assert_eq!((head.header("content-length"), head.text()), (Some("800000"), ""));
}

#[cfg(feature = "http2")]
#[test]
fn a_file_truncated_while_it_is_sent_resets_its_http2_stream_only() {
    let dir = Dir::new();
    dir.write("large", vec![b'a'; 8 << 20]);
    dir.write("small", "text");
    let server = start(Router::new().route(static_dir("/", &dir.0)));
    let mut client = Client::connect(&server);
    // The window of the stream is smaller than the file, and the body is not read yet.
    let (response, mut stream) = client.open(request(Method::GET, "/large"));
    stream.send_data(Default::default(), true).unwrap();
    let response = client.wait(response).unwrap();
    assert_eq!(response.status(), 200);
    std::fs::File::options().write(true).open(dir.path("large")).unwrap().set_len(10).unwrap();
    let mut body = response.into_body();
    let ended = client.wait(async move {
        while let Some(data) = body.data().await {
            let data = data?;
            assert!(data.iter().all(|byte| *byte == b'a'));
            body.flow_control().release_capacity(data.len())?;
        }
        Ok::<(), ::h2::Error>(())
    });
    assert!(ended.unwrap_err().is_reset());
    assert_eq!(client.get("/small").text(), "text");
    eventually("the change is counted", || {
        metric(&server, "windlass_file_errors_total{cause=\"changed\"}") == 1.0
    });
}

#[cfg(feature = "tls")]
#[test]
fn files_are_served_over_tls() {
    use std::sync::Arc;

    use windlass::{Router, Tls, actors::Cores, static_dir};

    use super::Dir;
    use crate::{
        common::{address, base_builder},
        tls::{
            client::{Client, trusting},
            pair,
        },
    };
    let large = large();
    let dir = Dir::with(&[("small", "text"), ("large", &large)]);
    let (chain, key) = pair("localhost");
    let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let builder = base_builder().listen_tls("127.0.0.1:0", tls);
    let router = Router::new().route(static_dir("/", &dir.0));
    let server = builder.cores(Cores::Unpinned(2)).router(router).start().unwrap();
    let mut client = Client::connect(address(&server), &Arc::new(trusting(&chain)));
    assert_eq!(client.get("/small").text(), "text");
    assert_eq!(client.get("/large").text(), large);
    client.send("GET /large HTTP/1.1\r\nHost: t\r\nRange: bytes=65530-65545\r\n\r\n");
    assert_eq!(client.reply().text(), large[65_530..65_546]);
}
