//! A function's connection to its broker: frames both ways, by TCP, in a Xen domain through memory that both granted each other
//! (module `xen::link`), or through this guest's own region (module `region::data`).

use fades_wire::address::Place;
use fades_wire::frame::{Decoder, Frame, FrameError};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

#[cfg(target_os = "hermit")]
use crate::region::data::Data;
#[cfg(target_os = "hermit")]
use crate::xen::link::{Link, Meeting};
#[cfg(target_os = "hermit")]
use crate::xen::{self, Upcalls};
#[cfg(target_os = "hermit")]
use fades_wire::address::Neighbour;

/// How long one domain waits for the other at a meeting: both hear of it in messages that are on their way.
pub const MEETING: Duration = Duration::from_secs(20);
/// Pages through which a broker sends data: 256 KiB, as much as a TCP buffer has.
pub const BROKERS_PAGES: usize = 64;
/// Pages for what a function says: tickets and credit.
pub const FUNCTIONS_PAGES: usize = 1;

/// Reads and writes block.
pub struct DataLink(Kind);

enum Kind {
    Stream(Stream, Decoder),
    #[cfg(target_os = "hermit")]
    Region(Data),
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(target_os = "hermit")]
    Domain(Link, Upcalls),
}

/// What became of a wait for frames.
#[derive(Debug)]
pub enum Received<E> {
    /// Some were dealt with.
    Some,
    /// The broker has closed.
    Closed,
    /// What came is no frame.
    Wrong(FrameError),
    /// Who deals with them has failed.
    Failed(E),
}

impl DataLink {
    /// Connects to the broker.
    ///
    /// # Errors
    /// It is not there, or its place is none that this guest can reach.
    pub fn connect(place: Place) -> io::Result<Self> {
        let stream = match place {
            Place::Network(endpoint) => {
                let stream = TcpStream::connect(SocketAddrV4::from(endpoint))?;
                // What a function says is small and urgent. A kernel that cannot do this is only slower.
                let _ = stream.set_nodelay(true);
                Stream::Tcp(stream)
            }
            #[cfg(target_os = "hermit")]
            Place::Near(Neighbour::Domain(broker)) => {
                let upcalls = xen::here().ok_or(ErrorKind::Unsupported)?.upcalls();
                let meeting = Meeting::offer(broker, (FUNCTIONS_PAGES, BROKERS_PAGES), MEETING);
                let link = meeting
                    .and_then(Meeting::wait)
                    .map_err(|error| io::Error::other(crate::exit::words(&error)))?;
                Stream::Domain(link, upcalls)
            }
            #[cfg(target_os = "hermit")]
            Place::Near(Neighbour::Region { turn, .. }) => return Ok(Self(Kind::Region(Data::open(turn)?))),
            #[cfg(not(target_os = "hermit"))]
            Place::Near(_) => return Err(ErrorKind::Unsupported.into()),
        };
        Ok(Self(Kind::Stream(stream, Decoder::data())))
    }

    /// Waits for frames and has `deal` deal with what came: all frames that came with one read, or through a region one chunk,
    /// where it lies.
    ///
    /// # Errors
    /// The connection broke.
    pub fn receive<E>(
        &mut self,
        mut deal: impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> io::Result<Received<E>> {
        let (stream, decoder) = match &mut self.0 {
            Kind::Stream(stream, decoder) => (stream, decoder),
            #[cfg(target_os = "hermit")]
            Kind::Region(data) => return data.receive(deal),
        };
        match stream.read(decoder.space()) {
            Ok(0) => return Ok(Received::Closed),
            Ok(count) => decoder.filled(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        loop {
            match decoder.next() {
                Ok(None) => return Ok(Received::Some),
                Ok(Some(frame)) => {
                    if let Err(failure) = deal(&frame) {
                        return Ok(Received::Failed(failure));
                    }
                }
                Err(error) => return Ok(Received::Wrong(error)),
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The connection broke.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Stream(stream, _) => stream.write_all(bytes),
            #[cfg(target_os = "hermit")]
            Kind::Region(data) => data.write_all(bytes),
        }
    }
}

/// Tries until it would not block; what comes between a try and its wait ends the wait.
#[cfg(target_os = "hermit")]
fn block<T>(upcalls: &Upcalls, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => upcalls.pause(None),
            done => return done,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(space),
            #[cfg(target_os = "hermit")]
            Self::Domain(link, upcalls) => block(upcalls, || link.read(space)),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(target_os = "hermit")]
            Self::Domain(link, upcalls) => block(upcalls, || link.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
