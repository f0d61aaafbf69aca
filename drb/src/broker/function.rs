//! A function's connection to the data port, as far as it concerns the connection alone.

use super::{Caller, Micros};
use fades_wire::data::{Abort, ToBroker};
use fades_wire::failure::{Code, Failure};
use fades_wire::frame::{Decoder, Kind, encode};
use fades_wire::ids::{TaskKey, Ticket};
use fades_wire::message::to_body;

use super::reason;

/// Longest body that a function has to send: a ticket, or a number.
const MAX_BODY: usize = 64;

/// What a function said.
#[derive(Debug)]
pub(super) enum Said {
    Message { stream: u32, message: ToBroker },
    Wrong(Failure),
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) from: Caller,
    pub(super) since: Micros,
    pub(super) task: Option<TaskKey>,
    decoder: Decoder,
    /// The ticket of a task that is not known yet: the order may still be on its way, on another connection.
    pub(super) ticket: Option<Ticket>,
    /// Credit that came before the task did: stream and bytes.
    pub(super) early: Vec<(u32, u64)>,
    /// The last words to a stranger; the connection is closed behind them.
    farewell: Option<(Vec<u8>, usize)>,
    /// Nothing it says is listened to any more.
    pub(super) deaf: bool,
}

impl Function {
    pub(super) fn new(from: Caller, since: Micros) -> Self {
        let decoder = Decoder::new(MAX_BODY);
        Self {
            from,
            since,
            task: None,
            decoder,
            ticket: None,
            early: Vec::new(),
            farewell: None,
            deaf: false,
        }
    }

    /// Takes bytes that came and gives what they say, in order, up to the first thing that is wrong.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        if self.deaf {
            return said;
        }
        self.decoder.push(bytes);
        loop {
            match self.decoder.next() {
                Ok(None) => return said,
                Ok(Some(frame)) => match ToBroker::from_frame(frame.kind, frame.body) {
                    Ok(message) => said.push(Said::Message { stream: frame.stream, message }),
                    Err(error) => {
                        said.push(Said::Wrong(Failure::new(
                            Code::Protocol,
                            format!("the function's message: {error}"),
                        )));
                        return said;
                    }
                },
                Err(error) => {
                    said.push(Said::Wrong(reason::frame(&error)));
                    return said;
                }
            }
        }
    }

    /// Has nothing more to say than why it is turned away.
    pub(super) fn turn_away(&mut self, failure: Failure) {
        let mut words = Vec::new();
        if let Ok(body) = to_body(&Abort(failure)) {
            let _ = encode(Kind::Abort, 0, 0, &body, &mut words);
        }
        self.farewell = Some((words, 0));
        self.ticket = None;
        self.deaf = true;
    }

    pub(super) fn farewell(&self) -> &[u8] {
        self.farewell.as_ref().map_or(&[], |(words, sent)| &words[*sent..])
    }

    /// Notes that `count` bytes of the farewell went out. Says whether that was all.
    pub(super) fn farewell_sent(&mut self, count: usize) -> bool {
        let Some((words, sent)) = &mut self.farewell else { return false };
        *sent = (*sent + count).min(words.len());
        *sent == words.len()
    }
}
