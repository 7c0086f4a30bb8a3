//! The client's address, and the host that it asked for, behind trusted proxies.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Peer;

/// The proxies whose `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Host` headers the server trusts.
/// Default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Trusts every peer that connects through a Unix socket.
    unix: bool,
}

impl TrustedProxies {
    /// Parses a list of addresses and networks, such as `10.0.0.0/8` and `::1`. The entry `unix` stands for
    /// all Unix sockets.
    ///
    /// # Errors
    ///
    /// An entry is invalid. The text names it.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut trusted = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            if entry == "unix" {
                trusted.unix = true;
            } else if let Some(network) = network(entry) {
                trusted.networks.push(network);
            } else {
                return Err(format!(
                    "invalid trusted proxy '{entry}': expected an address, a network like 10.0.0.0/8, or unix"
                ));
            }
        }
        Ok(trusted)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn trusts_peer(&self, peer: Peer) -> bool {
        match peer.address() {
            Some(address) => self.trusts(address.ip()),
            None => self.unix && peer == Peer::Local,
        }
    }

    /// Returns the host that the client has asked a trusted proxy for. Returns `None` if the peer is no
    /// trusted proxy, or if neither header names a host.
    ///
    /// That is the `host` of the first element of `Forwarded` that a trusted proxy has added and that has
    /// one: each element says by `for` who has added the one before it (RFC 7239 §7.4). Without it, it is the
    /// last value of `X-Forwarded-Host`. The peer has added that one; earlier ones may come from the client.
    pub(crate) fn host<'a>(
        &self,
        peer: Peer,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Option<&'a str> {
        if !self.trusts_peer(peer) {
            return None;
        }
        let values = |wanted: &'static [u8]| {
            let fields = headers.clone().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            fields.filter_map(|(_, value)| std::str::from_utf8(value).ok()).flat_map(|value| value.split(','))
        };
        let mut host = None;
        for element in values(b"forwarded").collect::<Vec<_>>().into_iter().rev() {
            host = parameter(element, "host").filter(|host| !host.is_empty()).or(host);
            // An element before this one was added by somebody who is not trusted.
            if !forwarded_for(element).is_some_and(|hop| self.trusts(hop)) {
                break;
            }
        }
        host.or_else(|| values(b"x-forwarded-host").last().map(str::trim).filter(|host| !host.is_empty()))
    }

    /// Returns the address of the client. It is that of the peer if the peer is no trusted proxy, or `None`
    /// if the peer has none.
    ///
    /// Behind a trusted proxy it is the last forwarded address that is not a trusted proxy. If there is no
    /// such address, or an unreadable one comes after it, it is the first forwarded address after that.
    pub(crate) fn client<'a>(
        &self,
        peer: Peer,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<IpAddr> {
        let address = peer.address().map(|a| a.ip().to_canonical());
        if !self.trusts_peer(peer) {
            return address;
        }
        let mut client = address;
        for hop in hops(headers).into_iter().rev() {
            // No trusted proxy vouches for what comes before an unreadable hop.
            let Some(hop) = hop else { return client };
            client = Some(hop);
            if !self.trusts(hop) {
                return client;
            }
        }
        client
    }
}

fn network(entry: &str) -> Option<IpNet> {
    entry.parse::<IpNet>().ok().or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Returns the hops of `Forwarded` (RFC 7239), or without it those of `X-Forwarded-For`, the first hop first.
///
/// An unreadable hop is `None`.
fn hops<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<Option<IpAddr>> {
    let (mut forwarded, mut x_forwarded) = (Vec::new(), Vec::new());
    for (name, value) in headers {
        let Ok(value) = std::str::from_utf8(value) else { continue };
        if name.eq_ignore_ascii_case(b"forwarded") {
            forwarded.extend(value.split(',').map(forwarded_for));
        } else if name.eq_ignore_ascii_case(b"x-forwarded-for") {
            x_forwarded.extend(value.split(',').map(|hop| node(hop.trim())));
        }
    }
    if forwarded.is_empty() { x_forwarded } else { forwarded }
}

/// Parses the `for=` parameter of one element of a `Forwarded` header. Returns `None` if it is missing or no
/// IP address.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    node(parameter(element, "for")?)
}

/// Returns the value of a parameter of one element of a `Forwarded` header, without quotes. The name is
/// case-insensitive.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim_matches('"'))
    })
}

/// Parses an address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or
/// `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|a| a.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    address.or_else(with_port).or_else(bracketed).map(|a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, headers: &[(&str, &str)]) -> Option<String> {
        let trusted = TrustedProxies::parse(trusted).unwrap();
        let peer = Peer::Address(peer.parse().unwrap());
        let pairs = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        trusted.client(peer, pairs).map(|a| a.to_string())
    }

    #[test]
    fn untrusted_peer_speaks_for_itself_only() {
        let headers = [("X-Forwarded-For", "1.1.1.1")];
        assert_eq!(client(&["10.0.0.0/8"], "8.8.8.8:1", &headers).unwrap(), "8.8.8.8");
        assert_eq!(client(&[], "8.8.8.8:1", &headers).unwrap(), "8.8.8.8");
    }

    #[test]
    fn chain_is_read_from_its_end_over_trusted_hops() {
        let headers = [("x-forwarded-for", "6.6.6.6, 1.1.1.1"), ("X-Forwarded-For", "10.0.0.2")];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1:1", &headers).unwrap(), "1.1.1.1");
    }

    #[test]
    fn forwarded_wins_and_reads_quoted_ipv6() {
        let headers =
            [("Forwarded", "for=\"[2001:db8::1]:4711\";proto=https"), ("X-Forwarded-For", "1.1.1.1")];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1:1", &headers).unwrap(), "2001:db8::1");
    }

    #[test]
    fn unreadable_hop_ends_the_chain() {
        let headers = [("X-Forwarded-For", "1.1.1.1, _hidden, 10.0.0.3")];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1:1", &headers).unwrap(), "10.0.0.3");
    }

    #[test]
    fn mapped_ipv4_is_the_ipv4_it_maps() {
        let headers = [("X-Forwarded-For", "1.1.1.1")];
        assert_eq!(client(&["10.0.0.0/8"], "[::ffff:10.0.0.1]:1", &headers).unwrap(), "1.1.1.1");
    }

    fn host(trusted: &[&str], peer: &str, headers: &[(&str, &str)]) -> Option<String> {
        let trusted = TrustedProxies::parse(trusted).unwrap();
        let peer = Peer::Address(peer.parse().unwrap());
        let pairs = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        trusted.host(peer, pairs).map(str::to_owned)
    }

    #[test]
    fn only_a_trusted_peer_forwards_a_host() {
        for headers in [[("X-Forwarded-Host", "app.example")], [("Forwarded", "host=app.example")]] {
            assert_eq!(host(&["10.0.0.0/8"], "8.8.8.8:1", &headers), None);
            assert_eq!(host(&[], "10.0.0.1:1", &headers), None);
            assert_eq!(host(&["10.0.0.0/8"], "10.0.0.1:1", &headers).unwrap(), "app.example");
        }
        assert_eq!(host(&["10.0.0.1"], "10.0.0.1:1", &[("X-Forwarded-For", "1.1.1.1")]), None);
    }

    #[test]
    fn the_host_is_that_of_the_outermost_trusted_proxy() {
        let of = |headers: &[(&str, &str)]| host(&["10.0.0.0/8"], "10.0.0.1:1", headers);
        let chain = "for=6.6.6.6;host=forged, for=1.1.1.1;HOST=\"app.example:8443\", for=10.0.0.2;host=inner";
        assert_eq!(of(&[("Forwarded", chain)]).unwrap(), "app.example:8443");
        assert_eq!(of(&[("Forwarded", "for=1.1.1.1"), ("Forwarded", "for=10.0.0.2;host=b")]).unwrap(), "b");
        assert_eq!(of(&[("Forwarded", "host=forged, for=_hidden;host=b")]).unwrap(), "b");
        assert_eq!(of(&[("Forwarded", "for=1.1.1.1;host="), ("x-forwarded-host", ",a")]).unwrap(), "a");
    }

    #[test]
    fn only_the_last_x_forwarded_host_is_that_of_a_trusted_proxy() {
        let of = |headers: &[(&str, &str)]| host(&["10.0.0.0/8"], "10.0.0.1:1", headers);
        let name = "X-Forwarded-Host";
        assert_eq!(of(&[(name, "forged, app.example ")]).unwrap(), "app.example");
        assert_eq!(of(&[(name, "forged"), ("x-forwarded-host", "app.example")]).unwrap(), "app.example");
        assert_eq!(of(&[(name, "forged,")]), None, "the proxy has added an empty value");
    }

    #[test]
    fn bad_entry_is_named() {
        assert!(TrustedProxies::parse(["nonsense"]).unwrap_err().contains("'nonsense'"));
    }
}
