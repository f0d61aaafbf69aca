//! What the benches print.

use fades_bench::budgets::rounded;
use fades_bench::{Better, Budgets, Measured};

/// Every figure of this run, its promise, and what was recorded last.
#[expect(clippy::print_stdout, reason = "this is what the command is asked for")]
pub(super) fn print(measured: &[Measured], budgets: &Budgets) {
    println!("\n{:<28} {:>12} {:<5} {:>15} {:>14}", "median", "now", "", "promised", "recorded");
    for figure in measured {
        let Some(known) = budgets.figures.get(&figure.name) else { continue };
        let sign = if known.better == Better::Higher { "≥" } else { "≤" };
        let promised = known.budget.map(|budget| format!("{sign} {budget}")).unwrap_or_default();
        let recorded = known.measured.map(|value| value.to_string()).unwrap_or_default();
        let kept = if known.holds(figure.value) { "" } else { "   NOT KEPT" };
        println!(
            "{:<28} {:>12} {:<5} {promised:>15} {recorded:>14}{kept}",
            figure.name,
            rounded(figure.value),
            known.unit
        );
    }
    println!("\nrecorded {}: {}", budgets.run.date, budgets.run.machine);
}
