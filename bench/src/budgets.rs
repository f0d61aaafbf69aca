//! `budgets.toml`: a line per figure, with what is promised and what was measured.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// The run that `measured` is of.
    pub run: Run,
    /// By name, `GROUP/NAME`.
    pub figures: BTreeMap<String, Figure>,
}

/// When and on what the measured values were seen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// What the machine was, and how far its figures go.
    pub machine: String,
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// `1/s`, `GB/s`, `ms`, `us`, `MiB` or `x`, which is how many times as fast.
    pub unit: String,
    /// Which way is good.
    pub better: Better,
    /// What is promised. Without it the figure is there for comparison.
    pub budget: Option<f64>,
    /// Why the promise is not kept, in a sentence. Then it is one to be reached, and its breach is told, not refused.
    pub not_reached: Option<String>,
    /// Median of the run.
    pub measured: Option<f64>,
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Rates.
    Higher,
    /// Times and sizes.
    Lower,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum BudgetsError {
    /// Not TOML, unknown keys, or wrong types.
    #[error("budgets.toml cannot be read")]
    Syntax(#[from] toml::de::Error),
    /// A unit that nobody can compute.
    #[error("figure {0} has the unit {1:?}")]
    Unit(String, String),
    /// A reason for not reaching nothing.
    #[error("figure {0} is not reached, but promises nothing")]
    Unpromised(String),
    /// The measured value is worse than what is promised.
    #[error("figure {0} promises {1} and was measured at {2}")]
    Broken(String, f64, f64),
}

impl Figure {
    /// Whether `value` keeps the promise; always, if there is none.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        // Written so that NaN does not hold.
        match (self.budget, self.better) {
            (None, _) => true,
            (Some(budget), Better::Higher) => value >= budget,
            (Some(budget), Better::Lower) => value <= budget,
        }
    }

    /// What a value means for the promise.
    #[must_use]
    pub fn judge(&self, value: f64) -> Verdict<'_> {
        match (self.holds(value), self.not_reached.as_deref()) {
            (true, None) => Verdict::Kept,
            (false, None) => Verdict::Broken,
            (false, Some(why)) => Verdict::NotReached(why),
            (true, Some(_)) => Verdict::OutOfDate,
        }
    }
}

/// What a value means for a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It holds, or there is none.
    Kept,
    /// It does not hold.
    Broken,
    /// It does not hold, and the file says why.
    NotReached(&'a str),
    /// It holds, but the file says why it does not.
    OutOfDate,
}

impl Budgets {
    /// Reads and checks the file's text.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(text: &str) -> Result<Self, BudgetsError> {
        let budgets: Self = toml::from_str(text)?;
        for (name, figure) in &budgets.figures {
            if !["1/s", "GB/s", "ms", "us", "MiB", "x"].contains(&figure.unit.as_str()) {
                return Err(BudgetsError::Unit(name.clone(), figure.unit.clone()));
            }
            if figure.not_reached.is_some() && figure.budget.is_none() {
                return Err(BudgetsError::Unpromised(name.clone()));
            }
        }
        Ok(budgets)
    }

    /// Whether what was measured keeps all promises. A file that does not can be read all the same, as it is measured again from there.
    ///
    /// # Errors
    /// The first that is broken.
    pub fn kept(&self) -> Result<(), BudgetsError> {
        for (name, figure) in &self.figures {
            if let (Some(budget), Some(measured)) = (figure.budget, figure.measured)
                && figure.judge(measured) == Verdict::Broken
            {
                return Err(BudgetsError::Broken(name.clone(), budget, measured));
            }
        }
        Ok(())
    }
}

/// The text with these measured values and this date in it; every other byte stays.
#[must_use]
pub fn record(text: &str, date: &str, measured: &[crate::Measured]) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let found = measured.iter().find(|m| line.starts_with(&format!("\"{}\" = {{", m.name)));
        if let Some(found) = found {
            let before = line.split(", measured = ").next().unwrap_or(line).trim_end_matches(" }");
            out += &format!("{before}, measured = {} }}", rounded(found.value));
        } else if line.starts_with("date = ") {
            out += &format!("date = \"{date}\"");
        } else {
            out += line;
        }
        out.push('\n');
    }
    out
}

/// Three digits are all that a shared machine knows.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 2.0 - value.abs().log10().floor();
    if digits >= 0.0 {
        // A power of ten with a positive exponent is exact, its inverse is not.
        let scale = 10f64.powf(digits);
        (value * scale).round() / scale
    } else {
        let scale = 10f64.powf(-digits);
        (value / scale).round() * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Measured;

    const TEXT: &str = "[run]\ndate = \"2026-01-01\"\nmachine = \"m\"\n[figures]\n\
        # why\n\"a/b\" = { unit = \"ms\", better = \"lower\", budget = 10.0, measured = 9.0 }\n\
        \"a/c\" = { unit = \"1/s\", better = \"higher\", measured = 1.0 }\n";

    #[test]
    fn recording_changes_the_values_and_nothing_else() {
        let measured = [Measured { name: "a/b".into(), value: 8.7654 }];
        let text = record(TEXT, "2026-11-21", &measured);
        assert_eq!(text, TEXT.replace("9.0", "8.77").replace("2026-01-01", "2026-11-21"));
        let budgets = Budgets::parse(&text).unwrap();
        assert_eq!(budgets.figures["a/b"].measured, Some(8.77));
        assert_eq!(budgets.figures["a/c"].measured, Some(1.0));
        assert_eq!(record(&text.replace(", measured = 8.77", ""), "2026-11-21", &measured), text);
    }

    #[test]
    fn promises_bind_both_ways() {
        let figure = |better| Figure {
            unit: "ms".into(),
            better,
            budget: Some(10.0),
            not_reached: None,
            measured: None,
        };
        assert!(figure(Better::Lower).holds(10.0) && !figure(Better::Lower).holds(10.1));
        assert!(figure(Better::Higher).holds(10.0) && !figure(Better::Higher).holds(9.9));
        assert!(!figure(Better::Lower).holds(f64::NAN) && !figure(Better::Higher).holds(f64::NAN));
        let broken = Budgets::parse(&TEXT.replace("9.0", "11.0")).unwrap();
        assert!(matches!(broken.kept(), Err(BudgetsError::Broken(..))));
        assert!(matches!(Budgets::parse(&TEXT.replace("\"ms\"", "\"mss\"")), Err(BudgetsError::Unit(..))));
    }

    #[test]
    fn a_mark_bears_a_breach_and_goes_out_of_date() {
        let marked = TEXT.replace("measured = 9.0", "not_reached = \"it is far\", measured = 11.0");
        let budgets = Budgets::parse(&marked).unwrap();
        let figure = &budgets.figures["a/b"];
        assert_eq!(figure.judge(11.0), Verdict::NotReached("it is far"));
        assert_eq!(figure.judge(9.0), Verdict::OutOfDate);
        let unmarked = &budgets.figures["a/c"];
        assert_eq!(unmarked.judge(11.0), Verdict::Kept);
        let broken = Figure { not_reached: None, ..figure.clone() };
        assert_eq!((broken.judge(9.0), broken.judge(11.0)), (Verdict::Kept, Verdict::Broken));
        let unpromised = marked.replace("budget = 10.0, ", "");
        assert!(matches!(Budgets::parse(&unpromised), Err(BudgetsError::Unpromised(..))));
        // The reason stays when a value is recorded.
        let measured = [Measured { name: "a/b".into(), value: 12.0 }];
        assert_eq!(record(&marked, "2026-01-01", &measured), marked.replace("11.0", "12"));
    }

    #[test]
    fn three_digits() {
        for (value, three) in [(1_234_567.0, 1_230_000.0), (0.123_456, 0.123), (99.96, 100.0), (0.0, 0.0)] {
            assert_eq!(rounded(value), three);
        }
    }
}
