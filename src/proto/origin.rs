//! Pages of which origin may do what a browser lets any page try: open a WebSocket (RFC 6455 §10.2), or send
//! a simple `POST` (fetch's "no-cors").
//!
//! A browser carries both out for a page of any site, with the cookies of ours and from the user's network.
//! What it does send is Origin (RFC 6454 §7).

/// Pages of which origin may. A client that sends no Origin is not a browser and may always.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Origins {
    /// Pages of the host and port that the request is for. The default.
    #[default]
    Same,
    /// Those, and pages of these origins, each as a browser writes it: `https://app.example.com`.
    SameOr(Vec<String>),
    /// All pages: right only if nothing a client may do here depends on cookies or on the client's network.
    Any,
}

impl Origins {
    /// Says whether a page of this origin may talk to this authority.
    pub fn allow(&self, origin: &[u8], authority: Option<&[u8]>) -> bool {
        let same = || authority.is_some_and(|authority| is_same(origin, authority));
        match self {
            Self::Any => true,
            Self::Same => same(),
            Self::SameOr(listed) => {
                listed.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(origin)) || same()
            }
        }
    }
}

/// Says whether an origin's host and port are those of an authority. The default port of the origin's scheme
/// may be left out of either. The schemes themselves are not compared: a proxy before us may have taken TLS
/// off.
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
    fn host_and_port_must_be_the_same_and_a_default_port_may_be_left_out() {
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
    fn a_list_adds_to_the_same_origin_and_any_takes_all() {
        let listed = Origins::SameOr(vec!["https://app.example".into()]);
        assert!(listed.allow(b"https://app.example", Some(b"a.example")));
        assert!(listed.allow(b"http://a.example", Some(b"a.example")));
        assert!(!listed.allow(b"http://app.example", Some(b"a.example")));
        assert!(Origins::Any.allow(b"null", None));
    }
}
