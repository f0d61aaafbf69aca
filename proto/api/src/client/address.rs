//! Where a node is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Address of a node: `http://HOST:PORT` or `unix:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeAddress {
    /// Over TCP. The host is a name, an IPv4 address, or an IPv6 address without its brackets.
    Tcp {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// Its local socket.
    Unix(PathBuf),
}

/// Text that is no node's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a node's address: {0:?} (http://HOST:PORT or unix:/PATH)")]
pub struct AddressMalformed(pub String);

impl NodeAddress {
    /// For the `Host` header.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { .. } => write!(f, "http://{}", self.host()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for NodeAddress {
    type Err = AddressMalformed;

    fn from_str(text: &str) -> Result<Self, AddressMalformed> {
        let malformed = || AddressMalformed(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') && !path.contains('\0') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(malformed())
            };
        }
        let rest = text.strip_prefix("http://").ok_or_else(malformed)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(malformed)?;
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(malformed()),
            None => host,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_ipv6 = host.contains(':') && rest.starts_with('[');
        if host.is_empty() || !(is_ipv6 || host.chars().all(plain)) {
            return Err(malformed());
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_show_as_they_are_written() {
        for text in [
            "http://127.0.0.1:7080",
            "http://edge-1.example:80",
            "http://[::1]:7080",
            "unix:/run/fades/fadesd.sock",
        ] {
            assert_eq!(text.parse::<NodeAddress>().unwrap().to_string(), text);
        }
        let socket = NodeAddress::Unix("/a/b".into());
        assert_eq!("unix:///a/b".parse(), Ok(socket));
        assert_eq!("http://a:1/".parse::<NodeAddress>().unwrap().host(), "a:1");
    }

    #[test]
    fn other_text_is_no_address() {
        for text in [
            "",
            "edge-1",
            "edge-1:7080",
            "https://a:1",
            "http://",
            "http://a",
            "http://a:0",
            "http://a:70000",
            "http://:1",
            "http://a b:1",
            "http://a:1/x",
            "http://::1:80",
            "http://[a]:1",
            "http://u@a:1",
            "unix:",
            "unix:rel",
            "unix:/a\0b",
        ] {
            assert_eq!(text.parse::<NodeAddress>(), Err(AddressMalformed(text.to_owned())), "{text:?}");
        }
    }
}
