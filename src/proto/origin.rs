//! Check of the Origin header field (RFC 6454 §7), against cross-site requests.
//!
//! A browser lets a page of any site open a WebSocket to this server (RFC 6455 §10.2) or send it a simple
//! `POST` (the "no-cors" mode of Fetch). The request carries the user's cookies for this server and comes
//! from the user's network. But it also carries the page's origin, so the server can reject it.

/// Origins whose pages are allowed. The check is only for requests that have an Origin: a client that sends
/// none is not a browser and is always allowed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Origins {
    /// Pages of the host and port that the request is for. Default.
    #[default]
    Same,
    /// Pages of the host and port that the request is for, and pages of these origins, in a browser's
    /// notation: `https://app.example.com`.
    SameOr(Vec<String>),
    /// All pages. Use it only if access depends neither on cookies nor on the client's network.
    Any,
}

impl Origins {
    /// Returns `true` if a page of `origin`, the value of the Origin field, may send a request to
    /// `authority`, the host and port that the request is for. `None`: the request names none.
    pub fn allow(&self, origin: &[u8], authority: Option<&[u8]>) -> bool {
        *self == Self::Any
            || self.lists(origin)
            || authority.is_some_and(|authority| is_same(origin, authority))
    }

    /// Returns `true` if `origin` is one of the origins in [`SameOr`](Self::SameOr). Case does not matter,
    /// and either may name the default port of its scheme.
    pub fn lists(&self, origin: &[u8]) -> bool {
        let Self::SameOr(listed) = self else { return false };
        let is_equal = |listed: &String| bare(listed.as_bytes()).eq_ignore_ascii_case(bare(origin));
        listed.iter().any(is_equal)
    }
}

/// Removes the default port of an origin's scheme.
fn bare(origin: &[u8]) -> &[u8] {
    let without = |scheme: &[u8], port: &[u8]| match origin.get(..scheme.len()) {
        Some(start) if start.eq_ignore_ascii_case(scheme) => origin.strip_suffix(port),
        _ => None,
    };
    without(b"http://", b":80").or_else(|| without(b"https://", b":443")).unwrap_or(origin)
}

/// Returns `true` if the origin has the host and port of the authority. Either may omit the default port of
/// the origin's scheme. The schemes are not compared, because a proxy in front may terminate TLS.
fn is_same(origin: &[u8], authority: &[u8]) -> bool {
    let Some(colon) = origin.iter().position(|&byte| byte == b':') else { return false };
    let (scheme, rest) = origin.split_at(colon);
    let Some(host) = rest.strip_prefix(b"://") else { return false };
    let port: &[u8] = match scheme {
        b"http" => b":80",
        b"https" => b":443",
        _ => return false,
    };
    let bare = |host| <[u8]>::strip_suffix(host, port).unwrap_or(host);
    let (host, authority) = (bare(host), bare(authority));
    !host.is_empty() && host.eq_ignore_ascii_case(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(origin: &str, authority: &str) -> bool {
        Origins::Same.allow(origin.as_bytes(), Some(authority.as_bytes()))
    }

    #[test]
    fn host_and_port_must_match_and_a_default_port_may_be_omitted() {
        for (origin, authority) in [
            ("http://a.example", "a.example"),
            ("https://A.example", "a.EXAMPLE"),
            ("http://a.example", "a.example:80"),
            ("https://a.example:443", "a.example"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert!(same(origin, authority), "{origin} {authority}");
        }
        for (origin, authority) in [
            ("http://b.example", "a.example"),
            ("http://a.example.b.example", "a.example"),
            ("http://a.example:8080", "a.example"),
            ("http://a.example", "a.example:443"),
            ("https://a.example", "a.example:80"),
            ("http://a.example/", "a.example"),
            ("file://a.example", "a.example"),
            ("a.example", "a.example"),
            ("http:a.example", "a.example"),
            ("null", "null"),
            ("http://", ""),
            ("http://:80", ":80"),
            ("", ""),
        ] {
            assert!(!same(origin, authority), "{origin} {authority}");
        }
        assert!(!Origins::Same.allow(b"http://a", None));
    }

    #[test]
    fn a_list_extends_the_same_origin_and_any_allows_all() {
        let listed = Origins::SameOr(vec!["https://app.example".into()]);
        assert!(listed.allow(b"https://app.example", Some(b"a.example")));
        assert!(listed.allow(b"http://a.example", Some(b"a.example")));
        assert!(!listed.allow(b"http://app.example", Some(b"a.example")));
        assert!(Origins::Any.allow(b"null", None));
        for origins in [&listed, &Origins::Same, &Origins::Any] {
            assert_eq!(origins.lists(b"https://app.example"), origins == &listed);
            assert!(!origins.lists(b"http://a.example"));
        }
    }

    #[test]
    fn a_listed_origin_may_name_its_default_port() {
        let listed = Origins::SameOr(vec!["https://app.example:443".into(), "http://b.example:8080".into()]);
        for origin in ["https://app.example", "HTTPS://APP.example:443", "http://b.example:8080"] {
            assert!(listed.lists(origin.as_bytes()), "{origin}");
        }
        for origin in
            ["https://app.example:80", "http://app.example", "http://b.example", "b.example:8080", ""]
        {
            assert!(!listed.lists(origin.as_bytes()), "{origin}");
        }
    }
}
