//! What a registry that asks who is there wants to be told, and where (RFC 9110, `WWW-Authenticate`; the token
//! authentication of the Distribution project). The registry says where passwords go, so that is judged before one goes.

use http_auth::parser::ChallengeParser;
use reqwest::Url;

use crate::place::{Repository, is_loopback, shown};
use crate::{DepotError, Options};

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with every request.
    Basic,
    /// A token that somebody else gives.
    Bearer {
        /// Whom to ask for it.
        realm: String,
        /// What to call the registry there.
        service: Option<String>,
    },
}

impl Challenge {
    /// The one of several that tells the registry least; none where nothing is asked, or nothing that we know.
    pub(super) fn of<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let known = headers.flat_map(|header| ChallengeParser::new(header).map_while(Result::ok)).filter_map(
            |challenge| {
                let parameter = |wanted: &str| {
                    let mut found =
                        challenge.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
                    found.next().map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    Some(Self::Bearer { realm: parameter("realm")?, service: parameter("service") })
                } else {
                    challenge.scheme.eq_ignore_ascii_case("basic").then_some(Self::Basic)
                }
            },
        );
        known.max_by_key(|challenge| matches!(challenge, Self::Bearer { .. }))
    }
}

/// Where to ask for a token. The password goes there, and the token comes from there, so it is reached through TLS; on this
/// machine, or without a password and where the operator said so, plainly.
pub(super) fn realm(text: &str, repository: &Repository, options: &Options) -> Result<Url, DepotError> {
    let refuse = |what: String| DepotError::Answer { place: repository.to_string(), what };
    let url: Url =
        text.parse().map_err(|error| refuse(format!("it says that no address gives tokens: {error}")))?;
    let is_here = repository.is_local() && url.host_str().is_some_and(is_loopback);
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here || (options.insecure && options.login.is_none()) => Ok(url),
        "http" => {
            let place: String = shown(&url).chars().take(200).collect();
            let place = format!("{place}, which gives tokens for {repository},");
            Err(match options.login {
                Some(_) => DepotError::PlainPassword { place },
                None => DepotError::Plain { place },
            })
        }
        other => Err(refuse(format!("it says that tokens are given by {other:?}"))),
    }
}

/// Where a registry that says this in its head has its tokens from, for the fuzzer that plays it: nothing where it wants none.
#[must_use]
pub fn token_from(
    header: &str,
    repository: &Repository,
    options: &Options,
) -> Option<Result<Url, DepotError>> {
    match Challenge::of(std::iter::once(header))? {
        Challenge::Basic => None,
        Challenge::Bearer { realm: text, .. } => Some(realm(&text, repository, options)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Login, Place, Secret};

    #[test]
    fn challenges_are_told_apart() {
        let of = |headers: &[&str]| Challenge::of(headers.iter().copied());
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(of(&["bearer Realm=\"https://a/t\",service=\"s\""]), bearer("https://a/t", Some("s")));
        // a token is asked for where there is a choice
        assert_eq!(of(&["Basic realm=x", "Bearer realm=\"https://a\""]), bearer("https://a", None));
        assert_eq!(of(&["Bearer realm=\"https://a\", Basic realm=x"]), bearer("https://a", None));
        for unknown in ["Negotiate", "Bearer service=\"s\"", "", ",,,", "Bearer realm=\"", "\u{1}"] {
            assert_eq!(of(&[unknown]), None, "{unknown:?}");
        }
    }

    #[test]
    fn no_password_goes_to_a_plain_realm() {
        let judged = |text: &str, place: &str, insecure, has_login: bool| {
            let Place::Registry(repository) = place.parse().unwrap() else { panic!() };
            let login = has_login.then(|| Login { user: "a".into(), password: Secret("b".into()) });
            realm(text, &repository, &Options { insecure, login })
        };
        let (far, here) = ("oci://a.example/b", "oci://127.0.0.1:5000/b");
        for has_login in [false, true] {
            assert!(judged("https://tokens.example/t?x=1", far, false, has_login).is_ok());
            assert!(judged("http://localhost:1/t", here, false, has_login).is_ok());
        }
        for (text, place, insecure) in [
            ("http://tokens.example/", far, false),
            ("http://tokens.example/", far, true),
            ("http://tokens.example/", here, false),
            // somebody far leads to what listens here
            ("http://127.0.0.1:1/", far, false),
        ] {
            let refused = judged(text, place, insecure, true);
            assert!(matches!(refused, Err(DepotError::PlainPassword { .. })), "{text} {refused:?}");
            assert_eq!(judged(text, place, insecure, false).is_ok(), insecure, "{text}");
        }
        for text in ["", "tokens.example", "file:///etc/passwd", "ftp://a"] {
            assert!(matches!(judged(text, far, true, true), Err(DepotError::Answer { .. })), "{text}");
        }
    }
}
