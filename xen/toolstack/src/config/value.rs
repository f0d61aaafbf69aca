//! Values of a configuration. Each has a type that only admits what `xl` cannot misread.

use std::fmt;

/// Why a configuration is refused: which value, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value has characters that are not for it.
    #[error("{what} {value:?} {rule}")]
    Value {
        /// Which value.
        what: &'static str,
        /// The value, cut at 200 characters.
        value: String,
        /// What it would have to be.
        rule: &'static str,
    },
    /// A number is out of its range.
    #[error("{what} of {value} is not {min} to {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// The number.
        value: u64,
        /// The smallest that goes.
        min: u64,
        /// The largest that goes.
        max: u64,
    },
}

impl ConfigError {
    fn value(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self::Value { what, value: value.chars().take(200).collect(), rule }
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $good:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Checks a value.
            ///
            /// # Errors
            /// [`ConfigError::Value`] with the rule that it breaks.
            pub fn new(value: &str) -> Result<Self, ConfigError> {
                let good: fn(&str) -> bool = $good;
                if good(value) {
                    Ok(Self(value.to_owned()))
                } else {
                    Err(ConfigError::value($what, value, $rule))
                }
            }

            /// The value.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text!(
    /// A file: an absolute path of letters, digits and `._/-`, without `..`, at most 255 bytes.
    FilePath, "path", "is not absolute, or has more than letters, digits, dots, underscores, slashes and dashes",
    |path| path.starts_with('/')
        && path.len() <= 255
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
        && !path.split('/').any(|part| part == "..")
);

text!(
    /// A kernel's command line: printable ASCII without quotes and backslashes, at most 2000 bytes.
    CommandLine, "command line", "has quotes, backslashes, or what is not printable ASCII, or is over 2000 bytes",
    |line| line.len() <= 2000
        && line.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"\"'\\".contains(&byte))
);

text!(
    /// A network device in dom0: 1 to 15 of `a-z`, `0-9`, dots and dashes, a letter first.
    InterfaceName, "interface", "is not 1 to 15 lower-case letters, digits, dots and dashes, a letter first",
    |name| (1..=15).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
);

/// A domain's own number for good, as 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The address of a domain's network device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Checks an address.
    ///
    /// # Errors
    /// It is a group's, or all zero, which `xl` takes for none.
    pub fn new(bytes: [u8; 6]) -> Result<Self, ConfigError> {
        let mac = Self(bytes);
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(ConfigError::value("network address", &mac.to_string(), "is not a single device's"));
        }
        Ok(mac)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, e, g]) = self;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Memory of a domain in MiB, 8 to 1 Mi (1 TiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(u32);

impl Memory {
    const MIN: u32 = 8;
    const MAX: u32 = 1 << 20;

    /// Checks a size.
    ///
    /// # Errors
    /// [`ConfigError::Range`].
    pub fn mib(mib: u32) -> Result<Self, ConfigError> {
        if (Self::MIN..=Self::MAX).contains(&mib) {
            return Ok(Self(mib));
        }
        let (min, max) = (Self::MIN.into(), Self::MAX.into());
        Err(ConfigError::Range { what: "memory", value: mib.into(), min, max })
    }

    /// In MiB.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}
