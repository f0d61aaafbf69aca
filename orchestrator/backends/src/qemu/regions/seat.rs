//! One region as this process has it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use fades_ring::{ReadBytes, WriteBytes};
use fades_wire::region::{Birth, Channel, Memory, REGION_LEN};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::io::Errno;
use vm_memory::{Bytes as _, FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

/// What is mapped here: all but the data that flows between broker and function.
const MAPPED: usize = Channel::Asks.bytes().end;

/// A region, its bells, and its control part.
pub(super) struct Seat {
    file: File,
    mapped: Mapped,
    /// Wakes the guest.
    guest_bell: OwnedFd,
    /// Wakes this process.
    own_bell: OwnedFd,
    /// Rung by a function to wake the broker.
    broker_bell: OwnedFd,
}

impl Seat {
    /// A region of zeros.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, REGION_LEN as u64)?;
        // A monitor that made it shorter would have this process look at nothing.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let file = File::from(file);
        let mapped = MmapRegion::from_file(FileOffset::new(file.try_clone()?, 0), MAPPED);
        let mapped = Mapped(mapped.map_err(io::Error::other)?);
        let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self { file, mapped, guest_bell: bell()?, own_bell: bell()?, broker_bell: bell()? })
    }

    pub(super) const fn memory(&self) -> &Mapped {
        &self.mapped
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(super) fn guest_bell(&self) -> BorrowedFd<'_> {
        self.guest_bell.as_fd()
    }

    pub(super) fn own_bell(&self) -> BorrowedFd<'_> {
        self.own_bell.as_fd()
    }

    pub(super) fn broker_bell(&self) -> BorrowedFd<'_> {
        self.broker_bell.as_fd()
    }

    /// Wakes the guest.
    pub(super) fn ring(&self) {
        ring(&self.guest_bell);
    }

    /// Wakes who serves this seat here.
    pub(super) fn ring_own(&self) {
        ring(&self.own_bell);
    }

    /// Takes back what rang here.
    pub(super) fn quiet(&self) {
        drain(self.own_bell());
    }

    /// Fills it with zeros, and its bells have not rung.
    pub(super) fn wipe(&self) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, 0, REGION_LEN as u64)?;
        for bell in [self.guest_bell(), self.own_bell(), self.broker_bell()] {
            drain(bell);
        }
        Ok(())
    }

    /// Begins a turn.
    pub(super) fn begin(&self, birth: &Birth) {
        let bytes = birth.to_bytes();
        let _ = self.mapped.bytes(0..bytes.len()).write(0, &bytes);
    }

    /// Ends the turn: from here on no broker opens it that has not shown before that it holds it.
    pub(super) fn end(&self) {
        self.mapped.own(Birth::TURN_AT).store(0, Ordering::SeqCst);
    }
}

/// One more ring of a bell that has rung too often to count changes nothing.
fn ring(bell: &OwnedFd) {
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

pub(super) fn drain(bell: BorrowedFd<'_>) {
    while rustix::io::read(bell, &mut [0; 8]) == Err(Errno::INTR) {}
}

/// The part of a region that this process looks into. The guest writes there as it likes.
pub(super) struct Mapped(MmapRegion);

/// Bytes of a region, copied in and out.
pub(super) struct Bytes<'a>(VolatileSlice<'a>);

impl ReadBytes for Bytes<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        self.0.read_slice(bytes, at).is_ok()
    }
}

impl WriteBytes for Bytes<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn write(&self, at: usize, bytes: &[u8]) -> bool {
        self.0.write_slice(bytes, at).is_ok()
    }
}

impl Memory for Mapped {
    type Own<'a> = &'a AtomicU32;
    type Theirs<'a> = &'a AtomicU32;
    type Bytes<'a> = Bytes<'a>;

    fn own(&self, at: usize) -> &AtomicU32 {
        self.0.get_atomic_ref(at).expect("words of a region's ends are aligned and mapped")
    }

    fn theirs(&self, at: usize) -> &AtomicU32 {
        self.own(at)
    }

    fn bytes(&self, range: Range<usize>) -> Bytes<'_> {
        Bytes(self.0.get_slice(range.start, range.len()).expect("channels of control are mapped"))
    }
}
