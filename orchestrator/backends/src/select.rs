//! Which backend runs guests on this machine, why, and what that costs.

use fades_core::backend::{BackendError, BackendKind, Lack};

use crate::XenBackend;
use crate::qemu::Accelerator;
use crate::qemu::probe::{self, Probe};

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// The fastest that works.
    #[default]
    Auto,
    /// This one or nothing.
    Only(BackendKind),
}

/// The backend chosen, in words for `status` and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What will run guests.
    pub kind: BackendKind,
    /// Why this one.
    pub reason: String,
    /// What it costs, measured on this machine just now.
    pub cost: String,
}

/// Tries the backends that `wanted` allows, fastest first: QEMU's accelerators by running a few instructions in each, Xen,
/// where this is its dom0, by asking its toolstack.
///
/// # Errors
/// [`BackendError::Unusable`] with what was found when none of them can run a guest.
pub fn select(program: &str, wanted: Wanted) -> Result<Selection, BackendError> {
    let candidates = match wanted {
        // A dom0 has no KVM, as the processor's virtualisation is Xen's. Elsewhere nobody asks about Xen.
        Wanted::Auto if XenBackend::is_dom0() => vec![BackendKind::Xen, BackendKind::QemuTcg],
        Wanted::Auto => vec![BackendKind::QemuKvm, BackendKind::QemuTcg],
        Wanted::Only(kind) => vec![kind],
    };
    let (mut found, mut lacks) = (Vec::new(), Lack::Other);
    for &kind in &candidates {
        match cost(program, kind) {
            Ok(cost) => return Ok(Selection { kind, reason: reason(kind, &found, wanted), cost }),
            Err((lack, words)) => {
                // The first that can be told is of the fastest.
                if lacks == Lack::Other {
                    lacks = lack;
                }
                found.push(format!("{kind}: {words}"));
            }
        }
    }
    let kind = candidates.last().copied().unwrap_or(BackendKind::QemuTcg);
    Err(BackendError::Unusable { kind, lack: lacks, reason: found.join("; ") })
}

/// What a backend costs, or why it cannot be used.
fn cost(program: &str, kind: BackendKind) -> Result<String, (Lack, String)> {
    let accelerator = match kind {
        BackendKind::QemuKvm => Accelerator::Kvm,
        BackendKind::QemuTcg => Accelerator::Tcg,
        BackendKind::Xen => {
            return XenBackend::look().map_err(|error| match error {
                BackendError::Unusable { lack, reason, .. } => (lack, reason),
                other => (Lack::Other, other.to_string()),
            });
        }
    };
    match probe::run(program, accelerator) {
        Probe::Unusable(words) => Err((Lack::Other, words)),
        Probe::Usable(took) => Ok(format!(
            "a probe guest of 20 million loop rounds took {} ms, start of QEMU included; the same loop natively {} ms",
            took.as_millis(),
            probe::native_loop().as_millis()
        )),
    }
}

fn reason(kind: BackendKind, passed_over: &[String], wanted: Wanted) -> String {
    let why = match (wanted, kind) {
        (Wanted::Only(_), _) => "set by configuration",
        (Wanted::Auto, BackendKind::Xen) => "this is the dom0 of a Xen host",
        (Wanted::Auto, _) => "the fastest that ran the probe guest",
    };
    match passed_over {
        [] => why.to_owned(),
        found => format!("{why} ({})", found.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::PROGRAM;

    #[test]
    fn what_is_chosen_ran_and_what_was_passed_over_is_told() {
        let chosen = select(PROGRAM, Wanted::Auto).unwrap();
        if chosen.kind == BackendKind::Xen {
            eprintln!("skipped: this is a dom0, where QEMU is not asked");
            return;
        }
        let kvm = matches!(probe::run(PROGRAM, Accelerator::Kvm), Probe::Usable(_));
        assert_eq!(chosen.kind == BackendKind::QemuKvm, kvm, "{chosen:?}");
        // Where KVM does not run guests, whatever /dev/kvm says, the reason names it.
        assert_eq!(chosen.reason.contains("qemu-kvm:"), !kvm, "{chosen:?}");
    }

    #[test]
    fn xen_is_not_asked_about_elsewhere_and_says_what_is_missing() {
        if XenBackend::is_dom0() {
            eprintln!("skipped: this is a dom0");
            return;
        }
        assert!(!select(PROGRAM, Wanted::Auto).unwrap().reason.contains("xen"));
        let error = select(PROGRAM, Wanted::Only(BackendKind::Xen)).unwrap_err();
        assert!(matches!(error, BackendError::Unusable { lack: Lack::Dom0, .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains("/dev/xen/xenbus") || error.contains("/proc/xen"), "{error}");
    }

    #[test]
    fn nothing_usable_is_an_error_with_every_reason() {
        if XenBackend::is_dom0() {
            eprintln!("skipped: this is a dom0, where Xen needs no QEMU");
            return;
        }
        let error = select("qemu-that-is-not-there", Wanted::Auto).unwrap_err().to_string();
        assert!(error.contains("qemu-kvm: ") && error.contains("qemu-tcg: "), "{error}");
    }
}
