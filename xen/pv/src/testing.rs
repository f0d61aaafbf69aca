//! What the tests play Xen, and other domains, with.

pub(crate) mod store;

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::vec::Vec;

use crate::hypercall::{Domain, HypercallError, Port, Ports};
use crate::page::Pages;
use crate::shared::{Frame, OwnPage, Page};

/// The frame of the first page.
const FIRST: u64 = 0x1000;

/// Pages on the host's heap. A page's frame is [`FIRST`] and its
/// number. They stay until this goes.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pages: RefCell<Vec<NonNull<Page>>>,
    limit: Option<usize>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Has `limit` pages to take.
    pub(crate) fn of(limit: usize) -> Self {
        let mut memory = Self::new();
        memory.limit = Some(limit);
        memory
    }

    pub(crate) fn page(&self) -> OwnPage {
        // SAFETY: the layout of `Page` is not empty.
        let at = unsafe { alloc_zeroed(Layout::new::<Page>()) }.cast::<Page>();
        let at = NonNull::new(at).unwrap();
        let frame = Frame(FIRST + self.taken() as u64);
        self.pages.borrow_mut().push(at);
        // SAFETY: fresh and zeroed; no test looks at it after its `Memory` is gone.
        unsafe { OwnPage::new(at, frame) }
    }

    /// The same page once more, as the other side maps it.
    pub(crate) fn again(&self, frame: Frame) -> OwnPage {
        let at = self.pages.borrow()[usize::try_from(frame.0 - FIRST).unwrap()];
        // SAFETY: as in `page`; both sides use atomics only.
        unsafe { OwnPage::new(at, frame) }
    }

    pub(crate) fn taken(&self) -> usize {
        self.pages.borrow().len()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for page in self.pages.borrow().iter() {
            // SAFETY: allocated with the same layout in `page`.
            unsafe { dealloc(page.as_ptr().cast(), Layout::new::<Page>()) };
        }
    }
}

// SAFETY: `page` makes a new one each time.
unsafe impl Pages for Memory {
    fn take(&self) -> Option<OwnPage> {
        (self.limit.is_none_or(|limit| self.taken() < limit)).then(|| self.page())
    }

    fn give(&self, _: OwnPage) {}

    fn map(&self, frame: Frame) -> Option<OwnPage> {
        Some(self.again(frame))
    }
}

/// Event channels that only remember what was asked of them.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    pub(crate) sent: RefCell<Vec<Port>>,
    pub(crate) closed: RefCell<Vec<Port>>,
    pub(crate) unmasked: RefCell<Vec<Port>>,
    pub(crate) allocated: RefCell<Vec<Domain>>,
}

impl Ports for Rc<Wires> {
    fn alloc_unbound(&self, remote: Domain) -> Result<Port, HypercallError> {
        (**self).alloc_unbound(remote)
    }

    fn bind_interdomain(&self, remote: Domain, port: Port) -> Result<Port, HypercallError> {
        (**self).bind_interdomain(remote, port)
    }

    fn send(&self, port: Port) -> Result<(), HypercallError> {
        (**self).send(port)
    }

    fn close(&self, port: Port) -> Result<(), HypercallError> {
        (**self).close(port)
    }

    fn unmask(&self, port: Port) -> Result<(), HypercallError> {
        (**self).unmask(port)
    }
}

impl Ports for Wires {
    fn alloc_unbound(&self, remote: Domain) -> Result<Port, HypercallError> {
        self.allocated.borrow_mut().push(remote);
        Ok(Port(40))
    }

    fn bind_interdomain(&self, remote: Domain, _: Port) -> Result<Port, HypercallError> {
        self.allocated.borrow_mut().push(remote);
        Ok(Port(41))
    }

    fn send(&self, port: Port) -> Result<(), HypercallError> {
        self.sent.borrow_mut().push(port);
        Ok(())
    }

    fn close(&self, port: Port) -> Result<(), HypercallError> {
        self.closed.borrow_mut().push(port);
        Ok(())
    }

    fn unmask(&self, port: Port) -> Result<(), HypercallError> {
        self.unmasked.borrow_mut().push(port);
        Ok(())
    }
}
