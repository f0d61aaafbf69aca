//! Registries that mean harm: scripted servers on loopback. A real one is asked in the tests of the command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use fades_envelope::KeyId;
use fades_pack::Role;

use super::*;
use crate::{Login, Place, Secret};

/// More than any bound, bytes.
const ENDLESS: usize = 64 << 20;

/// What a server answers: the head behind the status line's `HTTP/1.1`, and a body. None: a body that does not end.
type Answer = (String, Option<Vec<u8>>);

/// A server that answers as it is told. It ends with the test.
struct Server {
    /// `127.0.0.1:PORT`
    address: String,
    /// First lines and, where there was one, `Authorization`.
    asked: Arc<Mutex<Vec<String>>>,
    /// Bytes of a body without an end that were taken at most.
    taken: Arc<Mutex<usize>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Self { address, asked: Arc::default(), taken: Arc::default() };
        let (asked, taken) = (Arc::clone(&server.asked), Arc::clone(&server.taken));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some((line, authorization)) = request(&stream) else { continue };
                let (head, body) = answer(&line);
                asked.lock().unwrap().push(format!("{line}{authorization}"));
                let wrote = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
                let sent = match (wrote, body) {
                    (Ok(()), None) => pour(&mut stream),
                    (_, body) => {
                        // who has gone does not take it
                        drop(stream.write_all(&body.unwrap_or_default()));
                        0
                    }
                };
                let mut taken = taken.lock().unwrap();
                *taken = (*taken).max(sent);
            }
        });
        server
    }

    fn repository(&self) -> Repository {
        let Place::Registry(repository) = format!("oci://{}/fades/stats", self.address).parse().unwrap()
        else {
            panic!()
        };
        repository
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// `METHOD PATH`, and ` AUTHORIZATION` or nothing; the body is read and forgotten.
fn request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut authorization, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = format!(" {value}"),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    let words: Vec<&str> = line.split(' ').take(2).collect();
    Some((words.join(" "), authorization))
}

/// Writes until nobody takes it any more; how much was taken.
fn pour(stream: &mut TcpStream) -> usize {
    let piece = [b' '; 1 << 16];
    let mut sent = 0;
    while sent < ENDLESS && stream.write_all(&piece).is_ok() {
        sent += piece.len();
    }
    sent
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    ("200 OK".to_owned(), Some(body.into()))
}

fn none() -> Answer {
    ("404 Not Found".to_owned(), Some(Vec::new()))
}

fn entry() -> Entry {
    Entry {
        name: "stats".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        role: Role::Dmf,
        architecture: Architecture::X86_64,
        digest: Digest([1; 32]),
        size: 5,
        signer: KeyId([0; 32]),
    }
}

fn with_password() -> Options {
    let login = Login { user: "edge".into(), password: Secret("secret".into()) };
    Options { insecure: false, login: Some(login) }
}

/// `edge:secret`
const BASIC: &str = "Basic ZWRnZTpzZWNyZXQ=";

#[track_caller]
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn pulled(server: &Server, options: &Options) -> Result<Vec<u8>, DepotError> {
    run(fetch(&server.repository(), None, Architecture::X86_64, options))
}

/// What a registry with one image of these bytes answers.
fn shelf(line: &str, image: &[u8]) -> Answer {
    let path = line.split_once(' ').unwrap().1;
    if path == "/v2/" {
        ok("{}")
    } else if path.contains("/tags/list") {
        ok(r#"{"name":"fades/stats","tags":["1.0.0-x86_64"]}"#)
    } else if path.contains("/manifests/") {
        ok(serde_json::to_vec(&manifest(image, &entry())).unwrap())
    } else if path.contains("/blobs/") {
        ok(image)
    } else {
        none()
    }
}

#[test]
fn an_image_comes_from_who_has_it_and_nothing_else_does() {
    let server = Server::start(|line| shelf(line, b"image"));
    assert_eq!(pulled(&server, &with_password()).unwrap(), b"image");
    // nobody asked who we are
    assert!(server.asked().iter().all(|line| !line.contains("Basic")), "{:?}", server.asked());
    let other = Server::start(|line| match line.contains("/blobs/") {
        true => ok("imagf"),
        false => shelf(line, b"image"),
    });
    assert!(matches!(pulled(&other, &Options::default()), Err(DepotError::Changed { .. })));
    // a digest that is a path
    let path = Server::start(|line| match line.contains("/manifests/") {
        true => {
            let text = String::from_utf8(shelf(line, b"image").1.unwrap()).unwrap();
            ok(text.replace("sha256:", "sha256:../../../"))
        }
        false => shelf(line, b"image"),
    });
    assert!(matches!(pulled(&path, &Options::default()), Err(DepotError::Answer { .. })));
    assert!(path.asked().iter().all(|line| !line.contains("/blobs/")));
}

#[test]
fn who_is_spoken_to_plainly_leads_nowhere() {
    let elsewhere = Server::start(|_| ok("image"));
    let on = format!("307 On\r\nLocation: http://{}/blob", elsewhere.address);
    let server = Server::start(move |line| match line.contains("/blobs/") {
        true => (on.clone(), Some(Vec::new())),
        false => shelf(line, b"image"),
    });
    let failure = pulled(&server, &with_password()).unwrap_err().to_string();
    assert!(failure.contains("307"), "{failure}");
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}

#[test]
fn b2_answers_without_an_end_are_not_read_to_it() {
    let endless = || ("200 OK".to_owned(), None);
    for part in ["/tags/list", "/manifests/", "/blobs/"] {
        let server = Server::start(move |line| match line.contains(part) {
            true => endless(),
            false => shelf(line, b"image"),
        });
        let failure = pulled(&server, &Options::default()).unwrap_err();
        assert!(matches!(failure, DepotError::Answer { .. }), "{part}: {failure}");
        // the bound, and what the system keeps between us
        let taken = *server.taken.lock().unwrap();
        assert!(taken < ENDLESS / 2, "{part}: {taken}");
    }
    // neither are words of a failure, a token, or the answer that asks who we are
    for (part, head) in [("/manifests/", "500 No"), ("/v2/", "200 OK"), ("/blobs/", "400 No")] {
        let server =
            Server::start(move |line| match line.ends_with(part) || part != "/v2/" && line.contains(part) {
                true => (head.to_owned(), None),
                false => shelf(line, b"image"),
            });
        let outcome = pulled(&server, &Options::default());
        assert_eq!(outcome.is_ok(), part == "/v2/", "{part}");
        assert!(*server.taken.lock().unwrap() < ENDLESS / 2, "{part}");
    }
    let giver = Server::start(move |_| ("200 OK".to_owned(), None));
    let realm = format!("401 Who\r\nWWW-Authenticate: Bearer realm=\"http://{}/t\"", giver.address);
    let server = Server::start(move |_| (realm.clone(), Some(Vec::new())));
    assert!(matches!(pulled(&server, &with_password()), Err(DepotError::Answer { .. })));
    assert!(*giver.taken.lock().unwrap() < ENDLESS / 2);
}

#[test]
fn a_password_is_told_to_who_gives_tokens_and_to_nobody_else() {
    let giver = Server::start(|_| ok(r#"{"access_token":"token"}"#));
    let realm = format!(
        "401 Who\r\nWWW-Authenticate: Bearer realm=\"http://{}/t?a=b\",service=\"s x\"",
        giver.address
    );
    let server = Server::start(move |line| match line.ends_with("/v2/") {
        true => (realm.clone(), Some(Vec::new())),
        false => shelf(line, b"image"),
    });
    assert_eq!(pulled(&server, &with_password()).unwrap(), b"image");
    let scope = "scope=repository%3Afades%2Fstats%3Apull";
    assert_eq!(giver.asked(), [format!("GET /t?a=b&{scope}&service=s+x {BASIC}")]);
    let asked = server.asked();
    assert_eq!(asked[0], "GET /v2/");
    assert!(asked[1..].iter().all(|line| line.ends_with(" Bearer token")), "{asked:?}");

    // a realm that leads on is not followed, and one that is plain elsewhere not asked
    let on = Server::start(|_| ("307 On\r\nLocation: http://127.0.0.1:9/".to_owned(), Some(Vec::new())));
    let realms = [
        (format!("http://{}/t", on.address), "307"),
        ("http://192.0.2.1/t".to_owned(), "password over plain HTTP"),
    ];
    for (realm, words) in realms {
        let head = format!("401 Who\r\nWWW-Authenticate: Bearer realm=\"{realm}\"");
        let server = Server::start(move |_| (head.clone(), Some(Vec::new())));
        let failure = pulled(&server, &with_password()).unwrap_err().to_string();
        assert!(failure.contains(words), "{failure}");
        assert_eq!(server.asked(), ["GET /v2/"]);
    }
}

#[test]
fn a_blob_that_is_put_elsewhere_is_put_there_by_nobody() {
    let elsewhere = Server::start(|_| ("201 Created".to_owned(), Some(Vec::new())));
    let location = format!("202 Go\r\nLocation: http://{}/upload?x=y", elsewhere.address);
    let server = Server::start(move |line| match line.split_once(' ').unwrap() {
        (_, "/v2/") => ("401 Who\r\nWWW-Authenticate: Basic realm=\"x\"".to_owned(), Some(Vec::new())),
        ("POST", _) => (location.clone(), Some(Vec::new())),
        ("PUT", _) => ("201 Created".to_owned(), Some(Vec::new())),
        _ => none(),
    });
    run(push(&server.repository(), b"image", &entry(), &with_password())).unwrap();
    let asked = server.asked();
    assert!(asked[1..].iter().all(|line| line.ends_with(BASIC)), "{asked:?}");
    assert_eq!(asked.iter().filter(|line| line.starts_with("PUT /v2/fades/stats/manifests/")).count(), 2);
    let put = elsewhere.asked();
    assert_eq!(put.len(), 2, "{put:?}");
    assert!(put.iter().all(|line| line.starts_with("PUT /upload?x=y&digest=sha256%3A")), "{put:?}");
    assert!(put.iter().all(|line| !line.contains("Basic")), "{put:?}");
}

#[test]
fn reasons_are_told_by_their_codes() {
    let server = Server::start(|line| match line.contains("/manifests/") {
        true => {
            let words = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"\u001b[31m"},{"code":"x y"}]}"#;
            ("400 No".to_owned(), Some(words.into()))
        }
        false => shelf(line, b"image"),
    });
    let said = pulled(&server, &Options::default()).unwrap_err().to_string();
    assert!(said.ends_with("for manifests/1.0.0-x86_64 (MANIFEST_INVALID)"), "{said}");
}
