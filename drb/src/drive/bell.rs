//! The bell of a broker that shares memory with its functions: who rings it has the poll look around.

use super::beside::{Poster, spawn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the bell has rung.
pub(crate) struct Bell(Arc<AtomicBool>);

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
        Ok(Some(Self(rung)))
    }

    /// Whether it has rung since this was last asked.
    pub(crate) fn rung(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}
