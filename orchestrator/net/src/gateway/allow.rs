//! Which addresses a source may have. The rule is the registration's, and it is asked anew for every connection, so a
//! name that changes its mind (DNS rebinding) leads nowhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fades_core::network::{NetworkError, SourceEndpoint};

/// What a registration allows beyond global addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceRule {
    /// The host's name may resolve to a private address (RFC 1918, 6598, 4193). Loopback and link-local never come out of a
    /// name, but of an address that was registered as such, and of `localhost`.
    pub allow_private: bool,
}

/// What kind of address it is, as far as the rule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// Reachable from anywhere.
    Global,
    /// This machine.
    Loopback,
    /// This link, cloud metadata services included.
    LinkLocal,
    /// This site.
    Private,
    /// Not one host's address.
    NoHost,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "global",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::NoHost => "no address of a single host",
        })
    }
}

impl AddressKind {
    /// Sorts an address; IPv4 inside IPv6 counts as what it carries.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => embedded(v6).map_or_else(|| Self::of_v6(v6), Self::of_v4),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18 | 19, ..] => {
                Self::Private
            }
            [0, ..] | [224..=255, ..] | [192, 0, 0, _] => Self::NoHost,
            _ => Self::Global,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => Self::NoHost,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            _ => Self::Global,
        }
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64, 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(pair(high, low))
        }
        [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

/// Where a source is, once its registration has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// The operator has said the address itself.
    Literal(IpAddr),
    /// To be resolved.
    Name(String),
}

/// A source as the gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) rule: SourceRule,
}

impl Source {
    /// Reads a registration.
    ///
    /// # Errors
    /// `BadSource` when no connection could ever come out of it.
    pub(crate) fn new(name: &str, endpoint: SourceEndpoint) -> Result<Self, NetworkError> {
        let bad = |reason: String| NetworkError::BadSource { name: name.to_owned(), reason };
        let SourceEndpoint { host, port, allow_private } = endpoint;
        let rule = SourceRule { allow_private };
        if port == 0 {
            return Err(bad("port 0".into()));
        }
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host);
        if let Ok(address) = bare.parse() {
            if AddressKind::of(address) == AddressKind::NoHost {
                return Err(bad(format!("{address} is no address of a single host")));
            }
            return Ok(Self { name: name.to_owned(), host: Host::Literal(address), port, rule });
        }
        let named = (1..=253).contains(&host.len())
            && !host.starts_with(['-', '.'])
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            && host.bytes().any(|b| b.is_ascii_alphabetic());
        if !named {
            return Err(bad(format!("{host:?} is neither a host name nor an address")));
        }
        Ok(Self { name: name.to_owned(), host: Host::Name(host.to_ascii_lowercase()), port, rule })
    }

    /// The host as people wrote it.
    pub(crate) fn host_text(&self) -> String {
        match &self.host {
            Host::Literal(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// Whether a connection may go to this address.
    pub(crate) fn allows(&self, address: IpAddr) -> Result<(), AddressKind> {
        let kind = AddressKind::of(address);
        let allowed = match (&self.host, kind) {
            (Host::Literal(own), _) => *own == address,
            (Host::Name(_), AddressKind::Global) => true,
            (Host::Name(_), AddressKind::Private) => self.rule.allow_private,
            (Host::Name(name), AddressKind::Loopback) => name == "localhost" || name.ends_with(".localhost"),
            (Host::Name(_), AddressKind::LinkLocal | AddressKind::NoHost) => false,
        };
        if allowed { Ok(()) } else { Err(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(host: &str, allow_private: bool) -> Result<Source, NetworkError> {
        Source::new("s", SourceEndpoint { host: host.into(), port: 8086, allow_private })
    }

    #[test]
    fn kinds_of_addresses() {
        use AddressKind::{Global, LinkLocal, Loopback, NoHost, Private};
        for (address, kind) in [
            ("8.8.8.8", Global),
            ("127.0.0.1", Loopback),
            ("127.255.0.9", Loopback),
            ("169.254.169.254", LinkLocal),
            ("10.0.0.1", Private),
            ("10.77.0.1", Private),
            ("172.31.0.1", Private),
            ("172.32.0.1", Global),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("0.0.0.0", NoHost),
            ("0.1.2.3", NoHost),
            ("224.0.0.1", NoHost),
            ("255.255.255.255", NoHost),
            ("::1", Loopback),
            ("::", NoHost),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", LinkLocal),
            ("64:ff9b::7f00:1", Loopback),
            ("2002:7f00:1::", Loopback),
            ("::127.0.0.1", Loopback),
            ("fe80::1", LinkLocal),
            ("fd00::1", Private),
            ("ff02::1", NoHost),
            ("2606:4700::1", Global),
        ] {
            assert_eq!(AddressKind::of(address.parse().unwrap()), kind, "{address}");
        }
    }

    #[test]
    fn a_name_leads_only_where_its_registration_says() {
        for (host, private, answer, allowed) in [
            ("influx.example", false, "93.184.216.34", true),
            ("influx.example", false, "192.168.1.9", false),
            ("influx.example", true, "192.168.1.9", true),
            ("influx.example", true, "127.0.0.1", false),
            ("influx.example", true, "169.254.169.254", false),
            ("influx.example", true, "::ffff:127.0.0.1", false),
            ("influx.example", true, "224.0.0.1", false),
            ("localhost", false, "127.0.0.1", true),
            ("LocalHost", false, "::1", true),
            ("localhost", false, "10.0.0.1", false),
            ("notlocalhost", false, "127.0.0.1", false),
            ("127.0.0.1", false, "127.0.0.1", true),
            ("192.168.1.9", false, "192.168.1.9", true),
            ("192.168.1.9", false, "192.168.1.10", false),
            ("[::1]", false, "::1", true),
        ] {
            let source = source(host, private).unwrap();
            assert_eq!(source.allows(answer.parse().unwrap()).is_ok(), allowed, "{host} {private} {answer}");
        }
    }

    #[test]
    fn nonsense_is_not_registered() {
        for host in
            ["", "-o", ".x", "a b", "a\0", "a/b", "0.0.0.0", "224.0.0.1", "::", "1.2.3", &"a".repeat(254)]
        {
            assert!(source(host, true).is_err(), "{host:?}");
        }
        assert!(
            Source::new("s", SourceEndpoint { host: "h".into(), port: 0, allow_private: false }).is_err()
        );
    }
}
