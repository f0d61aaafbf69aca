//! Server-sent events from bytes (WHATWG HTML, section 9.2): pure, incremental, bounded.

use std::collections::VecDeque;

/// Longest event, bytes of its lines; an EventView takes a few hundred.
const EVENT_BYTES: usize = 64 * 1024;

/// One event that had data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its own `id` line; what it stands for behind the event does not concern us.
    pub id: Option<String>,
    /// Its `data` lines, joined by newlines.
    pub data: String,
}

/// What comes is no stream of events of this interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event without end.
    #[error("an event is longer than {EVENT_BYTES} bytes")]
    TooLong,
    /// A line that is no text.
    #[error("a line is not UTF-8")]
    NotUtf8(#[from] std::string::FromUtf8Error),
}

/// Takes bytes in pieces of any size.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_return: bool,
    begun: bool,
    id: Option<String>,
    data: String,
    has_data: bool,
    ready: VecDeque<Event>,
}

impl Parser {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`SseError`]; then nothing of what follows is to be believed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => self.end_line()?,
                _ if self.line.len() + self.data.len() >= EVENT_BYTES => return Err(SseError::TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// The next event that is complete.
    pub fn next_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) -> Result<(), SseError> {
        let text = String::from_utf8(std::mem::take(&mut self.line))?;
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { text.strip_prefix('\u{feff}').unwrap_or(&text) } else { &text };
        if line.is_empty() {
            let (id, data) = (self.id.take(), std::mem::take(&mut self.data));
            if std::mem::take(&mut self.has_data) {
                self.ready.push_back(Event { id, data });
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // comments (an empty field name), `event`, `retry`, and what is unknown
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<(Option<String>, String)> {
        let mut parser = Parser::default();
        for piece in pieces {
            parser.push(piece).unwrap();
        }
        std::iter::from_fn(|| parser.next_event()).map(|event| (event.id, event.data)).collect()
    }

    fn event(id: &str, data: &str) -> (Option<String>, String) {
        (Some(id.to_owned()), data.to_owned())
    }

    #[test]
    fn events_comments_and_all_line_ends() {
        let text = b"\xef\xbb\xbf: hello\n\nid: 1\nevent: state\ndata: a\n\nid:2\r\ndata:b\r\ndata\r\ndata: c\r\n\r\ndata: d\r\r";
        assert_eq!(parse(&[text]), [event("1", "a"), event("2", "b\n\nc"), (None, "d".to_owned())]);
    }

    #[test]
    fn what_is_not_complete_is_no_event() {
        assert_eq!(parse(&[b"id: 1\ndata: a\n"]), []);
        assert_eq!(parse(&[b"id: 7\n\n", b"data: a\n\n"]), [(None, "a".to_owned())]);
    }

    #[test]
    fn it_is_bounded() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; EVENT_BYTES + 1]), Err(SseError::TooLong));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1000));
        assert_eq!((0..100).try_for_each(|_| parser.push(line.as_bytes())), Err(SseError::TooLong));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in "((id: [0-9]{1,3}|data: ?[a-zé]{0,5}|: x|event: y|)(\n|\r\n|\r)){0,20}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), parse(&[bytes]));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut parser = Parser::default();
            let _ = parser.push(&bytes);
            while parser.next_event().is_some() {}
        }
    }
}
