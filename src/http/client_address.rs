//! Where a request comes from, when proxies stand before the server.
//!
//! Each proxy adds the address that it was called from at the end of `X-Forwarded-For`; what is before that came
//! with the request and may be anything. So the list is read from its end, as long as whoever has written a part
//! is trusted; the first address that is nobody's whom we trust is the client. Without trusted proxies the header
//! is not looked at. `Forwarded` (RFC 7239) is not read: proxies that we know of send both or the older one.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::Network;

const HEADER: &str = "x-forwarded-for";

/// The address of the client of a request that has come from `peer`.
pub fn client_address(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    // Several lines are one list.
    let lines: Vec<_> = headers.get_all(HEADER).iter().collect();
    for line in lines.into_iter().rev() {
        let Ok(line) = line.to_str() else { return client };
        for part in line.rsplit(',') {
            // What is no address was not written by a proxy of ours.
            let Some(address) = address(part.trim()) else { return client };
            client = address;
            if !is_trusted(client) {
                return client;
            }
        }
    }
    client
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str], peer: &str, trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, line.parse().unwrap());
        }
        let trusted: Vec<_> = trusted.iter().map(|text| Network::parse(text).unwrap()).collect();
        client_address(&headers, peer.parse().unwrap(), &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(of(&["192.0.2.1"], "198.51.100.1", &[]), "198.51.100.1");
        assert_eq!(of(&["192.0.2.1"], "198.51.100.1", &["10.0.0.0/8"]), "198.51.100.1");
        assert_eq!(of(&["192.0.2.1"], "10.0.0.1", &["10.0.0.0/8"]), "192.0.2.1");
        assert_eq!(of(&[], "10.0.0.1", &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(of(&["192.0.2.1"], "::ffff:10.0.0.1", &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn what_the_client_has_written_itself_is_not_believed() {
        let trusted = &["10.0.0.0/8"];
        assert_eq!(of(&["203.0.113.9, 192.0.2.1"], "10.0.0.1", trusted), "192.0.2.1");
        assert_eq!(of(&["203.0.113.9", "192.0.2.1, 10.0.0.2"], "10.0.0.1", trusted), "192.0.2.1");
        assert_eq!(of(&["10.0.0.9, 192.0.2.1"], "10.0.0.1", trusted), "192.0.2.1");
        assert_eq!(of(&["10.0.0.9, 10.0.0.2"], "10.0.0.1", trusted), "10.0.0.9");
        assert_eq!(of(&["192.0.2.1, nonsense"], "10.0.0.1", trusted), "10.0.0.1");
        assert_eq!(of(&["192.0.2.1, nonsense, 10.0.0.2"], "10.0.0.1", trusted), "10.0.0.2");
    }

    #[test]
    fn addresses_may_have_ports() {
        let trusted = &["10.0.0.1"];
        assert_eq!(of(&["192.0.2.1:4711"], "10.0.0.1", trusted), "192.0.2.1");
        assert_eq!(of(&["[2001:db8::1]:4711"], "10.0.0.1", trusted), "2001:db8::1");
        assert_eq!(of(&["[2001:db8::1]"], "10.0.0.1", trusted), "2001:db8::1");
        assert_eq!(of(&["2001:db8::1"], "10.0.0.1", trusted), "2001:db8::1");
    }
}
