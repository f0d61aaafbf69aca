//! The bell of a broker that shares memory with its functions: who rings it has the poll look around.

use super::beside::{Poster, spawn};
use fades_guest::region::Own;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rings that are heard between two looks. The last of them masks the bell, which is two accesses to the device, and functions that
/// keep to the protocol mostly ring once.
const FREE: u32 = 2;

/// Whether the bell has rung. It is masked while nobody has looked, as functions may ring without end.
pub(crate) struct Bell {
    own: &'static Own,
    rung: Arc<AtomicBool>,
}

impl Bell {
    /// Listens, if this guest has a bell.
    pub(crate) fn new(poster: &Poster) -> io::Result<Option<Self>> {
        let Some(own) = fades_guest::region::own() else { return Ok(None) };
        let (bell, poster) = (own.bell(), poster.clone());
        let rung = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&rung);
        spawn("bell", move || {
            loop {
                bell.pause(None);
                // Said once, until it is looked at.
                if !told.swap(true, Ordering::SeqCst) && !poster.wake() {
                    return;
                }
            }
        })?;
        own.look(FREE);
        Ok(Some(Self { own, rung }))
    }

    /// Whether it has rung since this was last asked; then whoever may have rung is to be looked at.
    pub(crate) fn rung(&self) -> bool {
        let rung = self.rung.swap(false, Ordering::SeqCst);
        if rung {
            // Before the look: who rings from here on is heard again.
            self.own.look(FREE);
        }
        rung
    }
}
