//! Requests in the form that clients send.

use windlass::proto::h1::encode;

pub(crate) const DATE: &encode::Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Request that wrk sends.
pub(crate) const WRK: &[u8] = b"GET /demo/plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// Request that a browser sends, with 20 fields.
pub(crate) const BROWSER: &[u8] = b"GET /shop/items/42?ref=home&utm_source=mail HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    DNT: 1\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://shop.example.com/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    If-None-Match: W/\"5e1a-18f3c2b7d40\"\r\n\
    Priority: u=0, i\r\n\r\n";
