//! Where images are kept, as people type it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::{DepotError, Options};

/// Where images are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine: a path, or `file:///PATH`.
    Folder(PathBuf),
    /// The same folder behind an HTTP server: `https://HOST/PATH/`; ends with a slash.
    Http(Url),
    /// A repository of an OCI registry: `oci://HOST[:PORT]/REPOSITORY[:TAG]`.
    Registry(Repository),
}

/// A repository of an OCI registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `HOST` or `HOST:PORT`.
    pub registry: String,
    /// Its name, with its slashes.
    pub name: String,
    /// The tag that was typed.
    pub tag: Option<String>,
}

/// Text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no place of images: {why}")]
pub struct PlaceError {
    text: String,
    why: String,
}

impl Place {
    /// Whether it is spoken to without TLS.
    fn is_plain(&self, insecure: bool) -> bool {
        match self {
            Self::Folder(_) => false,
            Self::Http(url) => url.scheme() == "http",
            Self::Registry(repository) => insecure || repository.is_local(),
        }
    }

    fn is_local(&self) -> bool {
        match self {
            Self::Folder(_) => true,
            Self::Http(url) => url.host_str().is_some_and(is_loopback),
            Self::Registry(repository) => repository.is_local(),
        }
    }

    /// Refuses plain HTTP to other machines: who is in between would see, and choose, what is fetched. A password is not
    /// told to them in any case.
    pub(crate) fn refuse_plain(&self, options: &Options) -> Result<(), DepotError> {
        let tells = match self {
            Self::Folder(_) => false,
            Self::Http(url) => has_userinfo(url),
            Self::Registry(_) => options.login.is_some(),
        };
        if !self.is_plain(options.insecure) || self.is_local() || (options.insecure && !tells) {
            return Ok(());
        }
        let place = self.to_string();
        Err(if tells { DepotError::PlainPassword { place } } else { DepotError::Plain { place } })
    }
}

impl Repository {
    /// Whether the registry is on this machine. Such ones are spoken to over plain HTTP, as is the custom.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_loopback(self.host())
    }

    /// The registry without its port, and without the brackets of an address.
    pub(crate) fn host(&self) -> &str {
        let host = match self.registry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.registry,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let refuse = |why: &str| PlaceError { text: told(text), why: why.to_owned() };
        if let Some(path) = text.strip_prefix("file://") {
            return match path.starts_with('/') {
                true => Ok(Self::Folder(path.into())),
                false => Err(refuse("a file:// address holds a whole path: file:///PATH")),
            };
        }
        if let Some(rest) = text.strip_prefix("oci://") {
            return repository(rest).map(Self::Registry).map_err(&refuse);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let mut url: Url = text.parse().map_err(|error| refuse(&format!("{error}")))?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(refuse("an address of a folder has neither ? nor #"));
            }
            if !url.path().ends_with('/') {
                let path = format!("{}/", url.path());
                url.set_path(&path);
            }
            return Ok(Self::Http(url));
        }
        if text.contains("://") {
            return Err(refuse("known are a path, file://, http://, https:// and oci://"));
        }
        if text.is_empty() { Err(refuse("it is empty")) } else { Ok(Self::Folder(text.into())) }
    }
}

/// `HOST[:PORT]/REPOSITORY[:TAG]`, in the words that registries take.
fn repository(text: &str) -> Result<Repository, &'static str> {
    let (registry, rest) =
        text.split_once('/').ok_or("an OCI place is oci://HOST[:PORT]/REPOSITORY[:TAG]")?;
    let host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if registry.is_empty() || !registry.bytes().all(host) {
        return Err("its host is not one");
    }
    let (name, tag) = match rest.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (rest, None),
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let component = |part: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|byte| plain(*byte));
        edge(part.as_bytes().first())
            && edge(part.as_bytes().last())
            && part.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
    };
    if name.len() > 200 || !name.split('/').all(component) {
        return Err("a repository is lower-case letters, digits and inner . _ - between slashes");
    }
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = |tag: &str| {
        (1..=128).contains(&tag.len())
            && tag.bytes().next().is_some_and(letter)
            && tag.bytes().all(|byte| letter(byte) || b".-".contains(&byte))
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("a tag is letters, digits, _ . and -, 128 at most; a digest stands in the image's name");
    }
    Ok(Repository { registry: registry.to_owned(), name: name.to_owned(), tag: tag.map(str::to_owned) })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            // a password that somebody wrote into it is nothing to print
            Self::Http(url) => write!(f, "{}", shown(url)),
            Self::Registry(repository) => write!(f, "{repository}"),
        }
    }
}

/// As it is printed: a password is none of a log's.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// What was typed, without what stands before an `@`: it is no address, so nobody knows where a password would end.
fn told(text: &str) -> String {
    let text = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}…{}", &text[..scheme + 3], &text[at..]),
        _ => text.to_owned(),
    };
    text.chars().take(200).collect()
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// An address without the name and password in it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if has_userinfo(&url) {
        // an http address has a host, so neither can fail
        let _told = url.set_username("").and_then(|()| url.set_password(None));
    }
    url.to_string()
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.registry, self.name)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Login, Secret};

    #[test]
    fn places_are_told_apart() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        assert_eq!(place("images"), Place::Folder("images".into()));
        assert_eq!(place("file:///srv/images"), Place::Folder("/srv/images".into()));
        assert_eq!(place("https://a.example/x").to_string(), "https://a.example/x/");
        assert_eq!(place("http://me:secret@a.example:8/").to_string(), "http://a.example:8/");
        let Place::Registry(repository) = place("oci://127.0.0.1:5000/fades/stats:1.0.0") else { panic!() };
        assert_eq!(
            (repository.registry.as_str(), repository.name.as_str()),
            ("127.0.0.1:5000", "fades/stats")
        );
        assert_eq!(repository.tag.as_deref(), Some("1.0.0"));
        assert_eq!(repository.to_string(), "oci://127.0.0.1:5000/fades/stats:1.0.0");
        for text in [
            "",
            "file://x",
            "ftp://x",
            "https://",
            "http://a/?x",
            "oci://a",
            "oci://a/",
            "oci:///a",
            "oci://a/B",
            "oci://a/b/",
            "oci://a/../b",
            "oci://a/b:",
            "oci://a/b:-x",
            "oci://a/b@sha256:00",
            "oci://u@a/b",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn passwords_in_addresses_are_never_printed() {
        for text in [
            "https://me:secret@a.example/x",
            "https://me:secret@a.example/?x",
            "https://me:secret@a b/",
            "https://me:sec/secret@a.example:port/",
            "oci://me:secret@a.example/b",
            "ftp://me:secret@a.example/",
        ] {
            let said = match text.parse::<Place>() {
                Ok(place) => format!("{place} {place:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(said.contains('a') && !said.contains("secret") && !said.contains("me:"), "{said}");
        }
        // and go nowhere in the open, as others do not
        let place: Place = "http://me:secret@a.example/".parse().unwrap();
        let refused = place.refuse_plain(&Options { insecure: true, login: None });
        assert!(matches!(refused, Err(DepotError::PlainPassword { .. })), "{refused:?}");
        let place: Place = "http://me:secret@127.0.0.1/".parse().unwrap();
        assert!(place.refuse_plain(&Options::default()).is_ok());
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let with = |insecure| Options { insecure, login: None };
        let refused =
            |text: &str, insecure| text.parse::<Place>().unwrap().refuse_plain(&with(insecure)).is_err();
        for text in ["http://a.example/", "http://192.168.0.1/", "http://localhost.a.example/"] {
            assert!(refused(text, false) && !refused(text, true), "{text}");
        }
        for text in [
            "http://127.0.0.1:8/",
            "http://[::1]/",
            "http://localhost/",
            "https://a.example/",
            "x",
            "oci://a.example/b",
            "oci://localhost:5000/b",
            "oci://[::1]:5000/b",
        ] {
            assert!(!refused(text, false), "{text}");
        }
        let plain = |text: &str, insecure| text.parse::<Place>().unwrap().is_plain(insecure);
        assert!(plain("oci://127.0.0.1:5000/b", false) && !plain("oci://a.example/b", false));
        assert!(plain("oci://a.example/b", true));
        // a password goes to this machine, or through TLS
        let login = Some(Login { user: "a".into(), password: Secret("b".into()) });
        let told = |text: &str, insecure| {
            text.parse::<Place>().unwrap().refuse_plain(&Options { insecure, login: login.clone() }).is_ok()
        };
        assert!(told("oci://a.example/b", false) && told("oci://127.0.0.1:5000/b", false));
        assert!(!told("oci://a.example/b", true) && told("http://a.example/", true));
    }
}
