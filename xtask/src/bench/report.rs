//! What the benches print.

use fades_bench::budgets::rounded;
use fades_bench::{Better, Budgets, Measured, Verdict};

/// Every figure of this run, its promise, and what was recorded last.
#[expect(clippy::print_stdout, reason = "this is what the command is asked for")]
pub(super) fn print(measured: &[Measured], budgets: &Budgets) {
    println!("\n{:<28} {:>12} {:<5} {:>15} {:>14}", "median", "now", "", "promised", "recorded");
    for figure in measured {
        let Some(known) = budgets.figures.get(&figure.name) else { continue };
        let sign = if known.better == Better::Higher { "≥" } else { "≤" };
        let promised = known.budget.map(|budget| format!("{sign} {budget}")).unwrap_or_default();
        let recorded = known.measured.map(|value| value.to_string()).unwrap_or_default();
        let kept = match known.judge(figure.value) {
            Verdict::Kept => "",
            Verdict::Broken => "   NOT KEPT",
            Verdict::NotReached(_) => "   not reached",
            Verdict::OutOfDate => "   reached: its mark is out of date",
        };
        println!(
            "{:<28} {:>12} {:<5} {promised:>15} {recorded:>14}{kept}",
            figure.name,
            rounded(figure.value),
            known.unit
        );
    }
    for figure in measured {
        let known = budgets.figures.get(&figure.name);
        if let Some(Verdict::NotReached(why)) = known.map(|known| known.judge(figure.value)) {
            println!("\n{} is not reached: {why}", figure.name);
        }
    }
    println!("\nrecorded {}: {}", budgets.run.date, budgets.run.machine);
}
