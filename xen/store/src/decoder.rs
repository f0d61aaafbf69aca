//! Reading messages from a byte stream, whatever the pieces in which it comes.

use crate::{HEADER_LEN, Header, Message, TooLong};
use alloc::vec::Vec;

/// Reads one direction of one connection. Holds at most one message.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
}

/// ```text
/// Header --16 bytes, length fits--> Payload --all of it--> Header
///    \----length over the limit---> Failed
/// ```
#[derive(Clone, Debug)]
enum State {
    Header { bytes: [u8; HEADER_LEN], filled: usize },
    Payload { header: Header, wanted: usize, payload: Vec<u8> },
    Failed(TooLong),
}

impl Default for State {
    fn default() -> Self {
        Self::Header { bytes: [0; HEADER_LEN], filled: 0 }
    }
}

impl Decoder {
    /// At the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the front of `input` until a message is complete, and gives it; `None`: all of `input`
    /// was taken and more is needed. Call it until it gives `None`.
    ///
    /// # Errors
    /// A header claims more than a payload may have; nothing was allocated for it. The same error comes for
    /// ever after, and nothing more is taken.
    pub fn push(&mut self, input: &mut &[u8]) -> Result<Option<Message>, TooLong> {
        loop {
            match &mut self.state {
                State::Failed(error) => return Err(*error),
                State::Header { bytes, filled } => {
                    let taken = take(input, HEADER_LEN - *filled);
                    bytes[*filled..*filled + taken.len()].copy_from_slice(taken);
                    *filled += taken.len();
                    if *filled < HEADER_LEN {
                        return Ok(None);
                    }
                    let header = Header::decode(bytes);
                    self.state = match header.payload_len() {
                        Ok(wanted) => State::Payload { header, wanted, payload: Vec::with_capacity(wanted) },
                        Err(error) => State::Failed(error),
                    };
                }
                State::Payload { header, wanted, payload } => {
                    payload.extend_from_slice(take(input, *wanted - payload.len()));
                    if payload.len() < *wanted {
                        return Ok(None);
                    }
                    let message = Message::from_parts(*header, core::mem::take(payload));
                    self.state = State::default();
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Whether a message has begun and is not complete: a connection that ends here broke off.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        !matches!(self.state, State::Header { filled: 0, .. })
    }
}

/// Up to `count` bytes from the front of `input`.
fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}
