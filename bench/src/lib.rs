//! The figures of this project and what they are held to.
//!
//! Criterion measures what one process can (`benches/figures`); `cargo xtask bench` measures the whole line, puts both
//! beside `budgets.toml`, and says which are over. To add a figure: measure it under a name `GROUP/NAME`, and give that
//! name a line in `budgets.toml`; a test holds that every line there has its bench.

#![forbid(unsafe_code)]

pub mod budgets;
pub mod criterion;

pub use budgets::{Better, Budgets, BudgetsError, Figure, Verdict};

/// A figure of this run.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// `GROUP/NAME`, as in `budgets.toml`.
    pub name: String,
    /// In the unit that stands there.
    pub value: f64,
}

impl Measured {
    /// One of this name.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value }
    }
}
