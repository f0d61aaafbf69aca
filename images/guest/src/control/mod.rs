//! The control channel: one framed connection to the orchestrator, from the first message to the last; through this guest's
//! region, in a Xen domain through XenStore, or by TCP (`line`).
//!
//! ```text
//! connect (retried) -> Hello -> Welcome -> messages -> Shutdown, or lost
//! ```
//! Three threads touch it. The application sends through [`ControlSender`] and takes messages from the
//! queue; a reader answers pings and fills the queue; a watch ends the guest when nothing was heard for
//! several heartbeats, as not every kernel has read timeouts. A guest that sleeps until its welcome goes through all of it
//! before, with an orchestrator that is written down (`rehearsal`).

mod connect;
mod line;
mod reader;
mod rehearsal;
mod sender;

pub use sender::ControlSender;

use fades_wire::address::{Control, Endpoint};
use fades_wire::control::{FromGuest, Hello, ToGuest, Welcome};
use fades_wire::exit::ExitCode;
use fades_wire::frame::FrameError;
use fades_wire::message::MessageError;
use fades_wire::region::BirthError;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

/// Messages that may wait for the application; an orchestrator that sends more is at fault.
pub const MAX_WAITING: usize = 256;

/// Called once, when a channel's life after its welcome ends. In a guest it does not return.
pub type OnEnd = Arc<dyn Fn(&Ended) + Send + Sync>;

/// How a channel behaves.
#[derive(Clone)]
pub struct Settings {
    /// Time for connecting, all attempts together.
    pub connect_within: Duration,
    /// Time from the connection to the welcome.
    pub welcome_within: Duration,
    /// Heartbeat intervals without a word after which the orchestrator counts as lost.
    pub silent_intervals: u32,
    /// Log lines above this level are dropped.
    pub log: u8,
    /// Hears of the end.
    pub on_end: OnEnd,
}

impl Settings {
    /// The settings of a guest.
    #[must_use]
    pub fn new(on_end: impl Fn(&Ended) + Send + Sync + 'static) -> Self {
        Self {
            connect_within: Duration::from_secs(10),
            welcome_within: Duration::from_secs(10),
            // The orchestrator waits for its disk: a stall of some seconds there must not cost every guest its life.
            silent_intervals: 15,
            log: 3,
            on_end: Arc::new(on_end),
        }
    }
}

/// How a channel ended.
#[derive(Debug)]
pub enum Ended {
    /// The orchestrator said so.
    Shutdown,
    /// Something went wrong.
    Lost(ControlError),
}

/// What can go wrong between a guest and its orchestrator.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No connection came about in time.
    #[error("cannot reach the orchestrator at {endpoint} in {attempts} attempts")]
    Connect {
        /// Where it should be.
        endpoint: Endpoint,
        /// How often it was tried.
        attempts: u32,
        /// What happened last.
        #[source]
        source: io::Error,
    },
    /// There is no XenStore to reach it by.
    #[error("the orchestrator is to be reached through XenStore, and there is none")]
    NoStore(#[source] Option<io::Error>),
    /// There is no region to reach it by.
    #[error("the orchestrator is to be reached through a region, and there is none")]
    NoRegion(#[source] Option<BirthError>),
    /// This guest was saved, and goes on as another one.
    #[error("the region is in another turn")]
    Reborn,
    /// The connection broke.
    #[error("control connection failed in {0}")]
    Io(&'static str, #[source] io::Error),
    /// The orchestrator closed the connection.
    #[error("orchestrator closed the control connection, {0} bytes into a frame")]
    Closed(usize),
    /// Nothing was heard for too long.
    #[error("orchestrator said nothing for {0:?}")]
    Silent(Duration),
    /// What came is not the next frame.
    #[error("control frame is wrong")]
    Frame(#[from] FrameError),
    /// What came, or what should go, is no message.
    #[error("control message is wrong")]
    Message(#[from] MessageError),
    /// The first message is not a welcome, or a later one is.
    #[error("orchestrator sent {0} at the wrong time")]
    Unexpected(&'static str),
    /// The application does not take its messages.
    #[error("orchestrator sent more than {MAX_WAITING} messages that nobody took")]
    Flooded,
    /// The channel ended before.
    #[error("control channel is closed")]
    Ended,
}

impl ControlError {
    /// The code with which a guest ends for it.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Connect { .. } | Self::NoStore(_) | Self::NoRegion(_) => ExitCode::Unreachable,
            Self::Io(..) | Self::Closed(_) | Self::Silent(_) | Self::Ended | Self::Reborn => {
                ExitCode::ControlLost
            }
            Self::Frame(_) | Self::Message(_) | Self::Unexpected(_) | Self::Flooded => ExitCode::Protocol,
        }
    }
}

/// An open control channel.
#[derive(Debug)]
pub struct ControlChannel {
    welcome: Welcome,
    sender: ControlSender,
    inbox: Receiver<ToGuest>,
}

impl ControlChannel {
    /// Connects, says hello and waits for the welcome.
    ///
    /// # Errors
    /// The orchestrator cannot be reached, or says something else, or nothing.
    pub fn connect(control: Control, hello: Hello, settings: Settings) -> Result<Self, ControlError> {
        connect::open(control, hello, settings)
    }

    /// What the orchestrator said first.
    #[must_use]
    pub const fn welcome(&self) -> Welcome {
        self.welcome
    }

    /// A handle for sending, for any thread.
    #[must_use]
    pub fn sender(&self) -> ControlSender {
        self.sender.clone()
    }

    /// Sends a message.
    ///
    /// # Errors
    /// See [`ControlSender::send`].
    pub fn send(&self, message: impl Into<FromGuest>) -> Result<(), ControlError> {
        self.sender.send(message)
    }

    /// Waits for the next message. Never a welcome, ping or shutdown: these are dealt with before.
    ///
    /// # Errors
    /// [`ControlError::Ended`] once the channel's life is over.
    pub fn recv(&self) -> Result<ToGuest, ControlError> {
        self.inbox.recv().map_err(|std::sync::mpsc::RecvError| ControlError::Ended)
    }

    /// Waits for the next message, for so long; `None` if there was none.
    ///
    /// # Errors
    /// [`ControlError::Ended`] once the channel's life is over.
    pub fn recv_timeout(&self, patience: Duration) -> Result<Option<ToGuest>, ControlError> {
        match self.inbox.recv_timeout(patience) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ControlError::Ended),
        }
    }

    /// The next message, if one is waiting.
    ///
    /// # Errors
    /// [`ControlError::Ended`] once the channel's life is over.
    pub fn try_recv(&self) -> Result<Option<ToGuest>, ControlError> {
        match self.inbox.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ControlError::Ended),
        }
    }

    /// The two halves, for an application that takes messages in a thread of its own.
    #[must_use]
    pub fn split(self) -> (ControlSender, Receiver<ToGuest>) {
        (self.sender, self.inbox)
    }
}
