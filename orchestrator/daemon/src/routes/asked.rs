//! What stands before every route of tasks and events: who asks, and for which task.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use fades_api::codes;
use fades_api::http::Problem;
use fades_api::task::TaskId;
use ulid::Ulid;

use crate::admission::{Caller, authorize};
use crate::node::Node;
use crate::reply::Refused;
use crate::serve::Peer;
use crate::store::record::TaskRecord;

impl FromRequestParts<Arc<Node>> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, Refused> {
        let Some(peer) = parts.extensions.get::<Peer>() else {
            return Err(Problem::new(codes::INTERNAL, "a request came through no door").into());
        };
        Ok(authorize(node, *peer, &parts.method, &parts.uri, &parts.headers)?)
    }
}

/// A task that the caller may know of. To others it does not exist.
pub(super) struct Asked {
    pub(super) caller: Caller,
    pub(super) id: Ulid,
    pub(super) record: TaskRecord,
}

impl FromRequestParts<Arc<Node>> for Asked {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, Refused> {
        // First who asks: to strangers a malformed id is no different from any other.
        let caller = Caller::from_request_parts(parts, node).await?;
        let malformed = |detail: String| Problem::new(codes::TASK_ID_IN_PATH_MALFORMED, detail);
        let path = RawPathParams::from_request_parts(parts, node)
            .await
            .map_err(|error| malformed(error.to_string()))?;
        let text = path.iter().find(|(name, _)| *name == "id").map_or("", |(_, text)| text);
        let id: TaskId = text.parse().map_err(|error| malformed(format!("{error}")))?;
        match node.store.task(id.0)? {
            Some(record) if caller.may_read(node, &record) => Ok(Self { caller, id: id.0, record }),
            _ => Err(Problem::new(codes::TASK_NOT_FOUND, format!("no task {id}")).into()),
        }
    }
}
