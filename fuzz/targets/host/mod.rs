//! Pages on the heap, and event channels and hypercalls that do nothing.
#![allow(dead_code, reason = "each target uses a part of it")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::ptr::NonNull;

use fades_xen_pv::hypercall::{Call, Domain, HypercallError, Port, Ports};
use fades_xen_pv::page::Pages;
use fades_xen_pv::shared::{Frame, Overlay, OwnPage, Page, Shared, Words};

/// The frame of the first page.
const FIRST: u64 = 0x1000;

#[derive(Default)]
pub struct Memory {
    pages: RefCell<Vec<NonNull<Page>>>,
}

impl Memory {
    pub fn page(&self) -> OwnPage {
        // SAFETY: the layout of a page is not empty.
        let at = NonNull::new(unsafe { alloc_zeroed(Layout::new::<Page>()) }.cast::<Page>()).unwrap();
        let frame = Frame(FIRST + self.pages.borrow().len() as u64);
        self.pages.borrow_mut().push(at);
        // SAFETY: fresh and zeroed; targets keep their `Memory` longest.
        unsafe { OwnPage::new(at, frame) }
    }

    pub fn taken(&self) -> u64 {
        self.pages.borrow().len() as u64
    }

    /// Page number `index`, as the other side sees it.
    pub fn again<T: Overlay>(&self, index: u64) -> Shared<T> {
        let at = self.pages.borrow()[index as usize];
        // SAFETY: as in `page`; both sides use atomics only.
        unsafe { OwnPage::new(at, Frame(FIRST + index)) }.share()
    }

    pub fn words(&self, index: u64) -> Shared<Words> {
        self.again(index)
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
        Some(self.page())
    }

    fn give(&self, _: OwnPage) {}

    fn map(&self, _: Frame) -> Option<OwnPage> {
        None
    }
}

/// Event channels that nobody listens to.
#[derive(Clone, Copy)]
pub struct Silence;

impl Ports for Silence {
    fn alloc_unbound(&self, _: Domain) -> Result<Port, HypercallError> {
        Ok(Port(3))
    }

    fn bind_interdomain(&self, _: Domain, _: Port) -> Result<Port, HypercallError> {
        Ok(Port(4))
    }

    fn send(&self, _: Port) -> Result<(), HypercallError> {
        Ok(())
    }

    fn close(&self, _: Port) -> Result<(), HypercallError> {
        Ok(())
    }

    fn unmask(&self, _: Port) -> Result<(), HypercallError> {
        Ok(())
    }
}

// SAFETY: it says that all is done and does nothing; what is "mapped" is what was there.
unsafe impl Call for Silence {
    unsafe fn call(&self, number: u64, _: [u64; 3]) -> i64 {
        i64::from(number == 12)
    }
}
