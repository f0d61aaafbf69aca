//! Memory that this guest shares with its orchestrator, and a broker with its functions (`fades_wire::region`), and the bell by
//! which all of them wake each other. The kernel finds and maps it (kernel patch 0028). All that is unsafe about it is here.
//!
//! A guest of a node uses it through [`own`]: [`Line`](line) to its orchestrator; a function a [`Data`](data) stream from its
//! broker; a broker a [`Link`](link) to each function.

pub mod data;
pub mod line;
pub mod link;

use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fades_ring::{ReadBytes, WriteBytes};
use fades_wire::region::{Birth, BirthError, Memory, REGION_LEN};

use crate::wait::Waiter;

/// What the kernel tells of a region; its form is `Region` in the kernel's patch.
#[repr(C)]
struct Told {
    length: u32,
    bell: *mut u32,
    rung: *const u32,
    start: *mut u8,
    bytes: u64,
}
const _: () = assert!(size_of::<Told>() == 40);

unsafe extern "C" {
    fn sys_region(number: u32, region: *mut Told) -> i32;
    safe fn sys_region_look(free: u32);
    fn sys_reborn(seed: *const u8, unix_us: u64) -> i32;
}

/// A region, mapped for as long as the guest runs; its latter half twice, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Region(NonNull<u8>);

// SAFETY: it is a place that all threads may look at; what lies there is read and written as memory that others change.
unsafe impl Send for Region {}
// SAFETY: likewise.
unsafe impl Sync for Region {}

/// This guest's own region, and the bell.
#[derive(Debug)]
pub struct Own {
    region: Region,
    bell: AtomicPlace,
    rung: &'static AtomicU32,
    /// The turn that this guest has begun; 0 before the first.
    begun: AtomicU32,
    /// Rings between two looks, once this guest has said how many.
    free: AtomicU32,
}

/// A register that is written only.
#[derive(Debug)]
struct AtomicPlace(NonNull<u32>);

// SAFETY: each write to it is one transaction of its own.
unsafe impl Send for AtomicPlace {}
// SAFETY: likewise.
unsafe impl Sync for AtomicPlace {}

/// This guest's own region; `None` where there is none. The first call has the kernel map it.
pub fn own() -> Option<&'static Own> {
    static OWN: OnceLock<Option<Own>> = OnceLock::new();
    OWN.get_or_init(|| {
        let (region, told) = ask(0)?;
        let bell = AtomicPlace(NonNull::new(told.bell)?);
        // SAFETY: the kernel's counter is an atomic and lives as long as the kernel.
        let rung = unsafe { AtomicU32::from_ptr(NonNull::new(told.rung.cast_mut())?.as_ptr()) };
        Some(Own { region, bell, rung, begun: AtomicU32::new(0), free: AtomicU32::new(0) })
    })
    .as_ref()
}

/// The region of a function, by its number, from 1 on, for its broker.
pub fn of_function(number: u16) -> Option<Region> {
    if number == 0 {
        return None;
    }
    ask(number.into()).map(|(region, _)| region)
}

fn ask(number: u32) -> Option<(Region, Told)> {
    let length = u32::try_from(size_of::<Told>()).unwrap_or(0);
    let (bell, rung, start) = (ptr::null_mut(), ptr::null(), ptr::null_mut());
    let mut told = Told { length, bell, rung, start, bytes: 0 };
    // SAFETY: it is the structure that the kernel fills, with its length.
    let done = unsafe { sys_region(number, &raw mut told) };
    // Another length would have its parts elsewhere.
    if done != 0 || told.bytes != REGION_LEN as u64 {
        return None;
    }
    NonNull::new(told.start).map(|start| (Region(start), told))
}

impl Own {
    /// The memory.
    #[must_use]
    pub const fn region(&self) -> Region {
        self.region
    }

    /// Wakes a peer (`fades_wire::region::peer`).
    pub fn ring(&self, peer: u16) {
        // SAFETY: the register is mapped for ever; it takes any value.
        unsafe { self.bell.0.write_volatile(u32::from(peer) << 16) };
    }

    /// Says that this guest looks around now, wherever a peer may have something for it. Until it says so again, the bell rings
    /// `free` times; it is masked then, and rings beyond that count as one, which comes with the next look (kernel patch 0029).
    /// For guests that have peers they do not trust.
    pub fn look(&self, free: u32) {
        self.free.store(free, Ordering::SeqCst);
        sys_region_look(free);
    }

    /// Has the bell ring again, if it may be masked: for who is about to wait for it, and would not look meanwhile.
    fn listen(&self) {
        let free = self.free.load(Ordering::SeqCst);
        if free > 0 {
            sys_region_look(free);
        }
    }

    /// How often the bell has rung, over and over from 0.
    #[must_use]
    pub fn rings(&self) -> u32 {
        self.rung.load(Ordering::SeqCst)
    }

    /// A new way to wait for the bell.
    #[must_use]
    pub fn bell(&self) -> Bell {
        Bell(Waiter::new(self.rung))
    }

    /// Begins a turn: gives its number. A guest that goes on as another one gets that one's randomness and time; one that has
    /// just started was given its own at boot.
    ///
    /// # Errors
    /// The orchestrator has not begun one.
    pub fn begin(&self) -> Result<u32, BirthError> {
        let mut bytes = [0; Birth::LEN];
        let _ = self.region.bytes(0..Birth::LEN).read(0, &mut bytes);
        let birth = Birth::from_bytes(&bytes)?;
        let before = self.begun.swap(birth.turn, Ordering::SeqCst);
        if before != 0 && before != birth.turn {
            // SAFETY: a seed has 32 bytes. It cannot fail otherwise.
            let _ = unsafe { sys_reborn(birth.seed.as_ptr(), birth.time_unix_us) };
        }
        Ok(birth.turn)
    }

    /// Whose turn it is: another one than before in a guest that was saved and goes on as somebody else.
    #[must_use]
    pub fn turn(&self) -> u32 {
        self.region.own(Birth::TURN_AT).load(Ordering::Acquire)
    }
}

/// Waiting for the bell, by the kernel's count of its rings. Each has seen its own part of them.
#[derive(Debug)]
pub struct Bell(Waiter);

impl Bell {
    /// Waits until the bell is rung, by whomever, for so long at most if that is said. A ring since the last wait counts.
    pub fn pause(&self, longest: Option<Duration>) {
        self.0.wait(longest);
    }
}

/// Bytes of a region, copied in and out.
#[derive(Debug)]
pub struct Bytes {
    start: NonNull<u8>,
    len: usize,
}

impl Bytes {
    fn holds(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.len)
    }
}

impl ReadBytes for Bytes {
    fn size(&self) -> usize {
        self.len
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        let good = self.holds(at, bytes.len());
        if good {
            // SAFETY: both ranges are mapped, and the region is nobody's variable. Others may write there meanwhile; then the
            // copy has some of theirs and some of before, and is looked at only after it was made.
            unsafe { ptr::copy_nonoverlapping(self.start.as_ptr().add(at), bytes.as_mut_ptr(), bytes.len()) };
        }
        good
    }
}

impl WriteBytes for Bytes {
    fn size(&self) -> usize {
        self.len
    }

    fn write(&self, at: usize, bytes: &[u8]) -> bool {
        let good = self.holds(at, bytes.len());
        if good {
            // SAFETY: as above; nothing in this program refers to what lies there but by copies.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len()) };
        }
        good
    }
}

impl Region {
    /// What of the data ring was looked at: `len` bytes from `at` on, which may reach beyond the ring's end, where it is mapped
    /// once more.
    ///
    /// # Safety
    /// Nobody who keeps to the protocol writes there while it is looked at: the producer leaves them alone until they are
    /// skipped. One that does not can change numbers under a computation that takes any number.
    unsafe fn piece(&self, at: usize, len: usize) -> Option<&[u8]> {
        let ring = fades_wire::region::Channel::Data.bytes();
        if !ring.contains(&at) || len > ring.len() {
            return None;
        }
        // SAFETY: it begins in the ring and is no longer than that, so it lies inside what is mapped; the rest is the caller's.
        Some(unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) })
    }
}

impl Memory for Region {
    type Own<'a> = &'a AtomicU32;
    type Theirs<'a> = &'a AtomicU32;
    type Bytes<'a> = Bytes;

    fn own(&self, at: usize) -> &AtomicU32 {
        let at = at.min(REGION_LEN - 4) & !3;
        // SAFETY: inside the region and aligned; words of ends are only ever looked at as atomics.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().add(at).cast()) }
    }

    fn theirs(&self, at: usize) -> &AtomicU32 {
        self.own(at)
    }

    fn bytes(&self, range: Range<usize>) -> Bytes {
        let end = range.end.min(REGION_LEN);
        let start = range.start.min(end);
        // SAFETY: inside the region.
        Bytes { start: unsafe { self.0.add(start) }, len: end - start }
    }
}
