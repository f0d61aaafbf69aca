//! Which backend runs guests on this machine, why, and what that costs.

use std::time::Duration;

use fades_core::backend::{BackendError, BackendKind, Lack};

use crate::XenBackend;
use crate::qemu::holes;
use crate::qemu::probe::{self, Probe};
use crate::qemu::{Accelerator, Defence, Jail};

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// The fastest that works.
    #[default]
    Auto,
    /// This one or nothing.
    Only(BackendKind),
}

/// The QEMU programs of a node.
#[derive(Debug, Clone, Copy)]
pub struct Programs<'a> {
    /// Runs guests of this machine's processor.
    pub native: &'a str,
    /// Translates those of another, if any.
    pub other: Option<&'a str>,
    /// Known holes that these are without, whatever their releases say.
    pub mended: &'a [String],
}

/// The backend chosen, in words for `status` and `doctor`.
#[derive(Debug, Clone)]
pub struct Selection {
    /// What will run guests.
    pub kind: BackendKind,
    /// Why this one.
    pub reason: String,
    /// What it costs, measured on this machine just now.
    pub cost: String,
    /// What its monitors are kept in; `None` where guests have none on the host, as on Xen.
    pub jail: Option<Jail>,
}

/// Tries the backends that `wanted` allows, fastest first: QEMU's accelerators by running a few instructions in each, Xen,
/// where this is its dom0, by asking its toolstack. QEMU runs its few instructions in the jail in which it is to run guests; `node`
/// names the node's folder among all of this machine.
///
/// # Errors
/// [`BackendError::Unusable`] with what was found when none of them can run a guest.
pub fn select(programs: Programs<'_>, wanted: Wanted, node: &str) -> Result<Selection, BackendError> {
    let candidates = match wanted {
        // A dom0 has no KVM, as the processor's virtualisation is Xen's. Elsewhere nobody asks about Xen.
        Wanted::Auto if XenBackend::is_dom0() => vec![BackendKind::Xen, BackendKind::QemuTcg],
        Wanted::Auto => vec![BackendKind::QemuKvm, BackendKind::QemuTcg],
        Wanted::Only(kind) => vec![kind],
    };
    let (mut found, mut lacks) = (Vec::new(), Lack::Other);
    for &kind in &candidates {
        match cost(programs, kind, node) {
            Ok((cost, jail)) => {
                return Ok(Selection { kind, reason: reason(kind, &found, wanted), cost, jail });
            }
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

/// What a backend costs, and the jail of its monitors, or why it cannot be used.
fn cost(
    programs: Programs<'_>,
    kind: BackendKind,
    node: &str,
) -> Result<(String, Option<Jail>), (Lack, String)> {
    let accelerator = match kind {
        BackendKind::QemuKvm => Accelerator::Kvm,
        BackendKind::QemuTcg => Accelerator::Tcg,
        BackendKind::Xen => {
            return XenBackend::look().map(|cost| (cost, None)).map_err(|error| match error {
                BackendError::Unusable { lack, reason, .. } => (lack, reason),
                other => (Lack::Other, other.to_string()),
            });
        }
    };
    let holes = |program: Option<&str>, accelerator| match program {
        Some(program) => holes::look(program, accelerator, programs.mended),
        None => Ok(()),
    };
    holes(Some(programs.native), accelerator)
        .and_then(|()| holes(programs.other, Accelerator::Tcg))
        .map_err(|words| (Lack::Mended, words))?;
    let (took, jail) = jailed(programs, accelerator, node).map_err(|words| (Lack::Other, words))?;
    let cost = format!(
        "a probe guest of 20 million loop rounds took {} ms, start of QEMU included; the same loop natively {} ms",
        took.as_millis(),
        probe::native_loop().as_millis()
    );
    Ok((cost, Some(jail)))
}

/// How long the probe guest takes, and the most of a jail that it runs in: a QEMU of another make or place may need what is kept
/// from it.
fn jailed(programs: Programs<'_>, accelerator: Accelerator, node: &str) -> Result<(Duration, Jail), String> {
    let of: Vec<&str> = [Some(programs.native), programs.other].into_iter().flatten().collect();
    let mut jail = Jail::of(&of, accelerator, node);
    let why = match probe::run(programs.native, accelerator, &jail) {
        Probe::Usable(took) => return Ok((took, jail)),
        Probe::Unusable(why) => why,
    };
    // It may not run at all.
    if let Probe::Unusable(why) = probe::run(programs.native, accelerator, &Jail::bare()) {
        return Err(why);
    }
    for defence in [Defence::View, Defence::User, Defence::Calls, Defence::Network] {
        jail = jail.without(defence, &format!("QEMU did not run with it: {why}"));
        if let Probe::Usable(took) = probe::run(programs.native, accelerator, &jail) {
            return Ok((took, jail));
        }
    }
    Err(why)
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

    const THIS: Programs<'static> = Programs { native: PROGRAM, other: None, mended: &[] };

    #[test]
    fn what_is_chosen_ran_and_what_was_passed_over_is_told() {
        let chosen = select(THIS, Wanted::Auto, "select").unwrap();
        if chosen.kind == BackendKind::Xen {
            eprintln!("skipped: this is a dom0, where QEMU is not asked");
            return;
        }
        let kvm = matches!(probe::run(PROGRAM, Accelerator::Kvm, &Jail::bare()), Probe::Usable(_));
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
        assert!(!select(THIS, Wanted::Auto, "select").unwrap().reason.contains("xen"));
        let error = select(THIS, Wanted::Only(BackendKind::Xen), "select").unwrap_err();
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
        let none = Programs { native: "qemu-that-is-not-there", ..THIS };
        let error = select(none, Wanted::Auto, "select").unwrap_err().to_string();
        assert!(error.contains("qemu-kvm: ") && error.contains("qemu-tcg: "), "{error}");
    }
}
