//! A function's connection to the broker: by TCP, or in a Xen domain through memory that both share (module `xen::link`).

use fades_wire::address::Place;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};

#[cfg(target_os = "hermit")]
use crate::xen::link::{Link, Meeting};
#[cfg(target_os = "hermit")]
use crate::xen::{self, Upcalls};
use std::time::Duration;

/// How long one domain waits for the other at a meeting: both hear of it in messages that are on their way.
pub const MEETING: Duration = Duration::from_secs(20);
/// Pages through which a broker sends data: 256 KiB, as much as a TCP buffer has.
pub const BROKERS_PAGES: usize = 64;
/// Pages for what a function says: tickets and credit.
pub const FUNCTIONS_PAGES: usize = 1;

/// Bytes both ways; reads and writes block.
pub struct DataLink(Kind);

enum Kind {
    Tcp(TcpStream),
    #[cfg(target_os = "hermit")]
    Domain(Link, Upcalls),
}

impl DataLink {
    /// Connects to the broker.
    ///
    /// # Errors
    /// It is not there, or its place is none that this guest can reach.
    pub fn connect(place: Place) -> io::Result<Self> {
        match place {
            Place::Network(endpoint) => {
                let stream = TcpStream::connect(SocketAddrV4::from(endpoint))?;
                // What a function says is small and urgent. A kernel that cannot do this is only slower.
                let _ = stream.set_nodelay(true);
                Ok(Self(Kind::Tcp(stream)))
            }
            #[cfg(target_os = "hermit")]
            Place::Domain(broker) => {
                let upcalls = xen::here().ok_or(io::ErrorKind::Unsupported)?.upcalls();
                let meeting = Meeting::offer(broker, (FUNCTIONS_PAGES, BROKERS_PAGES), MEETING);
                let link = meeting
                    .and_then(Meeting::wait)
                    .map_err(|error| io::Error::other(crate::exit::words(&error)))?;
                Ok(Self(Kind::Domain(link, upcalls)))
            }
            #[cfg(not(target_os = "hermit"))]
            Place::Domain(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Tries until it would not block; what comes between a try and its wait ends the wait.
#[cfg(target_os = "hermit")]
fn block<T>(upcalls: &Upcalls, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => upcalls.pause(None),
            done => return done,
        }
    }
}

impl Read for DataLink {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Tcp(stream) => stream.read(space),
            #[cfg(target_os = "hermit")]
            Kind::Domain(link, upcalls) => block(upcalls, || link.read(space)),
        }
    }
}

impl Write for DataLink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Tcp(stream) => stream.write(bytes),
            #[cfg(target_os = "hermit")]
            Kind::Domain(link, upcalls) => block(upcalls, || link.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
