//! Limits of subscriptions: of all clients together, and of each client.

use std::{
    collections::{HashMap, hash_map},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use super::{BrokerSettings, PublishError};
use crate::request::Request;

/// Bits of an IPv6 address that identify a client: one host commonly has a whole network of this length.
const CLIENT_BITS_V6: u32 = 64;

/// Address of a client that subscribes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientAddress {
    /// Address of the connection's other end. `None` without a request, or through a Unix socket.
    pub(super) peer: Option<SocketAddr>,
    /// Address of the client, which a trusted proxy may have forwarded.
    address: Option<IpAddr>,
}

impl ClientAddress {
    /// Returns the client that sent a request.
    pub(crate) fn of(request: &Request) -> Self {
        Self { peer: request.peer(), address: request.client() }
    }

    /// Returns the address whose subscriptions count together.
    fn key(&self) -> Option<IpAddr> {
        self.address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << (128 - CLIENT_BITS_V6));
                Ipv6Addr::from(network).into()
            }
        })
    }
}

/// Number of subscriptions, of all clients and of each address.
#[derive(Default)]
pub(super) struct Subscribers {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Place of a subscription within the limits.
#[derive(Debug)]
pub(super) struct Place(Option<IpAddr>);

impl Subscribers {
    /// Takes a place for a subscription. It is given back with [`leave`](Self::leave).
    ///
    /// # Errors
    ///
    /// There is no place.
    pub(super) fn enter(
        &mut self,
        client: &ClientAddress,
        settings: &BrokerSettings,
    ) -> Result<Place, PublishError> {
        if self.total >= settings.subscriptions {
            return Err(PublishError::TooManySubscriptions);
        }
        let key = client.key();
        if let Some(address) = key {
            let count = self.by_address.entry(address).or_default();
            if *count >= settings.client_subscriptions {
                return Err(PublishError::TooManyOfClient);
            }
            *count += 1;
        }
        self.total += 1;
        Ok(Place(key))
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, place: &Place) {
        self.total -= 1;
        let Some(address) = place.0 else { return };
        if let hash_map::Entry::Occupied(mut count) = self.by_address.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Returns the number of subscriptions.
    pub(super) fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientAddress {
        ClientAddress { peer: None, address: Some(address.parse().unwrap()) }
    }

    #[test]
    fn each_client_has_its_own_places_within_those_of_all() {
        let mut settings = BrokerSettings::default();
        (settings.subscriptions, settings.client_subscriptions) = (5, 2);
        let mut subscribers = Subscribers::default();
        let one = subscribers.enter(&client("10.0.0.1"), &settings).unwrap();
        subscribers.enter(&client("::ffff:10.0.0.1"), &settings).unwrap();
        let refused = subscribers.enter(&client("10.0.0.1"), &settings);
        assert!(matches!(refused, Err(PublishError::TooManyOfClient)), "{refused:?}");
        subscribers.enter(&client("2001:db8::1"), &settings).unwrap();
        subscribers.enter(&client("2001:db8::2:0:0:1"), &settings).unwrap();
        let refused = subscribers.enter(&client("2001:db8:0:0:ffff::"), &settings);
        assert!(matches!(refused, Err(PublishError::TooManyOfClient)), "one network: {refused:?}");
        // Without an address only the common limit applies.
        subscribers.enter(&ClientAddress::default(), &settings).unwrap();
        let refused = subscribers.enter(&ClientAddress::default(), &settings);
        assert!(matches!(refused, Err(PublishError::TooManySubscriptions)), "{refused:?}");
        subscribers.leave(&one);
        subscribers.enter(&client("10.0.0.1"), &settings).unwrap();
        assert_eq!(subscribers.total(), 5);
    }
}
