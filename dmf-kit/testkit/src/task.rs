//! A task as people write it, and what broker and function are told of it.

use std::net::Ipv4Addr;

use fades_api::task::{Label, Periods, TaskDraft, Wrapper};
use fades_points::Selection;
use fades_wire::address::{Endpoint, Place};
use fades_wire::control::{Name, Operation, OperationName, Retrieve, Run, SourceKind, TagSelection};
use fades_wire::ids::{TaskKey, Ticket};

pub use fades_api::task::TaskError;

/// What a node gives a task: memory at the broker per operation, chunk bytes under way, bytes of a result, silence of a source.
const BUDGET: u64 = 1 << 20;
const WINDOW: u64 = 1 << 20;
const RESULT_LIMIT: u64 = 1 << 20;
const SILENCE_MS: u32 = 10_000;

/// A task: which points, and with which parameters.
#[derive(Debug, Clone)]
pub struct Task(Wrapper);

impl Task {
    /// Reads a task from TOML, with the same keys and the same checks as when it is submitted.
    ///
    /// # Errors
    /// The first thing that does not keep to the schema, with its path.
    pub fn from_toml(text: &str) -> Result<Self, TaskError> {
        TaskDraft::from_toml(text)?.on_trial().map(Self)
    }

    /// Its first periods, at most so many; `None` if it is not persistent.
    pub(crate) fn periods(&self, most: u64) -> Option<u64> {
        Periods::of(&self.0).map(|periods| periods.count().min(most))
    }

    /// The same with the windows of a period.
    pub(crate) fn in_period(&self, period: u64) -> Result<Self, TaskError> {
        self.0.in_period(period).map(Self)
    }

    /// What the broker is told.
    pub(crate) fn order(&self, ticket: Ticket, together: bool) -> Retrieve {
        let operations = self.0.drb.operations.iter().zip(0u16..).map(|(operation, index)| {
            let (from_ns, to_ns) = operation.range_ns();
            let tags = operation.tags.iter().map(|(tag, values)| TagSelection {
                tag: Name::from(tag.as_str()),
                values: values.iter().map(|value| Name::from(value.as_str())).collect(),
            });
            Operation {
                index,
                source: SourceKind::InfluxDb1 {
                    database: Name::from("fixture"),
                    retention: None,
                    credentials: None,
                },
                endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, index),
                measurement: operation.measurement.as_str().to_owned(),
                field: operation.field.as_str().to_owned(),
                tags: tags.collect(),
                from_ns,
                to_ns,
                group_by: operation.group_by.iter().map(|tag| Name::from(tag.as_str())).collect(),
                timeout_ms: SILENCE_MS,
            }
        });
        Retrieve {
            task: TaskKey([0; 16]),
            ticket,
            near: None,
            priority: 0,
            deadline_us: u64::from(self.0.dmf.resources.timeout_ms) * 1000,
            operations: operations.collect(),
            budget_bytes: BUDGET,
            together,
        }
    }

    /// What each operation selects, with its id.
    pub(crate) fn selections(&self) -> impl Iterator<Item = (&str, Selection)> {
        self.0.drb.operations.iter().map(|operation| {
            let (from_ns, to_ns) = operation.range_ns();
            let text = |label: &Label| label.as_str().to_owned();
            let tags = operation.tags.iter();
            let selection = Selection {
                measurement: text(&operation.measurement),
                field: text(&operation.field),
                tags: tags.map(|(tag, any)| (text(tag), any.iter().map(text).collect())).collect(),
                from_ns,
                to_ns,
                group_by: operation.group_by.iter().map(text).collect(),
            };
            (operation.id.as_str(), selection)
        })
    }

    /// What the function is told.
    pub(crate) fn orders(&self, ticket: Ticket) -> Run {
        let names = self.0.drb.operations.iter().zip(0u16..);
        let operations =
            names.map(|(operation, index)| OperationName { index, id: Name::from(operation.id.as_str()) });
        Run {
            task: TaskKey([0; 16]),
            ticket,
            broker: Place::Network(Endpoint::new(Ipv4Addr::LOCALHOST, 0)),
            operations: operations.collect(),
            parameters: self.0.dmf.parameters_json(),
            result_limit: RESULT_LIMIT,
            window_bytes: WINDOW,
            memory: None,
        }
    }
}
