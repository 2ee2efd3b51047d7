//! Which proxies stand before the server: what they say of where a request comes from is believed.

use std::net::IpAddr;

use super::ConfigError;

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits of the address count.
    bits: u8,
}

impl Network {
    /// A network as it is written: an address, and perhaps a slash and how many of its bits count.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let apart = own.to_bits() ^ other.to_bits();
                apart.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let apart = own.to_bits() ^ other.to_bits();
                apart.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

/// Networks in a list with commas.
pub(super) fn proxies(list: &str) -> Result<Vec<Network>, ConfigError> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let reason =
        "BURSAR_TRUSTED_PROXIES: must be addresses or networks like 10.0.0.0/8, with commas between them";
    parts.map(|part| Network::parse(part).ok_or_else(|| ConfigError(reason.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_alike() {
        let holds = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "127.0.0.1") && !holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(holds("0.0.0.0/0", "192.0.2.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("::1", "::1") && !holds("::1", "::2"));
    }

    #[test]
    fn what_is_no_network_is_refused_and_not_repeated() {
        assert_eq!(proxies(" 10.0.0.0/8, ::1 ,").unwrap().len(), 2);
        for bad in ["swordfish", "10.0.0.0/33", "10.1.0.0/", "::1/129", "10.0.0/8", "10.0.0.0/-1"] {
            let error = proxies(bad).unwrap_err().to_string();
            assert!(error.starts_with("BURSAR_TRUSTED_PROXIES: must be") && !error.contains(bad), "{error}");
        }
    }
}
