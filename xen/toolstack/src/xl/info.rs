//! What `xl info` and `xl list` print. `xl info` has lines `key : value`; `xl list` has a table.
//!
//! The table is read rather than `xl list -l`, which prints JSON: that has no states, and leaves out every domain whose
//! configuration libxl cannot read back, as of one that was half built when its builder died: just what is looked for.

use fades_xen_store::DomainId;

/// The host, as `xl info` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Xen's version, `xen_major` and `xen_minor`.
    pub version: (u32, u32),
    /// Memory that no domain has, in MiB.
    pub free_mib: u64,
    /// Kinds of domains that can run, `xen_caps`.
    pub caps: String,
}

impl Info {
    /// Reads what `xl info` printed; the word is what is missing.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let value = |key| {
            text.lines()
                .find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == key))
                .map(|(_, v)| v.trim())
        };
        let number = |key| value(key).and_then(|value| value.parse::<u64>().ok()).ok_or(key);
        let version = |key| number(key).and_then(|number| u32::try_from(number).or(Err(key)));
        Ok(Self {
            version: (version("xen_major")?, version("xen_minor")?),
            free_mib: number("free_memory")?,
            caps: value("xen_caps").ok_or("xen_caps")?.to_owned(),
        })
    }

    /// Whether PVH domains can run.
    #[must_use]
    pub fn has_hvm(&self) -> bool {
        self.caps.split(' ').any(|cap| cap.starts_with("hvm-"))
    }
}

/// One domain of `xl list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name. Not only ours are listed, so it may have any characters.
    pub name: String,
    /// Its number.
    pub domain: DomainId,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// It was shut down and is kept.
    pub is_shut_down: bool,
    /// It was destroyed and is not gone yet.
    pub is_dying: bool,
}

impl Listed {
    /// Reads what `xl list` printed.
    pub(super) fn parse(text: &str) -> Result<Vec<Self>, &'static str> {
        let mut lines = text.lines();
        match lines.next() {
            Some(head) if head.starts_with("Name ") => {}
            _ => return Err("head line"),
        }
        lines.filter(|line| !line.trim().is_empty()).map(|line| Self::of_line(line).ok_or("domain")).collect()
    }

    /// `name id memory vcpus state time`, from the end, as a name may have spaces.
    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.rsplitn(2, char::is_whitespace);
        let (_time, mut rest) = (words.next()?, words.next()?);
        let mut last = || {
            let (front, word) = rest.trim_end().rsplit_once(char::is_whitespace)?;
            rest = front;
            Some(word)
        };
        let (state, _processors, memory, domain) = (last()?, last()?, last()?, last()?);
        // Running, blocked, paused, shut down, why, dying.
        let [_, _, _, shut_down, _, dying] = state.as_bytes() else { return None };
        Some(Self {
            name: rest.trim_end().to_owned(),
            domain: DomainId::parse(domain).ok()?,
            memory_mib: memory.parse().ok()?,
            is_shut_down: *shut_down == b's',
            is_dying: *dying == b'd',
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "host                   : lab\nrelease                : 6.1.0-18-amd64\n\
        total_memory           : 2047\nfree_memory            : 812\nxen_major              : 4\n\
        xen_minor              : 17\nxen_extra              : .3-pre\nxen_version            : 4.17.3-pre\n\
        xen_caps               : xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_64 \n\
        xen_commandline        : placeholder console=com1 dom0_mem=1024M free_memory:7\n";

    #[test]
    fn a_host_is_read() {
        let info = Info::parse(INFO).unwrap();
        assert_eq!((info.version, info.free_mib, info.has_hvm()), ((4, 17), 812, true));
        assert_eq!(Info::parse(&INFO.replace("xen_minor ", "xen_other ")), Err("xen_minor"));
        assert_eq!(Info::parse(&INFO.replace(": 812", ": much")), Err("free_memory"));
        assert!(!Info::parse(&INFO.replace("hvm-", "pv-")).unwrap().has_hvm());
        assert_eq!(Info::parse(""), Err("xen_major"));
    }

    #[test]
    fn domains_are_read_whatever_their_names() {
        let text = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n\
            Domain-0                                     0  1024     2     r-----      41.7\n\
            fades-0f-dmf-7                               3    64     1     -b----       0.3\n\
            a name of its own 7                         12   128     1     ---sc-       1.0\n\
            a-name-that-is-longer-than-the-column-for-it-is 13   128     1     --p---       1.0\n\
            (null)                                      14     0     1     --p--d       0.0\n";
        let listed = Listed::parse(text).unwrap();
        let found: Vec<(&str, u16, bool, bool)> =
            listed.iter().map(|d| (d.name.as_str(), d.domain.get(), d.is_shut_down, d.is_dying)).collect();
        let expected = [
            ("Domain-0", 0, false, false),
            ("fades-0f-dmf-7", 3, false, false),
            ("a name of its own 7", 12, true, false),
            ("a-name-that-is-longer-than-the-column-for-it-is", 13, false, false),
            ("(null)", 14, false, true),
        ];
        assert_eq!(found, expected);
        assert_eq!(listed[1].memory_mib, 64);
        assert!(Listed::parse("").is_err() && Listed::parse("Name \nnonsense\n").is_err());
    }
}
