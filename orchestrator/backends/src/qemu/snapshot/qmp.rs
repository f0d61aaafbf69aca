//! What is said to a QEMU that is saved, or goes on as a saved one: commands and events of QMP (QEMU's
//! `docs/interop/qmp-spec`), one JSON document a line. QEMU is not trusted more than its guest: lines are bounded, and waiting is.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

/// Longest line; QEMU's own are a few hundred bytes.
const LINE: usize = 64 << 10;
/// Events that nobody has asked for yet. There are some ten.
const EVENTS: usize = 64;

/// Why a QEMU did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    #[error("its control connection failed")]
    Io(#[from] io::Error),
    #[error("it said {0:?}, which is no message of QMP")]
    Nonsense(String),
    #[error("it refused {command}: {why}")]
    Refused { command: &'static str, why: String },
    #[error("its migration failed")]
    Migration,
    #[error("it could not be told of its guest's bells")]
    Bells(#[source] io::Error),
    #[error("its guest did not wake")]
    Asleep,
    #[error("it is {found}, and not the monitor that saved the guest")]
    OtherMonitor { found: String },
}

pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    until: Instant,
    events: VecDeque<Value>,
    /// What QEMU calls itself.
    pub(super) version: String,
}

impl Qmp {
    /// Waits for the greeting, and gets ready for [`Self::save`] or [`Self::load`]; all of it has to be done `within` this time.
    pub(super) fn open(stream: UnixStream, within: Duration) -> Result<Self, QmpError> {
        let until = Instant::now() + within;
        let mut line =
            Self { stream: BufReader::new(stream), until, events: VecDeque::new(), version: String::new() };
        let greeting = line.read()?;
        let version = greeting.get("QMP").and_then(|greeting| greeting.get("version"));
        line.version = version.ok_or_else(|| QmpError::Nonsense(greeting.to_string()))?.to_string();
        line.execute("qmp_capabilities", &json!({}), None)?;
        // Memory that others have as well is no part of the state.
        let on = |name: &str| json!({"capability": name, "state": true});
        let both = json!({"capabilities": [on("x-ignore-shared"), on("events")]});
        line.execute("migrate-set-capabilities", &both, None)?;
        Ok(line)
    }

    /// Stops the guest and writes its state, all but its memory, to `into`, which has to be read meanwhile.
    pub(super) fn save(&mut self, into: BorrowedFd<'_>) -> Result<(), QmpError> {
        self.execute("stop", &json!({}), None)?;
        self.execute("getfd", &json!({"fdname": "state"}), Some(into))?;
        self.execute("migrate", &json!({"uri": "fd:state"}), None)
    }

    /// Reads the state from a descriptor that QEMU inherited.
    pub(super) fn load(&mut self, from: i32) -> Result<(), QmpError> {
        self.execute("migrate-incoming", &json!({"uri": format!("fd:{from}")}), None)?;
        self.migrated()
    }

    /// Has the guest go on that was loaded.
    pub(super) fn go_on(&mut self) -> Result<(), QmpError> {
        self.execute("cont", &json!({}), None)
    }

    /// Waits for the end of [`Self::save`].
    pub(super) fn migrated(&mut self) -> Result<(), QmpError> {
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.read()?,
            };
            if event["event"] == "MIGRATION" {
                match event["data"]["status"].as_str() {
                    Some("completed") => return Ok(()),
                    Some("failed" | "cancelled") => return Err(QmpError::Migration),
                    _ => {}
                }
            }
        }
    }

    fn execute(
        &mut self,
        command: &'static str,
        arguments: &Value,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), QmpError> {
        let mut text = json!({"execute": command, "arguments": arguments}).to_string();
        text.push('\n');
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files: &[BorrowedFd<'_>] = file.as_slice();
        if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory).into());
        }
        let sent = sendmsg(
            self.stream.get_ref(),
            &[IoSlice::new(text.as_bytes())],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .map_err(io::Error::from)?;
        if sent != text.len() {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        loop {
            let said = self.read()?;
            if said.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = said.get("error") {
                let why = error["desc"].as_str().unwrap_or("no reason").to_owned();
                return Err(QmpError::Refused { command, why });
            }
            if self.events.len() < EVENTS {
                self.events.push_back(said);
            }
        }
    }

    fn read(&mut self) -> Result<Value, QmpError> {
        let mut line = Vec::new();
        loop {
            // For each piece anew: one that comes in drops has no more time.
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            let piece = self.stream.fill_buf()?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(piece.len(), |end| end + 1);
            if taken == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            line.extend_from_slice(&piece[..taken]);
            self.stream.consume(taken);
            if end.is_some() || line.len() > LINE {
                break;
            }
        }
        serde_json::from_slice(&line).map_err(|_| {
            QmpError::Nonsense(String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned())
        })
    }
}

/// Says all that is ever said to a QEMU, for the fuzzer that plays it: whether its guest went on, and what it calls itself.
#[must_use]
pub fn converse(stream: UnixStream) -> (bool, String) {
    let Ok(mut line) = Qmp::open(stream, Duration::from_secs(5)) else { return (false, String::new()) };
    let goes_on = line.load(0).and_then(|()| line.go_on()).is_ok();
    (goes_on, line.version)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::thread;

    use super::*;

    const GREETING: &str = r#"{"QMP":{"version":{"package":"p"},"capabilities":[]}}"#;

    /// A QEMU that says these lines, whatever it is told.
    fn saying(lines: &[&str]) -> (UnixStream, thread::JoinHandle<String>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for line in lines {
            theirs.write_all(line.as_bytes()).unwrap();
            theirs.write_all(b"\n").unwrap();
        }
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let heard = thread::spawn(move || {
            let mut heard = String::new();
            theirs.read_to_string(&mut heard).unwrap();
            heard
        });
        (ours, heard)
    }

    fn open(lines: &[&str]) -> Result<Qmp, QmpError> {
        Qmp::open(saying(lines).0, Duration::from_secs(5))
    }

    #[test]
    fn events_between_answers_are_not_lost() {
        let done = r#"{"event":"MIGRATION","data":{"status":"completed"}}"#;
        let other = r#"{"event":"STOP"}"#;
        let good = r#"{"return":{}}"#;
        let (stream, heard) = saying(&[GREETING, good, good, other, done, good, good]);
        let mut qmp = Qmp::open(stream, Duration::from_secs(5)).unwrap();
        assert_eq!(qmp.version, r#"{"package":"p"}"#);
        qmp.load(7).unwrap();
        qmp.go_on().unwrap();
        drop(qmp);
        let heard = heard.join().unwrap();
        let told: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(told[2], json!({"execute": "migrate-incoming", "arguments": {"uri": "fd:7"}}));
        assert_eq!((told.len(), &told[3]["execute"]), (4, &json!("cont")));
    }

    #[test]
    fn refusals_failures_nonsense_and_an_end_are_told() {
        let refused = r#"{"error":{"class":"GenericError","desc":"no such thing"}}"#;
        let said = open(&[GREETING, refused]).err().unwrap().to_string();
        assert_eq!(said, "it refused qmp_capabilities: no such thing");
        assert!(matches!(open(&["hello"]), Err(QmpError::Nonsense(_))));
        assert!(matches!(open(&["{}"]), Err(QmpError::Nonsense(_))));
        assert!(matches!(open(&[]), Err(QmpError::Io(_))));
        let good = r#"{"return":{}}"#;
        let failed = r#"{"event":"MIGRATION","data":{"status":"failed"}}"#;
        let mut qmp = open(&[GREETING, good, good, good, failed]).unwrap();
        assert!(matches!(qmp.load(3), Err(QmpError::Migration)));
    }

    #[test]
    fn a_line_without_end_is_bounded_and_silence_has_a_deadline() {
        let long = "x".repeat(2 * LINE);
        assert!(matches!(open(&[&long]), Err(QmpError::Nonsense(_))));
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(matches!(Qmp::open(ours, Duration::from_millis(20)), Err(QmpError::Io(_))));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let drops = thread::spawn(move || while theirs.write_all(b" ").is_ok() {});
        let said = Qmp::open(ours, Duration::from_millis(50));
        assert!(matches!(said, Err(QmpError::Io(_) | QmpError::Nonsense(_))));
        drops.join().unwrap();
    }
}
