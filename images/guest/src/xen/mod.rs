//! The Xen domain that a guest runs in, if it does: what the kernel shares of it (kernel patch 0025), in the forms that
//! `fades-xen-pv` takes. All that is unsafe about it is here; the drivers are safe from here on.
//!
//! An event interrupts the kernel, which counts it, masks its port unless that is the store's, and wakes who waits for the
//! count ([`Upcalls`]); what it is about, each driver sees in its own ring, and unmasks the port when it has seen to it. So
//! between two events of a peer that sends them without end all others have their turn.
//!
//! A guest of a node uses it through [`here`]: [`Mail`](mail) to its orchestrator and a [`Link`](link) to another guest.

mod here;
pub mod link;
pub mod mail;

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use here::{Here, Watched, here};

use fades_xen_pv::detect;
use fades_xen_pv::grant::{ENTRIES_PER_FRAME, Grants};
use fades_xen_pv::hypercall::{HypercallError, Hypercalls, MapSpace, Port, Ports};
use fades_xen_pv::page::{self, Pages, PlaceError};
use fades_xen_pv::shared::{Frame, OwnPage, PAGE_SIZE, Page};
use fades_xen_pv::xenstore::{Wait, Xenstore};

use crate::wait::Waiter;

/// What the kernel tells; its form is `XenShare` in the kernel's patch.
#[repr(C)]
struct Share {
    length: u32,
    store_port: u32,
    store: *mut Page,
    store_frame: u64,
    upcalls: *const u32,
    first_grant_frame: u32,
}
const _: () = assert!(size_of::<Share>() == 40);

unsafe extern "C" {
    fn sys_xen_share(share: *mut Share) -> i32;
    safe fn sys_xen_take_page() -> *mut Page;
    fn sys_xen_give_page(page: *mut Page);
}

/// Everything is handed out once.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A guest's own domain.
pub struct Domain {
    calls: Hypercalls,
    store: Option<(OwnPage, Port)>,
    upcalls: &'static AtomicU32,
    first_grant_frame: u32,
}

impl Domain {
    /// The domain, once: `None` elsewhere than on Xen, and at the second call.
    #[must_use]
    pub fn take() -> Option<Self> {
        let found = detect::here()?;
        let length = u32::try_from(size_of::<Share>()).unwrap_or(0);
        let (store, upcalls) = (ptr::null_mut(), ptr::null());
        let mut share = Share { length, store_port: 0, store, store_frame: 0, upcalls, first_grant_frame: 0 };
        // SAFETY: it is the structure that the kernel fills, with its length.
        if unsafe { sys_xen_share(&raw mut share) } != 0 || TAKEN.swap(true, Ordering::SeqCst) {
            return None;
        }
        // SAFETY: the kernel's counter is an atomic and lives as long as the kernel.
        let upcalls = unsafe { AtomicU32::from_ptr(share.upcalls.cast_mut()) };
        let at = NonNull::new(share.store)?;
        // SAFETY: the kernel keeps the page mapped, does not look at it any more, and it is taken once.
        let page = unsafe { OwnPage::new(at, Frame(share.store_frame)) };
        // SAFETY: a Hermit application runs in ring 0, and the instruction is this processor's.
        let calls = unsafe { Hypercalls::new(found.instruction) };
        let store = Some((page, Port(share.store_port)));
        Some(Self { calls, store, upcalls, first_grant_frame: share.first_grant_frame })
    }

    /// Xen.
    #[must_use]
    pub const fn calls(&self) -> Hypercalls {
        self.calls
    }

    /// A new way to wait for events.
    #[must_use]
    pub fn upcalls(&self) -> Upcalls {
        Upcalls { calls: self.calls, waiter: Waiter::new(self.upcalls), begun: Instant::now() }
    }

    /// The connection to XenStore: this domain's only one, so the domain's other parts go with it.
    ///
    /// # Errors
    /// What Xen says, when it does not deliver the store's events.
    pub fn store(&mut self) -> Result<Option<Xenstore<Hypercalls, Upcalls>>, HypercallError> {
        let Some((page, port)) = self.store.take() else { return Ok(None) };
        self.calls.unmask(port)?;
        Ok(Some(Xenstore::new(page.share(), port, self.calls, self.upcalls())))
    }

    /// Grants of the application's own, `frames` times 512. The table never shrinks: to be called once.
    ///
    /// # Errors
    /// What Xen says, or that there is no memory.
    pub fn grants(&self, frames: u32) -> Result<Grants, PlaceError> {
        let first = self.first_grant_frame;
        let install = |index: u32| {
            let page = OwnPages.take().ok_or(PlaceError::Install(HypercallError::NoMemory))?;
            page::install(&self.calls, page, MapSpace::GrantTable, index.into())
                .map(OwnPage::share)
                .map_err(|(error, _)| error)
        };
        let table = (first..first + frames).map(install).collect::<Result<Vec<_>, _>>()?;
        Ok(Grants::new(table, first, first * ENTRIES_PER_FRAME..(first + frames) * ENTRIES_PER_FRAME))
    }
}

/// Waiting for events, by the kernel's count of upcalls. Each has seen its own part of them.
#[derive(Debug)]
pub struct Upcalls {
    calls: Hypercalls,
    waiter: Waiter,
    begun: Instant,
}

impl Upcalls {
    /// Waits for an event, of whatever port of the application's that is not masked, for so long at most if that is said.
    /// One that came since the last wait counts.
    pub fn pause(&self, longest: Option<Duration>) {
        self.waiter.wait(longest);
    }
}

impl Wait for Upcalls {
    /// Microseconds since it was made.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn wait(&self, port: Port, until: u64) {
        // A port that is gone has no events, which the deadline tells.
        let _ = self.calls.unmask(port);
        self.pause(Some(Duration::from_micros(until.saturating_sub(self.now()))));
    }
}

/// Pages that the kernel maps one to one.
#[derive(Clone, Copy, Debug)]
pub struct OwnPages;

// SAFETY: the kernel gives each page once, zeroed and mapped one to one, until it is given back.
unsafe impl Pages for OwnPages {
    fn take(&self) -> Option<OwnPage> {
        let at = NonNull::new(sys_xen_take_page())?;
        let frame = Frame((at.as_ptr().addr() / PAGE_SIZE) as u64);
        // SAFETY: as above.
        Some(unsafe { OwnPage::new(at, frame) })
    }

    fn give(&self, page: OwnPage) {
        // SAFETY: it came from `take`, and nobody else has it.
        unsafe { sys_xen_give_page(page.address().as_ptr()) };
    }

    /// The kernel has mapped what there is to be mapped.
    fn map(&self, _frame: Frame) -> Option<OwnPage> {
        None
    }
}
