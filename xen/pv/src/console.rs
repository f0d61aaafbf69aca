//! The domain's console: a ring to the console daemon in dom0, and one back.

use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::hypercall::{HypercallError, Port, Ports};
use crate::shared::{Overlay, PeerU32, PeerU64, Shared};
use fades_ring::{BadIndex, Reader, Writer};

/// The console's page. (`io/console.h`, `struct xencons_interface`)
#[repr(C)]
pub struct ConsolePage {
    input: [PeerU64; 1024 / 8],
    output: [AtomicU64; 2048 / 8],
    input_consumed: AtomicU32,
    input_produced: PeerU32,
    output_consumed: PeerU32,
    output_produced: AtomicU32,
}
const _: () = assert!(offset_of!(ConsolePage, output) == 1024);
const _: () = assert!(offset_of!(ConsolePage, input_consumed) == 3072);
const _: () = assert!(offset_of!(ConsolePage, input_produced) == 3076);
const _: () = assert!(offset_of!(ConsolePage, output_consumed) == 3080);
const _: () = assert!(offset_of!(ConsolePage, output_produced) == 3084);

// SAFETY: atomics only.
unsafe impl Overlay for ConsolePage {}

/// Why not everything was written, or nothing could be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// The daemon's index is impossible.
    Index(BadIndex),
    /// The daemon did not make room for this many bytes in the attempts that it was given.
    Stuck(usize),
    /// The daemon could not be told.
    Notify(HypercallError),
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(_) => formatter.write_str("the console's ring is broken"),
            Self::Stuck(left) => write!(formatter, "the console took all but {left} bytes"),
            Self::Notify(_) => formatter.write_str("the console's daemon was not told"),
        }
    }
}

impl core::error::Error for ConsoleError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Index(cause) => Some(cause),
            Self::Stuck(_) => None,
            Self::Notify(cause) => Some(cause),
        }
    }
}

/// The guest's side of the console.
#[derive(Debug)]
pub struct Console<P> {
    page: Shared<ConsolePage>,
    ports: P,
    port: Port,
    writer: Writer,
    reader: Reader,
    /// The daemon let the last write down.
    stuck: bool,
}

impl<P: Ports> Console<P> {
    /// The console in `page` (the frame [`Param::ConsoleFrame`](crate::hypercall::Param::ConsoleFrame) names) with
    /// the port that [`Param::ConsolePort`](crate::hypercall::Param::ConsolePort) names. Goes on where the
    /// rings stand.
    pub fn new(page: Shared<ConsolePage>, port: Port, ports: P) -> Self {
        let writer = Writer::attach(&page.output_produced);
        let reader = Reader::attach(&page.input_consumed);
        Self { page, ports, port, writer, reader, stuck: false }
    }

    /// The port on which the daemon says that it has read or written.
    pub const fn port(&self) -> Port {
        self.port
    }

    /// Writes all of `bytes`. While the ring is full, `pause` is called (it may yield to Xen), `attempts` times in all.
    /// After that the rest is dropped, and the next call drops what does not fit at once, until there is room
    /// again: a daemon that does not read costs one wait, not one for each line.
    ///
    /// # Errors
    /// [`ConsoleError::Stuck`] with how many bytes were dropped, or a ring or hypercall that failed.
    pub fn write(
        &mut self,
        mut bytes: &[u8],
        attempts: u32,
        mut pause: impl FnMut(),
    ) -> Result<(), ConsoleError> {
        let mut left = if self.stuck { 0 } else { attempts };
        while !bytes.is_empty() {
            let page = &*self.page;
            let done = self
                .writer
                .write(&page.output_produced, &page.output_consumed, &page.output, bytes)
                .map_err(ConsoleError::Index)?;
            bytes = &bytes[done..];
            if done > 0 {
                self.stuck = false;
                self.ports.send(self.port).map_err(ConsoleError::Notify)?;
            } else if left == 0 {
                self.stuck = true;
                return Err(ConsoleError::Stuck(bytes.len()));
            } else {
                left -= 1;
                pause();
            }
        }
        Ok(())
    }

    /// Reads what was typed, and tells how much that is; 0 if nothing was.
    ///
    /// # Errors
    /// A ring or a hypercall that failed.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ConsoleError> {
        let page = &*self.page;
        let done = self
            .reader
            .read(&page.input_consumed, &page.input_produced, &page.input, bytes)
            .map_err(ConsoleError::Index)?;
        if done > 0 {
            self.ports.send(self.port).map_err(ConsoleError::Notify)?;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;
    use std::cell::Cell;
    use std::vec::Vec;

    use super::*;
    use crate::shared::{ReadBytes, Word};
    use crate::testing::{Memory, Wires};

    /// The daemon: takes all that is in the output ring.
    fn drain(page: &ConsolePage) -> Vec<u8> {
        let from = page.output_consumed.get();
        let len = page.output_produced.current().wrapping_sub(from);
        let byte = |index: u32| {
            let mut byte = [0];
            assert!(ReadBytes::read(&page.output, (from.wrapping_add(index) % 2048) as usize, &mut byte));
            byte[0]
        };
        let bytes = (0..len).map(byte).collect();
        page.output_consumed.set(from.wrapping_add(len));
        bytes
    }

    fn console<'a>(memory: &Memory, wires: &'a Wires) -> Console<&'a Wires> {
        Console::new(memory.page().share(), Port(2), wires)
    }

    #[test]
    fn all_bytes_arrive_while_the_daemon_reads() {
        let (memory, wires) = (Memory::new(), Wires::default());
        let mut console = console(&memory, &wires);
        let daemon = memory.again(console.page.frame()).share::<ConsolePage>();
        let text: Vec<u8> = (0..=250).cycle().take(9000).collect();
        let mut seen = Vec::new();
        console.write(&text, 4, || seen.extend(drain(&daemon))).unwrap();
        seen.extend(drain(&daemon));
        assert_eq!(seen, text);
        assert_eq!(wires.sent.borrow().len(), 5, "once each time that something was put in");
    }

    #[test]
    fn a_daemon_that_does_not_read_costs_one_wait() {
        let (memory, wires) = (Memory::new(), Wires::default());
        let mut console = console(&memory, &wires);
        let pauses = Cell::new(0);
        let pause = || pauses.set(pauses.get() + 1);
        assert_eq!(console.write(&[b'x'; 2050], 7, pause), Err(ConsoleError::Stuck(2)));
        assert_eq!(pauses.get(), 7);
        assert_eq!(console.write(b"more", 7, pause), Err(ConsoleError::Stuck(4)));
        assert_eq!(pauses.get(), 7);
        let daemon = memory.again(console.page.frame()).share::<ConsolePage>();
        assert_eq!(drain(&daemon).len(), 2048);
        assert_eq!(console.write(b"again", 7, pause), Ok(()));
        assert_eq!(drain(&daemon), b"again");
    }

    #[test]
    fn what_is_typed_is_read_and_acknowledged() {
        let (memory, wires) = (Memory::new(), Wires::default());
        let mut console = console(&memory, &wires);
        let daemon = memory.again(console.page.frame()).share::<ConsolePage>();
        let mut bytes = [0; 8];
        assert_eq!(console.read(&mut bytes), Ok(0));
        assert!(wires.sent.borrow().is_empty());
        daemon.input[0].set(u64::from_le_bytes(*b"ls\n....."));
        daemon.input_produced.set(3);
        assert_eq!(console.read(&mut bytes), Ok(3));
        assert_eq!(&bytes[..3], b"ls\n");
        assert_eq!(daemon.input_consumed.load(Ordering::Relaxed), 3);
        assert_eq!(wires.sent.borrow().len(), 1);
    }

    #[test]
    fn a_hostile_daemon_is_found_out() {
        let (memory, wires) = (Memory::new(), Wires::default());
        let mut console = console(&memory, &wires);
        let daemon = memory.again(console.page.frame()).share::<ConsolePage>();
        daemon.output_consumed.set(1);
        assert!(matches!(console.write(b"x", 1, || {}), Err(ConsoleError::Index(_))));
        daemon.input_produced.set(1025);
        assert!(matches!(console.read(&mut [0; 8]), Err(ConsoleError::Index(_))));
    }
}
