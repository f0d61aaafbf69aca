//! The router: every route of the interface's table, and what stands before all of them.
//!
//! To add a route: its row in `fades_api::routes`, its handler in a file here, its line in [`router`]. A test compares
//! the three.

mod admin;
mod admin_image_care;
mod admin_images;
mod admin_plans;
mod admin_sources;
mod asked;
mod events;
mod node;
mod periods;
mod tasks;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use fades_api::codes;
use fades_api::http::Problem;

use crate::node::Node;
use crate::reply::Refused;
use crate::serve::{Peer, body};

type Routes = Vec<(&'static str, MethodRouter<Arc<Node>>)>;

/// Every route with its handlers.
fn open_routes() -> Routes {
    vec![
        ("/v1/tasks", post(tasks::submit).get(tasks::list)),
        ("/v1/tasks/{id}", get(tasks::get).delete(tasks::cancel)),
        ("/v1/tasks/{id}/result", get(tasks::result)),
        ("/v1/tasks/{id}/periods", get(periods::list)),
        ("/v1/tasks/{id}/periods/{period}/result", get(periods::result)),
        ("/v1/tasks/{id}/events", get(events::of_task)),
        ("/v1/events", get(events::of_node)),
        ("/v1/node", get(node::info)),
        ("/livez", get(node::live)),
        ("/readyz", get(node::ready)),
        ("/metrics", get(node::metrics)),
        ("/openapi.json", get(node::openapi)),
    ]
}

/// Routes of the operator, over the local socket only.
fn admin_routes() -> Routes {
    vec![
        ("/v1/admin/issuers", get(admin::issuers)),
        ("/v1/admin/issuers/{name}", put(admin::put_issuer).delete(admin::revoke_issuer)),
        ("/v1/admin/issuers/{name}/keys/{key_id}", delete(admin::revoke_key)),
        ("/v1/admin/sources", get(admin_sources::list)),
        ("/v1/admin/sources/{name}", put(admin_sources::put).delete(admin_sources::remove)),
        ("/v1/admin/sources/{name}/test", post(admin_sources::test)),
        ("/v1/admin/plans", post(admin_plans::plan)),
        ("/v1/admin/signers", get(admin_images::signers)),
        ("/v1/admin/signers/{key_id}", put(admin_images::put_signer).delete(admin_images::remove_signer)),
        ("/v1/admin/images", post(admin_images::add).get(admin_image_care::list)),
        ("/v1/admin/images/gc", post(admin_image_care::gc)),
        ("/v1/admin/images/{digest}", get(admin_image_care::file).delete(admin_images::remove)),
        ("/v1/admin/tasks/{id}/console", get(tasks::console)),
        ("/v1/admin/refusals", get(admin::refusals)),
        ("/v1/admin/epoch", post(admin::renew_epoch)),
    ]
}

/// The whole interface of a node.
pub fn router(node: Arc<Node>) -> Router {
    let mut admin = Router::new();
    for (path, methods) in admin_routes() {
        admin = admin.route(path, methods);
    }
    let mut all = admin.layer(from_fn_with_state(Arc::clone(&node), operator_only));
    for (path, methods) in open_routes() {
        all = all.route(path, methods);
    }
    all.fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn(before_all))
        .with_state(node)
}

/// Refuses what no route wants, before any of them sees it.
async fn before_all(request: Request, next: Next) -> Response {
    if let Err(problem) = body::refuse_encoded(request.headers()) {
        return Refused::from(problem).into_response();
    }
    let bodiless = matches!(*request.method(), Method::GET | Method::DELETE | Method::HEAD);
    let announced = request.headers().get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if bodiless && (announced || request.headers().contains_key(header::TRANSFER_ENCODING)) {
        let detail = format!("{} takes no body", request.method());
        return Refused::from(Problem::new(codes::BODY_UNEXPECTED, detail)).into_response();
    }
    next.run(request).await
}

/// Lets only the operator through.
async fn operator_only(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    match request.extensions().get::<Peer>() {
        Some(peer) if node.is_operator(*peer) => next.run(request).await,
        _ => {
            let detail = format!("{} is answered on the node's local socket", request.uri().path());
            Refused::from(Problem::new(codes::LOCAL_ONLY, detail)).into_response()
        }
    }
}

async fn not_found(request: Request) -> Refused {
    Problem::new(codes::ROUTE_NOT_FOUND, format!("there is no {}", request.uri().path())).into()
}

async fn not_allowed(request: Request) -> Refused {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(codes::METHOD_NOT_ALLOWED, detail).into()
}

#[cfg(test)]
mod tests;
