//! One connection that never blocks, and what is known of its readiness: a socket, or memory shared with another guest.

#[cfg(target_os = "hermit")]
use fades_guest::region::link::Link as Region;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};

/// What became of a read or write.
pub(crate) enum Flow {
    /// So many bytes.
    Moved(usize),
    /// Nothing for now.
    Later,
    /// The connection is over: in the orderly way, or for a reason.
    Ended(Option<String>),
}

/// A connection to another domain.
#[cfg(target_os = "hermit")]
pub(crate) type Domain = fades_guest::xen::link::Link;
/// There is none elsewhere.
#[cfg(not(target_os = "hermit"))]
pub(crate) type Domain = std::convert::Infallible;

enum Stream {
    Tcp(TcpStream),
    #[cfg(target_os = "hermit")]
    Domain(Domain),
    #[cfg(target_os = "hermit")]
    Region(Region),
}

/// Readiness is told once: each direction is good for use until it blocks.
pub(crate) struct Link {
    stream: Stream,
    readable: bool,
    writable: bool,
    over: bool,
}

impl Link {
    /// A connection that does not block.
    pub(crate) fn new(stream: std::net::TcpStream, token: Token, registry: &Registry) -> io::Result<Self> {
        // Frames are large or urgent; that it cannot be set would be no reason to fail.
        let _ = stream.set_nodelay(true);
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let stream = Stream::Tcp(stream);
        Ok(Self { stream, readable: true, writable: true, over: false })
    }

    /// A connection to another domain.
    #[cfg(target_os = "hermit")]
    pub(crate) fn domain(link: Domain) -> Self {
        Self { stream: Stream::Domain(link), readable: true, writable: true, over: false }
    }

    /// A connection through a function's region.
    #[cfg(target_os = "hermit")]
    pub(crate) fn region(link: Region) -> Self {
        Self { stream: Stream::Region(link), readable: true, writable: true, over: false }
    }

    /// Some neighbour has news: a look tells whether it is this one.
    #[cfg(target_os = "hermit")]
    pub(crate) fn note_news(&mut self) {
        if !matches!(self.stream, Stream::Tcp(_)) {
            (self.readable, self.writable) = (true, true);
        }
    }

    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    pub(crate) fn may_read(&self) -> bool {
        self.readable && !self.over
    }

    pub(crate) fn may_write(&self) -> bool {
        self.writable && !self.over
    }

    pub(crate) fn read(&mut self, space: &mut [u8]) -> Flow {
        let result = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(space),
            #[cfg(target_os = "hermit")]
            Stream::Domain(link) => link.read(space),
            #[cfg(target_os = "hermit")]
            Stream::Region(link) => link.read(space),
        };
        self.flow(result, |link| link.readable = false)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Flow {
        let result = match &mut self.stream {
            Stream::Tcp(stream) => stream.write(bytes),
            #[cfg(target_os = "hermit")]
            Stream::Domain(link) => link.write(bytes),
            #[cfg(target_os = "hermit")]
            Stream::Region(link) => link.write(bytes),
        };
        self.flow(result, |link| link.writable = false)
    }

    fn flow(&mut self, result: io::Result<usize>, blocked: impl FnOnce(&mut Self)) -> Flow {
        match result {
            Ok(0) => {
                self.over = true;
                Flow::Ended(None)
            }
            Ok(count) => Flow::Moved(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => Flow::Moved(0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked(self);
                Flow::Later
            }
            Err(error) => {
                self.over = true;
                Flow::Ended(Some(error.to_string()))
            }
        }
    }

    /// Closes the connection. The kernel sees to what is still on its way. A connection to a domain is given back, as closing
    /// it takes its time.
    pub(crate) fn close(self, registry: &Registry) -> Option<Domain> {
        match self.stream {
            Stream::Tcp(mut stream) => {
                // Hermit's polls go by file descriptor alone: it must be taken out before its number is used again.
                drop(registry.deregister(&mut stream));
                None
            }
            #[cfg(target_os = "hermit")]
            Stream::Domain(link) => Some(link),
            #[cfg(target_os = "hermit")]
            Stream::Region(link) => {
                drop(link);
                None
            }
        }
    }
}
