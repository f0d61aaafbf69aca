//! A state per series, and the labels under which its row appears in a result.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::function::Series;

/// What a row of a result is about: one operation with one set of `group_by` tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The operation's id in the wrapper.
    pub operation: String,
    /// What was measured.
    pub measurement: String,
    /// Which field of it.
    pub field: String,
    /// The `group_by` tags and their values.
    pub tags: BTreeMap<String, String>,
}

/// A table of states, one per series that had points. Series come in any order.
#[derive(Debug, Clone)]
pub struct Groups<S>(Vec<Option<(Group, S)>>);

impl<S> Default for Groups<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S> Groups<S> {
    /// The state of this series, made by `new` when it is first asked for.
    pub fn state(&mut self, series: &Series, new: impl FnOnce() -> S) -> &mut S {
        if self.0.len() <= series.index {
            self.0.resize_with(series.index + 1, || None);
        }
        &mut self.0[series.index].get_or_insert_with(|| (Group::from(series), new())).1
    }

    /// The groups and their states, in the order of the series' numbers.
    pub fn into_rows(self) -> impl Iterator<Item = (Group, S)> {
        self.0.into_iter().flatten()
    }
}

impl From<&Series> for Group {
    fn from(series: &Series) -> Self {
        Self {
            operation: series.operation.clone(),
            measurement: series.measurement.clone(),
            field: series.field.clone(),
            tags: series.tags.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_may_come_in_any_order() {
        let series = |index: usize| Series {
            index,
            operation: "op".to_owned(),
            measurement: "m".to_owned(),
            field: "f".to_owned(),
            tags: vec![("room".to_owned(), format!("r{index}"))],
        };
        let mut groups = Groups::default();
        for index in [2, 0, 2] {
            *groups.state(&series(index), || 0) += 1;
        }
        let rows: Vec<_> = groups.into_rows().map(|(group, n)| (group.tags["room"].clone(), n)).collect();
        assert_eq!(rows, [("r0".to_owned(), 1), ("r2".to_owned(), 2)]);
    }
}
