//! The kernel's command line: the unikernel's boot parameters (`fades_wire::boot`), among what Linux is told itself.

use std::net::Ipv4Addr;

/// Bytes of an Ethernet header, which are counted into `HERMIT_MTU`.
const ETHERNET_HEADER: u16 = 14;
const MTU: &str = "HERMIT_MTU";

/// What is read of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) address: Ipv4Addr,
    pub(crate) mask: Ipv4Addr,
    /// Largest IP packet, in bytes.
    pub(crate) mtu: u16,
    /// The function's environment.
    pub(crate) variables: Vec<(String, String)>,
}

/// A parameter is missing, or no value of its kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command line has no {0}, or none that can be read")]
pub(crate) struct LineError(&'static str);

impl Line {
    /// Reads it. What else Linux is told is passed over.
    pub(crate) fn parse(text: &str) -> Result<Self, LineError> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let value = |name: &'static str| {
            let at = words.iter().position(|word| *word == name);
            let word = at.and_then(|at| words.get(at + 1));
            word.and_then(|word| word.parse().ok()).ok_or(LineError(name))
        };
        let variables: Vec<(String, String)> = words
            .iter()
            .filter_map(|word| word.strip_prefix("env=")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mtu = variables.iter().find(|(name, _)| name == MTU).and_then(|(_, value)| value.parse().ok());
        let mtu = mtu.and_then(|mtu: u16| mtu.checked_sub(ETHERNET_HEADER)).ok_or(LineError(MTU))?;
        Ok(Self { address: value("-ip")?, mask: value("-mask")?, mtu, variables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_among_linuxs_own() {
        let text = "-ip 10.77.0.2 -gateway 10.77.0.1 -mask 255.255.0.0 -freq 2000 env=HERMIT_MTU=9014 \
                    env=FADES_ROLE=dmf quiet console=ttyS0\n";
        let line = Line::parse(text).unwrap();
        assert_eq!((line.address, line.mask), ([10, 77, 0, 2].into(), [255, 255, 0, 0].into()));
        assert_eq!(line.mtu, 9000);
        assert_eq!(line.variables[1], ("FADES_ROLE".to_owned(), "dmf".to_owned()));
        assert_eq!(line.variables.len(), 2);
    }

    #[test]
    fn what_is_missing_is_named() {
        let all = "-ip 10.77.0.2 -mask 255.255.0.0 env=HERMIT_MTU=9014";
        assert!(Line::parse(all).is_ok());
        for (part, name) in [("-ip", "-ip"), ("255.255.0.0", "-mask"), ("9014", "HERMIT_MTU")] {
            assert_eq!(Line::parse(&all.replace(part, "x")), Err(LineError(name)));
        }
    }
}
