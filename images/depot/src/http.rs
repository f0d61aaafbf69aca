//! A folder behind an HTTP server: fetched by GET from any that serves files, filled by PUT where one takes them.

use std::sync::Once;
use std::time::Duration;

use fades_pack::{Architecture, MAX_IMAGE};
use reqwest::header::{ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url, redirect};

use crate::index::{Entry, FILE, Index, MAX_INDEX};
use crate::place::shown;
use crate::{DepotError, Selector, path_of};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest wait for a whole answer: who says a byte now and then is not silent.
const WHOLE: Duration = Duration::from_secs(30 * 60);
/// Most redirects that are followed.
pub(crate) const REDIRECTS: usize = 5;
/// How often an index is written anew that somebody else has changed meanwhile.
const ATTEMPTS: usize = 5;

/// What every client here has.
pub(crate) fn client() -> ClientBuilder {
    // Who does TLS; another choice that was made before stays.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder()
        .user_agent(concat!("fades/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .timeout(WHOLE)
}

/// What an answer brings; none where that is more than `most` bytes.
pub(crate) async fn body(mut response: Response, most: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// A server, and what it is called.
struct Server<'a> {
    client: Client,
    base: &'a Url,
    place: String,
}

impl<'a> Server<'a> {
    fn new(base: &'a Url) -> Result<Self, DepotError> {
        let place = shown(base);
        // Nobody leads from TLS to plain HTTP, and who is spoken to plainly leads nowhere.
        let is_safe = base.scheme() == "https";
        let follow = if is_safe { redirect::Policy::limited(REDIRECTS) } else { redirect::Policy::none() };
        let builder = client().https_only(is_safe).redirect(follow);
        let builder = if is_safe { builder } else { builder.no_proxy() };
        match builder.build() {
            Ok(client) => Ok(Self { client, base, place }),
            Err(source) => Err(DepotError::Unreachable { place, source: source.into() }),
        }
    }

    fn url(&self, path: &str) -> Result<Url, DepotError> {
        self.base.join(path).map_err(|error| self.answer(format!("no address for {path}: {error}")))
    }

    fn unreachable(&self) -> impl Fn(reqwest::Error) -> DepotError {
        let place = self.place.clone();
        // without the address, which may hold a password
        move |error| DepotError::Unreachable { place: place.clone(), source: error.without_url().into() }
    }

    fn answer(&self, what: String) -> DepotError {
        DepotError::Answer { place: self.place.clone(), what }
    }

    /// A file of at most `most` bytes, with its tag; none where there is none.
    async fn get(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Option<(Vec<u8>, Option<HeaderValue>)>, DepotError> {
        let url = self.url(path)?;
        let response = self.client.get(url).send().await.map_err(self.unreachable())?;
        if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(None);
        }
        self.succeeded("GET", path, &response)?;
        let tag = response.headers().get(ETAG).cloned();
        let bytes = body(response, most).await.map_err(self.unreachable())?;
        let bytes = bytes.ok_or_else(|| self.answer(format!("{path} has more than {most} bytes")))?;
        Ok(Some((bytes, tag)))
    }

    /// Puts a file; `false` when it was changed by somebody else since it was read with this tag.
    async fn put(
        &self,
        path: &str,
        bytes: Vec<u8>,
        before: Option<Option<&HeaderValue>>,
    ) -> Result<bool, DepotError> {
        let mut request = self.client.put(self.url(path)?).body(bytes);
        match before {
            Some(Some(tag)) => request = request.header(IF_MATCH, tag),
            Some(None) => request = request.header(IF_NONE_MATCH, "*"),
            None => {}
        }
        let response = request.send().await.map_err(self.unreachable())?;
        if response.status() == StatusCode::PRECONDITION_FAILED {
            return Ok(false);
        }
        self.succeeded("PUT", path, &response)?;
        Ok(true)
    }

    fn succeeded(&self, method: &str, path: &str, response: &Response) -> Result<(), DepotError> {
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => {
                Err(DepotError::Denied { place: format!("{} ({method} {path})", self.place) })
            }
            status => Err(self.answer(format!("{status} for {method} {path}"))),
        }
    }
}

pub(crate) async fn fetch(
    base: &Url,
    wanted: Option<&Selector>,
    architecture: Architecture,
) -> Result<Vec<u8>, DepotError> {
    let server = Server::new(base)?;
    let Some((bytes, _)) = server.get(FILE, MAX_INDEX).await? else {
        return Err(server.answer(format!("there is no {FILE}, so it is no folder of images")));
    };
    let index = Index::read(&bytes, &server.place)?;
    let path = path_of(index.choose(wanted, architecture, &server.place)?);
    match server.get(&path, MAX_IMAGE).await? {
        Some((bytes, _)) => Ok(bytes),
        None => Err(DepotError::NotThere { place: server.place, wanted: path, has: None }),
    }
}

/// The image first, so that what the index names is there. The index is written only over the one that was read, where the
/// server can tell (RFC 9110, `If-Match`).
pub(crate) async fn push(base: &Url, image: &[u8], entry: &Entry) -> Result<String, DepotError> {
    let server = Server::new(base)?;
    let path = path_of(entry);
    let mut is_there = false;
    for _ in 0..ATTEMPTS {
        let (mut index, tag) = match server.get(FILE, MAX_INDEX).await? {
            Some((bytes, tag)) => (Index::read(&bytes, &server.place)?, Some(tag)),
            None => (Index::default(), None),
        };
        let is_changed = index.add(entry, &server.place)?;
        if !is_there {
            server.put(&path, image.to_vec(), None).await?;
            is_there = true;
        }
        let before = match &tag {
            Some(Some(tag)) => Some(Some(tag)),
            // a server that tags nothing cannot be asked to compare
            Some(None) => None,
            None => Some(None),
        };
        if !is_changed || server.put(FILE, index.write(), before).await? {
            return Ok(format!("{}{path}", server.place));
        }
    }
    Err(server.answer(format!("{FILE} was changed by somebody else {ATTEMPTS} times")))
}
