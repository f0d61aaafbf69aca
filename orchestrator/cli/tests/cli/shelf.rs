//! A small HTTP server on loopback that serves a folder and takes files by PUT, with tags of contents (RFC 9110).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

/// A server of files; ended when dropped.
pub(crate) struct Shelf {
    pub(crate) url: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    ends: AtomicBool,
    only_serves: AtomicBool,
    meddles: AtomicBool,
    conflicts: AtomicU32,
}

impl Shelf {
    pub(crate) fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            folder,
            ends: AtomicBool::default(),
            only_serves: AtomicBool::default(),
            meddles: AtomicBool::default(),
            conflicts: AtomicU32::default(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.ends.load(Ordering::SeqCst) {
                    break;
                }
                // whoever hangs up in between has had enough
                let _gone = stream.and_then(|stream| theirs.answer(stream));
            }
        });
        Self { url, shared, thread: Some(thread) }
    }

    /// Has the index changed by somebody else before it is next put.
    pub(crate) fn meddle_once(&self) {
        self.shared.meddles.store(true, Ordering::SeqCst);
    }

    /// Takes nothing from now on.
    pub(crate) fn only_serve(&self) {
        self.shared.only_serves.store(true, Ordering::SeqCst);
    }

    /// How often a file was not taken because it had been changed.
    pub(crate) fn conflicts(&self) -> u32 {
        self.shared.conflicts.load(Ordering::SeqCst)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.url.trim_start_matches("http://").trim_end_matches('/'));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Python's server of files with TLS before it; ended when dropped.
pub(crate) struct TlsShelf {
    pub(crate) url: String,
    /// Its certificate, which nobody trusts unasked.
    pub(crate) certificate: PathBuf,
    child: Child,
}

impl TlsShelf {
    /// None where Python has not what it takes. `away` is where its folder `away` leads to.
    pub(crate) fn start(folder: &Path, away: &str) -> Option<Self> {
        let python = |words: &[&str]| {
            let mut command = Command::new("/usr/bin/python3");
            command.current_dir(folder).args(words);
            command
        };
        if !python(&["-c", "import cryptography"]).status().is_ok_and(|status| status.success()) {
            eprintln!(
                "SKIPPED: a server with TLS needs /usr/bin/python3 with cryptography (apt-get install python3-cryptography)"
            );
            return None;
        }
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/tls_shelf.py");
        let mut child = python(&["-W", "ignore", program, away])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let url = format!("https://127.0.0.1:{}/", port.trim());
        Some(Self { url, certificate: folder.join("cert.pem"), child })
    }
}

impl Drop for TlsShelf {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", fades_envelope::Digest::of(bytes))
}

impl Shared {
    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (method, path) =
            (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let (mut length, mut condition) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "if-match" | "if-none-match" => condition = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let file = self.folder.join(path.trim_start_matches('/'));
        let (status, tag, body) = match method.as_str() {
            "GET" => match std::fs::read(&file) {
                Ok(bytes) => ("200 OK", tag(&bytes), bytes),
                Err(_) => ("404 Not Found", String::new(), Vec::new()),
            },
            "PUT" if self.only_serves.load(Ordering::SeqCst) => {
                ("405 Method Not Allowed", String::new(), Vec::new())
            }
            "PUT" => (self.put(&file, &body, condition.as_deref()), String::new(), Vec::new()),
            _ => ("400 Bad Request", String::new(), Vec::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)
    }

    fn put(&self, file: &Path, body: &[u8], condition: Option<&str>) -> &'static str {
        if condition.is_some() && self.meddles.swap(false, Ordering::SeqCst) {
            let mut text = std::fs::read_to_string(file).unwrap();
            text.push('\n');
            std::fs::write(file, text).unwrap();
        }
        let there = std::fs::read(file).ok();
        let holds = match (condition, &there) {
            (Some("*"), there) => there.is_none(),
            (Some(wanted), Some(bytes)) => tag(bytes) == wanted,
            (Some(_), None) => false,
            (None, _) => true,
        };
        if !holds {
            self.conflicts.fetch_add(1, Ordering::SeqCst);
            return "412 Precondition Failed";
        }
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, body).unwrap();
        "201 Created"
    }
}
