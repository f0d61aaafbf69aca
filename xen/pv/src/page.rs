//! Where pages come from, and how Xen's own pages get to a place that is mapped already.
//!
//! Nothing here writes page tables. A page of Xen's (the shared information, a frame of the grant table) or of
//! another domain (a grant) is put *below* a page of ours, in the guest's physical address space: [`install`] and
//! [`Foreign`] take the memory away from under an [`OwnPage`] first (`XENMEM_decrease_reservation`) and have Xen
//! put the other page there. A PVH domain may do both. Without the first step an `add_to_physmap` frees the old
//! page by itself, but a grant mapping would leave it charged to the domain with no way to reach it; so it
//! is done always. The kernel's mapping stays what it was, and Xen flushes what caches translations. When it is
//! over, `XENMEM_populate_physmap` puts fresh memory there; if the domain gets none, the page is lost, and the
//! error says so.

use core::fmt;

use crate::grant::GrantRef;
use crate::hypercall::{Access, Call, Domain, GrantStatus, Handle, HypercallError, Hypercalls, MapSpace};
use crate::shared::{Frame, Overlay, OwnPage, Shared};

/// Who gives pages.
///
/// # Safety
/// What `take` and `map` return keeps the promise of [`OwnPage::new`] until it is given back; no two of them are
/// the same page.
pub unsafe trait Pages {
    /// A page of zeros that nobody else uses. `None` if there is none left.
    fn take(&self) -> Option<OwnPage>;

    /// Takes back what `take` gave.
    fn give(&self, page: OwnPage);

    /// Maps a frame that Xen's domain builder named (rings of XenStore and of the console), which lies outside the
    /// guest's ordinary memory. `None` if it cannot be mapped or was mapped before.
    fn map(&self, frame: Frame) -> Option<OwnPage>;
}

/// Why a page of another's could not be put in place, or one's own not be put back.
#[derive(Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// Xen did not take our page out.
    TakeOut(HypercallError),
    /// Xen did not put its own page there.
    Install(HypercallError),
    /// The grant could not be mapped.
    Grant(GrantStatus),
    /// The grant could not be unmapped; the page stays what it was.
    Unmap(GrantStatus),
    /// No memory came back under our page: it is lost until the domain ends.
    Lost(HypercallError),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TakeOut(_) => "our page was not taken out of the guest's memory",
            Self::Install(_) => "xen's page was not put into the guest's memory",
            Self::Grant(_) => "another domain's page could not be mapped",
            Self::Unmap(_) => "another domain's page could not be unmapped",
            Self::Lost(_) => "no memory came back for a page that was taken out",
        })
    }
}

impl core::error::Error for PlaceError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::TakeOut(cause) | Self::Install(cause) | Self::Lost(cause) => Some(cause),
            Self::Grant(cause) | Self::Unmap(cause) => Some(cause),
        }
    }
}

/// A failure, and the page unless it was lost.
pub type Failed = (PlaceError, Option<OwnPage>);

/// Has Xen put page `index` of `space` where `page` is. There is no way back before the domain ends: the page
/// stays Xen's.
///
/// # Errors
/// With the page as it was before (but zeroed), or without it if it was lost.
pub fn install<C: Call>(
    xen: &Hypercalls<C>,
    page: OwnPage,
    space: MapSpace,
    index: u64,
) -> Result<OwnPage, Failed> {
    let frame = page.frame();
    let page = take_out(xen, page)?;
    // SAFETY: the frame is ours alone (`OwnPage`) and has no memory behind it now.
    match unsafe { xen.add_to_physmap(space, index, frame) } {
        Ok(()) => Ok(page),
        Err(cause) => Err(put_back(xen, page, PlaceError::Install(cause))),
    }
}

fn take_out<C: Call>(xen: &Hypercalls<C>, page: OwnPage) -> Result<OwnPage, Failed> {
    // SAFETY: the page is ours alone, and nobody looks at it before something else is there.
    match unsafe { xen.decrease_reservation(page.frame()) } {
        Ok(()) => Ok(page),
        Err(cause) => Err((PlaceError::TakeOut(cause), Some(page))),
    }
}

/// Fresh memory under `page` again. What is told is `error`, or that the page is lost.
fn put_back<C: Call>(xen: &Hypercalls<C>, page: OwnPage, error: PlaceError) -> Failed {
    // SAFETY: the page is ours alone and has nothing behind it.
    match unsafe { xen.populate_physmap(page.frame()) } {
        Ok(()) => (error, Some(page)),
        Err(cause) => (PlaceError::Lost(cause), None),
    }
}

/// A page of another domain, mapped where a page of ours was.
///
/// Leaked rather than unmapped when dropped: unmapping needs Xen, see [`Foreign::unmap`].
#[derive(Debug)]
pub struct Foreign<T: Overlay> {
    page: Shared<T>,
    handle: Handle,
}

impl<T: Overlay> Foreign<T> {
    /// Maps the page that `domain` granted as `reference` in the place of `page`. A `T` that is looked at through
    /// [`Access::ReadOnly`] is made of [`PeerU32`](crate::shared::PeerU32) and
    /// [`PeerU64`](crate::shared::PeerU64): [`Foreign::map_read_only`] is the safe form.
    ///
    /// # Safety
    /// With [`Access::ReadOnly`], nothing in `T` can be written.
    ///
    /// # Errors
    /// With the page as it was before (but zeroed), or without it if it was lost.
    pub unsafe fn map<C: Call>(
        xen: &Hypercalls<C>,
        page: OwnPage,
        domain: Domain,
        reference: GrantRef,
        access: Access,
    ) -> Result<Self, Failed> {
        let page = take_out(xen, page)?;
        // SAFETY: the frame is ours alone (`OwnPage`) and has no memory behind it now.
        match unsafe { xen.map_grant(domain, reference, page.frame(), access) } {
            Ok(handle) => Ok(Self { page: page.share(), handle }),
            Err(status) => Err(put_back(xen, page, PlaceError::Grant(status))),
        }
    }

    /// The other side's page itself, for tests in which both sides are in one program.
    #[cfg(test)]
    pub(crate) fn alias(page: OwnPage) -> Self {
        Self { page: page.share(), handle: Handle::for_tests() }
    }

    /// The page's number in our own address space.
    pub const fn frame(&self) -> Frame {
        self.page.frame()
    }

    /// Unmaps it and puts memory of our own there again.
    ///
    /// # Errors
    /// If Xen does not unmap it, the mapping is given back with the error; if no memory comes back, nothing is.
    pub fn unmap<C: Call>(self, xen: &Hypercalls<C>) -> Result<OwnPage, (PlaceError, Option<Self>)> {
        // SAFETY: handle and frame belong together since `map`; nobody can look at the page: `self` is here.
        if let Err(status) = unsafe { xen.unmap_grant(self.handle, self.page.frame()) } {
            return Err((PlaceError::Unmap(status), Some(self)));
        }
        let page = self.page.into_page();
        // SAFETY: the page is ours alone and has nothing behind it.
        match unsafe { xen.populate_physmap(page.frame()) } {
            Ok(()) => Ok(page),
            Err(cause) => Err((PlaceError::Lost(cause), None)),
        }
    }
}

impl<T: PeerOnly> Foreign<T> {
    /// Maps the page that `domain` granted as `reference`, for reading only, in the place of `page`.
    ///
    /// # Errors
    /// As for [`Foreign::map`].
    pub fn map_read_only<C: Call>(
        xen: &Hypercalls<C>,
        page: OwnPage,
        domain: Domain,
        reference: GrantRef,
    ) -> Result<Self, Failed> {
        // SAFETY: a `PeerOnly` has nothing that can be written.
        unsafe { Self::map(xen, page, domain, reference, Access::ReadOnly) }
    }
}

impl<T: Overlay> core::ops::Deref for Foreign<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.page
    }
}

/// An overlay that can only be read.
///
/// # Safety
/// Made of [`PeerU32`](crate::shared::PeerU32) and [`PeerU64`](crate::shared::PeerU64) only.
pub unsafe trait PeerOnly: Overlay {}

// SAFETY: just that.
unsafe impl<const N: usize> PeerOnly for [crate::shared::PeerU64; N] {}
