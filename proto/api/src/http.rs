//! Types of the HTTP interface, version 1. All JSON; times are RFC 3339; a reader ignores keys that it does not know.

mod admin;
mod image;
mod node;
mod periods;
mod plan;
mod problem;
mod result;
mod task;

pub use admin::{
    EpochRenewed, IssuerList, IssuerUpdate, IssuerView, KeyView, PolicyDocument, RefusalList, RefusalView,
    SignerDocument, SignerList, SourceDocument, SourceList, SourcePolicy, SourceTest,
};
pub use image::{GarbageReport, GarbageRequest, ImageFloor, ImageList, ImageView, RemovedImage};
pub use node::{
    BackendInfo, BrokerInfo, ImageInfo, NodeInfo, NodeLimits, NodeUsage, SourceInfo, defence_words,
};
pub use periods::{
    PeriodList, PeriodNews, PeriodResult, PeriodState, PeriodView, PeriodWindow, PeriodsView, StateView,
};
pub use plan::{ExpectedTime, PlannedMemory, PlannedOperation, PlannedRead, TaskPlan, Verdict};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem};
pub use result::{OperationResult, ResultDocument, TimingsUs};
pub use task::{Accepted, EventView, Progress, TaskConsole, TaskList, TaskState, TaskView};

/// Media type of an envelope as a body.
pub const ENVELOPE_MEDIA_TYPE: &str = "application/cose; cose-type=\"cose-sign1\"";
/// Scheme of the `Authorization` header: `Fades <base64url envelope>`.
pub const AUTHORIZATION_SCHEME: &str = "Fades";
