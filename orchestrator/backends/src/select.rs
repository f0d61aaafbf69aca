//! Which backend runs guests on this machine, why, and what that costs.

use std::time::Duration;

use fades_core::backend::BackendError;

use crate::qemu::Accelerator;
use crate::qemu::probe::{self, Probe};

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// The fastest that works.
    #[default]
    Auto,
    /// This one or nothing.
    Only(Accelerator),
}

/// The backend chosen, in words for `status` and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What will run guests.
    pub accelerator: Accelerator,
    /// Why this one.
    pub reason: String,
    /// What it costs, measured on this machine just now.
    pub cost: String,
}

/// Probes the accelerators that `wanted` allows, fastest first, by running a few instructions in each.
///
/// # Errors
/// [`BackendError::Unusable`] with what was found when none of them can run a guest.
pub fn select(program: &str, wanted: Wanted) -> Result<Selection, BackendError> {
    let candidates: &[Accelerator] = match &wanted {
        Wanted::Auto => &[Accelerator::Kvm, Accelerator::Tcg],
        Wanted::Only(accelerator) => std::slice::from_ref(accelerator),
    };
    let mut found = Vec::new();
    for &accelerator in candidates {
        match probe::run(program, accelerator) {
            Probe::Usable(took) => return Ok(chosen(accelerator, took, &found, wanted)),
            Probe::Unusable(words) => found.push(format!("{}: {words}", accelerator.kind())),
        }
    }
    let kind = candidates.last().copied().unwrap_or(Accelerator::Tcg).kind();
    Err(BackendError::Unusable { kind, reason: found.join("; ") })
}

fn chosen(accelerator: Accelerator, took: Duration, passed_over: &[String], wanted: Wanted) -> Selection {
    let why =
        if wanted == Wanted::Auto { "the fastest that ran the probe guest" } else { "set by configuration" };
    let reason = match passed_over {
        [] => why.to_owned(),
        found => format!("{why} ({})", found.join("; ")),
    };
    let native = probe::native_loop();
    let cost = format!(
        "a probe guest of 20 million loop rounds took {} ms, start of QEMU included; the same loop natively {} ms",
        took.as_millis(),
        native.as_millis()
    );
    Selection { accelerator, reason, cost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::PROGRAM;

    #[test]
    fn what_is_chosen_ran_and_what_was_passed_over_is_told() {
        let chosen = select(PROGRAM, Wanted::Auto).unwrap();
        let kvm = matches!(probe::run(PROGRAM, Accelerator::Kvm), Probe::Usable(_));
        assert_eq!(chosen.accelerator == Accelerator::Kvm, kvm, "{chosen:?}");
        // Where KVM does not run guests, whatever /dev/kvm says, the reason names it.
        assert_eq!(chosen.reason.contains("qemu-kvm:"), !kvm, "{chosen:?}");
    }

    #[test]
    fn nothing_usable_is_an_error_with_every_reason() {
        let error = select("qemu-that-is-not-there", Wanted::Auto).unwrap_err().to_string();
        assert!(error.contains("qemu-kvm: ") && error.contains("qemu-tcg: "), "{error}");
    }
}
