//! A connection to a repository: the part of the OCI distribution specification (1.1) that images need. Everything that a
//! registry answers is read up to a bound that is known before.

use fades_envelope::Digest;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;

use super::challenge::{Challenge, realm};
use crate::http::{REDIRECTS, body, client};
use crate::place::Repository;
use crate::{DepotError, Login, Options};

/// Largest token with what stands around it, bytes.
const MAX_TOKEN: usize = 64 * 1024;
/// Most bytes of what a registry says of a failure.
const MAX_WORDS: usize = 16 * 1024;

/// What is to be done with the repository; a token is for one of these.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    Pull,
    Push,
}

/// A connection to a repository.
pub(super) struct Session<'a> {
    client: Client,
    pub(super) repository: &'a Repository,
    /// `SCHEME://HOST[:PORT]/v2/`
    base: Url,
    who: Who<'a>,
}

/// Who to be at the registry.
enum Who<'a> {
    Nobody,
    User(&'a Login),
    Token(String),
}

impl Who<'_> {
    fn tell(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Nobody => request,
            Self::User(login) => request.basic_auth(&login.user, Some(&login.password.0)),
            Self::Token(token) => request.bearer_auth(token),
        }
    }
}

impl<'a> Session<'a> {
    /// Asks the registry whom it wants to speak to, and becomes that.
    pub(super) async fn open(
        repository: &'a Repository,
        options: &'a Options,
        scope: Scope,
    ) -> Result<Self, DepotError> {
        let is_plain = options.insecure || repository.is_local();
        let text = format!("{}://{}/v2/", if is_plain { "http" } else { "https" }, repository.registry);
        let refuse = |what: String| DepotError::Answer { place: repository.to_string(), what };
        let base: Url = text.parse().map_err(|error| refuse(format!("{text} is no address: {error}")))?;
        // Nobody leads from TLS to plain HTTP, and who is spoken to plainly leads nowhere. Blobs of registries lie elsewhere often; the
        // client tells no other host who we are.
        let follow = if is_plain { redirect::Policy::none() } else { redirect::Policy::limited(REDIRECTS) };
        let mut builder = client().https_only(!is_plain).redirect(follow);
        if repository.is_local() {
            // no proxy leads back to this machine
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| unreachable(repository, error))?;
        let mut session = Self { client, repository, base, who: Who::Nobody };
        let asked = session.send(session.client.get(session.base.clone())).await?;
        let headers = asked.headers().get_all(WWW_AUTHENTICATE);
        session.who = match Challenge::of(headers.iter().filter_map(|header| header.to_str().ok())) {
            None => Who::Nobody,
            Some(Challenge::Basic) => options.login.as_ref().map_or(Who::Nobody, Who::User),
            Some(Challenge::Bearer { realm: text, service }) => {
                let realm = realm(&text, repository, options)?;
                Who::Token(session.token(realm, service, scope, options).await?)
            }
        };
        Ok(session)
    }

    /// Gets a token from who gives them, who leads nowhere else.
    async fn token(
        &self,
        mut realm: Url,
        service: Option<String>,
        scope: Scope,
        options: &Options,
    ) -> Result<String, DepotError> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let rights = match scope {
            Scope::Pull => "pull",
            Scope::Push => "pull,push",
        };
        realm
            .query_pairs_mut()
            .append_pair("scope", &format!("repository:{}:{rights}", self.repository.name));
        if let Some(service) = service {
            realm.query_pairs_mut().append_pair("service", &service);
        }
        let mut builder = client().https_only(realm.scheme() == "https").redirect(redirect::Policy::none());
        if realm.host_str().is_some_and(crate::place::is_loopback) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| unreachable(self.repository, error))?;
        let who = options.login.as_ref().map_or(Who::Nobody, Who::User);
        let response = self.succeeded("a token", self.send(who.tell(client.get(realm))).await?).await?;
        let bytes = self.body("the token", response, MAX_TOKEN).await?;
        // What is wrong with it is not told: it may be half a token.
        let token =
            serde_json::from_slice::<Token>(&bytes).ok().and_then(|token| token.token.or(token.access_token));
        token
            .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| self.answer("who gives its tokens gave none".to_owned()))
    }

    pub(super) fn answer(&self, what: String) -> DepotError {
        DepotError::Answer { place: self.repository.to_string(), what }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, DepotError> {
        request.send().await.map_err(|error| unreachable(self.repository, error))
    }

    /// A request; the registry is told who we are, and nobody else.
    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let is_registry = url.origin() == self.base.origin();
        let request = self.client.request(method, url);
        if is_registry { self.who.tell(request) } else { request }
    }

    /// An address in the repository. What stands in `path` was read as a tag or a digest before.
    fn url(&self, path: &str) -> Result<Url, DepotError> {
        let url = self.base.join(&format!("{}/{path}", self.repository.name));
        url.map_err(|error| self.answer(format!("no address for {path}: {error}")))
    }

    async fn body(&self, what: &str, response: Response, most: usize) -> Result<Vec<u8>, DepotError> {
        let bytes = body(response, most).await.map_err(|error| unreachable(self.repository, error))?;
        bytes.ok_or_else(|| self.answer(format!("{what} has more than {most} bytes")))
    }

    /// What lies at `path`, of at most `most` bytes; none where nothing does.
    pub(super) async fn get(
        &self,
        path: &str,
        accepted: Option<&str>,
        most: usize,
    ) -> Result<Option<Vec<u8>>, DepotError> {
        let mut request = self.request(Method::GET, self.url(path)?);
        if let Some(accepted) = accepted {
            request = request.header(ACCEPT, accepted);
        }
        let response = self.send(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.succeeded(path, response).await?;
        self.body(path, response, most).await.map(Some)
    }

    /// Puts a blob: the registry says where to, which may be elsewhere.
    pub(super) async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), DepotError> {
        let what = format!("blob sha256:{digest}");
        let begin = self.request(Method::POST, self.url("blobs/uploads/")?).header(CONTENT_LENGTH, 0);
        let begun = self.succeeded(&what, self.send(begin).await?).await?;
        let location = begun.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let location = location.ok_or_else(|| self.answer(format!("it does not say where to put {what}")))?;
        let mut url = self
            .base
            .join(location)
            .map_err(|error| self.answer(format!("no address to put {what}: {error}")))?;
        url.query_pairs_mut().append_pair("digest", &format!("sha256:{digest}"));
        let put = self.request(Method::PUT, url).header(CONTENT_TYPE, "application/octet-stream").body(bytes);
        self.succeeded(&what, self.send(put).await?).await.map(drop)
    }

    pub(super) async fn put_manifest(&self, tag: &str, kind: &str, bytes: Vec<u8>) -> Result<(), DepotError> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let put = self.request(Method::PUT, url).header(CONTENT_TYPE, kind).body(bytes);
        self.succeeded(tag, self.send(put).await?).await.map(drop)
    }

    async fn succeeded(&self, what: &str, response: Response) -> Result<Response, DepotError> {
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(DepotError::Denied { place: self.repository.to_string() })
            }
            StatusCode::NOT_FOUND => Err(DepotError::NotThere {
                place: self.repository.to_string(),
                wanted: what.to_owned(),
                has: None,
            }),
            status => {
                let words = body(response, MAX_WORDS).await.ok().flatten();
                Err(self.answer(format!("{status} for {what}{}", reasons(&words.unwrap_or_default()))))
            }
        }
    }
}

fn unreachable(repository: &Repository, error: reqwest::Error) -> DepotError {
    DepotError::Unreachable { place: repository.to_string(), source: error.without_url().into() }
}

/// The reasons that a registry gives, by their codes. What else it says is its own.
fn reasons(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Failure {
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        code: String,
    }
    let Ok(failure) = serde_json::from_slice::<Failure>(bytes) else { return String::new() };
    let is_code =
        |code: &&str| code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let codes: Vec<&str> =
        failure.errors.iter().map(|reason| reason.code.as_str()).filter(is_code).take(4).collect();
    if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) }
}
