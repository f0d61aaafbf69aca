//! `/v1/admin/plans`: what a wrapper would do.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use fades_api::http::Problem;
use fades_api::task::{Wrapper, limits};

use crate::admission::foresee;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::serve::body;

pub(super) async fn plan(State(node): State<Arc<Node>>, request: Request) -> Result<Response, Refused> {
    let deadline = Duration::from_millis(node.config.door.body_ms);
    let (_, bytes) = body::read(request, limits::DOCUMENT_BYTES, deadline).await?;
    let wrapper = Wrapper::from_json(&bytes).map_err(Problem::from)?;
    Ok(json(StatusCode::OK, &foresee(&node, &wrapper).await?))
}
