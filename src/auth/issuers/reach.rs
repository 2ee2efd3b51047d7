//! Which addresses Bursar calls on a customer's word: an issuer's, and those that it names.
//!
//! In production only `https`, and nothing inside of whatever network the server stands in: not by an address, and
//! not by a name that leads there, whenever it is looked up. In development also plain `http` on the same machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::config::Environment;

/// The longest address, in bytes.
pub const ADDRESS_BYTES: usize = 512;

/// How far Bursar goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To what is on the public internet.
    Public,
    /// Anywhere.
    Anywhere,
}

impl Reach {
    /// How far a server goes.
    pub fn of(environment: Environment) -> Reach {
        match environment {
            Environment::Production => Reach::Public,
            Environment::Development => Reach::Anywhere,
        }
    }

    /// The address that a text is, when Bursar may call it; else why not.
    pub fn address(self, text: &str) -> Result<Url, &'static str> {
        if text.len() > ADDRESS_BYTES {
            return Err("is too long");
        }
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !plain || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("must be a plain URL");
        }
        let host = url.host().ok_or("is not a URL")?;
        let here = is_here(&host);
        match url.scheme() {
            "https" => {}
            "http" if here && self == Reach::Anywhere => {}
            _ => return Err("must begin with https://"),
        }
        let inside = match host {
            Host::Ipv4(address) => !self.allows(IpAddr::V4(address)),
            Host::Ipv6(address) => !self.allows(IpAddr::V6(address)),
            // What the name leads to is looked at with each connection.
            Host::Domain(_) => here && self == Reach::Public,
        };
        if inside { Err("must be on the public internet") } else { Ok(url) }
    }

    /// Whether an address may be connected to.
    pub fn allows(self, address: IpAddr) -> bool {
        self == Reach::Anywhere || !is_inside(address)
    }
}

/// Whether a host is this machine by its own name.
fn is_here(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
        }
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether an address is of no host on the public internet.
fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_inside_v4(address),
        IpAddr::V6(address) => is_inside_v6(address),
    }
}

fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Between carriers and their customers (RFC 6598), of protocols (RFC 6890), for benchmarks (RFC 2544).
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
}

fn is_inside_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_inside_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Unspecified, this machine, and the old form of IPv4 addresses.
        [0, 0, 0, 0, 0, 0, ..] => true,
        // IPv4 by translation (RFC 6052, RFC 8215) and by 6to4 (RFC 3056); Teredo (RFC 4380).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => true,
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, 0, ..] => true,
        [0x2001, 0xdb8, ..] => true,
        // Of one link, of one site, of a group.
        [first, ..] => first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 || first & 0xff00 == 0xff00,
    }
}

/// Looks names up, and knows no addresses that must not be connected to.
pub(super) struct Resolver(pub(super) Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name leads to no address that may be called".into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_calls_the_public_internet_only() {
        for good in [
            "https://login.example",
            "https://login.example:8443/a/b?c=d",
            "https://93.184.215.14/",
            "https://[2606:2800:220:1::1]/",
        ] {
            assert!(Reach::Public.address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://login.example",
            "https://localhost",
            "https://a.LOCALHOST./x",
            "https://127.0.0.1",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://10.1.2.3",
            "https://169.254.169.254/latest",
            "https://100.64.0.1",
            "https://0.0.0.0",
            "https://[::1]",
            "https://[::]",
            "https://[fd00::1]",
            "https://[fe80::1]",
            "https://[::ffff:192.168.0.1]",
            "https://[64:ff9b::a00:1]",
            "https://[2002:7f00:1::]",
            "https://user:secret@login.example",
            "https://login.example/#x",
            "ftp://login.example",
            "login.example",
            "https://login.example/ x",
            "",
        ] {
            assert!(Reach::Public.address(bad).is_err(), "{bad}");
        }
        assert!(Reach::Public.address(&format!("https://login.example/{}", "x".repeat(512))).is_err());
    }

    #[test]
    fn development_calls_this_machine_too() {
        for good in
            ["http://127.0.0.1:3000", "http://localhost:3000/x", "http://[::1]:3000", "https://10.0.0.1"]
        {
            assert!(Reach::Anywhere.address(good).is_ok(), "{good}");
        }
        for bad in ["http://login.example", "http://10.0.0.1"] {
            assert!(Reach::Anywhere.address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_lead_inside_lead_nowhere() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let resolved = |reach| {
            let name: Name = "localhost".parse().unwrap_or_else(|_| unreachable!());
            runtime.block_on(Resolver(reach).resolve(name)).is_ok()
        };
        assert!(!resolved(Reach::Public) && resolved(Reach::Anywhere));
    }
}
