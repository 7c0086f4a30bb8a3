//! URL of the server to load.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use http::{Uri, uri::Scheme};

/// URL with the address of its host.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host and port as written in the URL: the value of the Host field.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
    /// First address of the host.
    pub(crate) address: SocketAddr,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}: expected http://HOST:PORT/PATH"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err("only http:// is supported, not https://".to_owned());
            }
            _ => return Err("expected http://HOST:PORT/PATH".to_owned()),
        }
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err("expected http://HOST:PORT/PATH".to_owned());
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = (host, uri.port_u16().unwrap_or(80)).to_socket_addrs();
        let address = found.map_err(|error| format!("cannot look up the host {host}: {error}"))?.next();
        let address = address.ok_or_else(|| format!("the host {host} has no address"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { authority: authority.to_string(), path, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_a_path() {
        let target: Target = "http://127.0.0.1:81/a?b=c".parse().unwrap();
        assert_eq!((target.address, target.path.as_str()), (([127, 0, 0, 1], 81).into(), "/a?b=c"));
        assert_eq!(target.authority, "127.0.0.1:81");
        let target: Target = "http://[::1]:8080".parse().unwrap();
        assert_eq!(
            (target.address.port(), target.address.is_ipv6(), target.path.as_str()),
            (8080, true, "/")
        );
        for wrong in ["", "/x", "127.0.0.1:80", "https://127.0.0.1/", "ftp://127.0.0.1/"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
