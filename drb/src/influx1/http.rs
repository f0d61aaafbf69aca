//! HTTP/1.1 as far as an answer needs it: the head, and the framing of the body.
//!
//! Incremental and bounded: a head has a longest length, a chunk's size line as well; a body is never collected.

/// Longest head of an answer. InfluxDB's are about 300 bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// Most header fields of an answer.
const MAX_FIELDS: usize = 64;
/// Longest line that gives a chunk's size, its extensions included, and longest trailer in all.
const MAX_LINE: usize = 1024;

/// How the body of an answer is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Transfer-Encoding: chunked.
    Chunked,
    /// Content-Length.
    Length(u64),
    /// Neither: it ends with the connection, so that its end cannot be told from a loss.
    UntilClose,
}

/// What matters of an answer's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The body's framing.
    pub framing: Framing,
    /// Whether the body is declared as MessagePack.
    pub msgpack: bool,
    /// InfluxDB's own words about an error (`X-Influxdb-Error`), cut to a sensible length.
    pub error: Option<String>,
}

/// Why an answer is not HTTP as we know it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The head goes on and on.
    #[error("the answer's head is longer than {MAX_HEAD} bytes")]
    EndlessHead,
    /// The head does not parse.
    #[error("the answer's head is not HTTP")]
    Head(#[source] httparse::Error),
    /// Contradicting or unknown framing.
    #[error("the answer's framing {0:?} is not one we take")]
    Framing(String),
    /// A compressed body, which was not asked for.
    #[error("the answer is encoded as {0:?}, which was not asked for")]
    Encoding(String),
    /// A chunk's size line is malformed, too long, or claims an impossible size.
    #[error("a chunk of the answer has a malformed size")]
    ChunkSize,
    /// A chunk is not followed by its line end.
    #[error("a chunk of the answer does not end where it said")]
    ChunkEnd,
}

impl Head {
    /// Parses the head at the start of `input`: its length and contents, or `None` while it is incomplete.
    ///
    /// # Errors
    /// An [`HttpError`] for what no further bytes can repair.
    pub fn parse(input: &[u8]) -> Result<Option<(usize, Self)>, HttpError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let window = &input[..input.len().min(MAX_HEAD)];
        let length = match response.parse(window).map_err(HttpError::Head)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if input.len() >= MAX_HEAD => return Err(HttpError::EndlessHead),
            httparse::Status::Partial => return Ok(None),
        };
        let mut head = Self {
            status: response.code.unwrap_or(0),
            framing: Framing::UntilClose,
            msgpack: false,
            error: None,
        };
        for field in response.headers.iter() {
            head.take(field.name, &String::from_utf8_lossy(field.value))?;
        }
        Ok(Some((length, head)))
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), HttpError> {
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            if self.framing != Framing::UntilClose || !value.eq_ignore_ascii_case("chunked") {
                return Err(HttpError::Framing(value.to_owned()));
            }
            self.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("content-length") {
            // Digits only: `parse` alone would take a sign.
            let length =
                value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
            match (self.framing, length) {
                (Framing::UntilClose, Some(length)) => self.framing = Framing::Length(length),
                _ => return Err(HttpError::Framing(value.to_owned())),
            }
        } else if name.eq_ignore_ascii_case("content-encoding") && !value.eq_ignore_ascii_case("identity") {
            return Err(HttpError::Encoding(value.to_owned()));
        } else if name.eq_ignore_ascii_case("content-type") {
            let kind = value.split(';').next().unwrap_or_default().trim();
            self.msgpack = kind.eq_ignore_ascii_case("application/x-msgpack");
        } else if name.eq_ignore_ascii_case("x-influxdb-error") {
            self.error = Some(value.chars().take(super::MAX_WORDS).collect());
        }
        Ok(())
    }
}

/// Where a body stands.
#[derive(Clone, Debug)]
enum State {
    Size { value: u64, digits: u8, line: usize, extension: bool },
    Data(u64),
    DataEnd,
    Trailer { line: usize, total: usize },
    UntilClose,
    Done,
}

/// Takes the framing off a body.
#[derive(Clone, Debug)]
pub struct Body {
    state: State,
    chunked: bool,
}

impl Body {
    /// A body with this framing, from its first byte.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Chunked => SIZE_LINE,
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Data(length),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, chunked: framing == Framing::Chunked }
    }

    /// Skips framing at the start of `input`. Gives how many bytes that took, and how many bytes of content follow
    /// directly (0 when more input is needed or the body is done). Content is then taken with [`Body::taken`].
    ///
    /// # Errors
    /// A malformed chunk.
    pub fn advance(&mut self, input: &[u8]) -> Result<(usize, usize), HttpError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return Ok((at, 0)),
                State::UntilClose => return Ok((at, input.len() - at)),
                // A body of known length is one chunk whose end needs no line.
                State::Data(0) if !self.chunked => self.state = State::Done,
                State::Data(0) => self.state = State::DataEnd,
                State::Data(left) => {
                    let here = (input.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                    return Ok((at, here));
                }
                _ => {}
            }
            if matches!(self.state, State::Done) {
                continue;
            }
            let Some(&byte) = input.get(at) else { return Ok((at, 0)) };
            if let State::DataEnd = self.state {
                match input[at..] {
                    [b'\r', b'\n', ..] => at += 2,
                    [b'\r'] => return Ok((at, 0)),
                    _ => return Err(HttpError::ChunkEnd),
                }
                self.state = SIZE_LINE;
            } else {
                at += 1;
                self.line_byte(byte)?;
            }
        }
    }

    /// One byte of a size line or of the trailer.
    fn line_byte(&mut self, byte: u8) -> Result<(), HttpError> {
        match &mut self.state {
            State::Size { value, digits, line, extension } => {
                *line += 1;
                if *line > MAX_LINE {
                    return Err(HttpError::ChunkSize);
                }
                match (byte, char::from(byte).to_digit(16)) {
                    (b'\n', _) if *digits > 0 => {
                        self.state = if *value == 0 {
                            State::Trailer { line: 0, total: 0 }
                        } else {
                            State::Data(*value)
                        };
                    }
                    (_, Some(digit)) if !*extension => {
                        // 2^60 bytes are more than any source holds, and keep the sum from overflowing.
                        if *digits == 15 {
                            return Err(HttpError::ChunkSize);
                        }
                        *value = *value << 4 | u64::from(digit);
                        *digits += 1;
                    }
                    (b';' | b' ' | b'\t' | b'\r', _) if *digits > 0 => *extension = true,
                    (b'\n', _) => return Err(HttpError::ChunkSize),
                    _ if *extension => {}
                    _ => return Err(HttpError::ChunkSize),
                }
            }
            State::Trailer { line, total } => {
                *total += 1;
                if *total > MAX_LINE {
                    return Err(HttpError::ChunkEnd);
                }
                match byte {
                    b'\n' if *line == 0 => self.state = State::Done,
                    b'\n' => *line = 0,
                    b'\r' => {}
                    _ => *line += 1,
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Says that `count` bytes of content were used.
    pub fn taken(&mut self, count: usize) {
        if let State::Data(left) = &mut self.state {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// Whether the body ended as its framing announced.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

const SIZE_LINE: State = State::Size { value: 0, digits: 0, line: 0, extension: false };

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-msgpack\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn a_head_arrives_in_pieces() {
        for cut in 0..OK.len() {
            assert_eq!(Head::parse(&OK[..cut]).unwrap(), None, "cut at {cut}");
        }
        let (length, head) = Head::parse(OK).unwrap().unwrap();
        assert_eq!(length, OK.len());
        assert_eq!(head, Head { status: 200, framing: Framing::Chunked, msgpack: true, error: None });
    }

    #[test]
    fn heads_that_are_refused() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(MAX_HEAD));
        assert_eq!(Head::parse(endless.as_bytes()), Err(HttpError::EndlessHead));
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ] {
            assert!(matches!(Head::parse(text.as_bytes()), Err(HttpError::Framing(_))), "{text}");
        }
        let zipped = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
        assert!(matches!(Head::parse(zipped), Err(HttpError::Encoding(_))));
        assert!(matches!(Head::parse(b"SSH-2.0-OpenSSH_9\r\n\r\n"), Err(HttpError::Head(_))));
    }

    /// Feeds `input` in pieces of `step` bytes; gives the content, whether the body was done, and what was left over.
    fn content(framing: Framing, input: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize), HttpError> {
        let mut body = Body::new(framing);
        let (mut content, mut buffer, mut rest) = (Vec::new(), Vec::new(), input);
        loop {
            let (skip, count) = body.advance(&buffer)?;
            content.extend_from_slice(&buffer[skip..skip + count]);
            body.taken(count);
            buffer.drain(..skip + count);
            if count == 0 {
                if rest.is_empty() || body.is_done() {
                    return Ok((content, body.is_done(), buffer.len() + rest.len()));
                }
                let (piece, after) = rest.split_at(step.min(rest.len()));
                buffer.extend_from_slice(piece);
                rest = after;
            }
        }
    }

    #[test]
    fn bodies_in_every_split() {
        let chunked: &[u8] =
            b"5\r\nhello\r\n00c;x=\"y\"\r\n, world and \r\n1 \r\n!\r\n0\r\nTrailer: 1\r\n\r\nafter";
        for step in 1..=chunked.len() {
            assert_eq!(
                content(Framing::Chunked, chunked, step).unwrap(),
                (b"hello, world and !".to_vec(), true, 5)
            );
            assert_eq!(content(Framing::Length(5), b"hello", step).unwrap(), (b"hello".to_vec(), true, 0));
            assert_eq!(content(Framing::UntilClose, b"hello", step).unwrap(), (b"hello".to_vec(), false, 0));
        }
        assert_eq!(content(Framing::Length(0), b"", 1).unwrap(), (vec![], true, 0));
        assert_eq!(content(Framing::Length(9), b"hello", 2).unwrap(), (b"hello".to_vec(), false, 0));
    }

    #[test]
    fn a_cut_chunked_body_is_never_done() {
        let whole: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            assert!(!content(Framing::Chunked, &whole[..cut], 3).unwrap().1, "cut at {cut}");
        }
    }

    #[test]
    fn malformed_chunks() {
        for text in
            ["x\r\n", "\r\n", "-5\r\n", "1000000000000000\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n", ";\n"]
        {
            assert!(content(Framing::Chunked, text.as_bytes(), 1).is_err(), "{text:?}");
        }
        let endless = format!("1;{}", "a".repeat(MAX_LINE));
        assert_eq!(content(Framing::Chunked, endless.as_bytes(), 100), Err(HttpError::ChunkSize));
        let trailer = format!("0\r\n{}", "a: b\r\n".repeat(MAX_LINE));
        assert_eq!(content(Framing::Chunked, trailer.as_bytes(), 100), Err(HttpError::ChunkEnd));
    }
}
