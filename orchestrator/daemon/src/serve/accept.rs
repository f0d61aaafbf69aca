//! The accept loop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use fades_api::codes;
use fades_api::http::Problem;
use futures_util::FutureExt;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::io::Guarded;
use super::listen::Stream;
use super::slots::{Slot, Slots};
use super::{Door, Listener, Peer};
use crate::metrics::Metrics;
use crate::reply::Refused;

/// Largest head of a request, in bytes. A request's signature is the largest of its headers, at about 700.
const HEAD_BYTES: usize = 16 * 1024;
/// Most headers of a request.
const HEADERS: usize = 64;

/// Serves `router` on all `listeners` until `stop` turns true; then lets requests under way end for `door.farewell`.
///
/// Each request carries its [`Peer`] as an extension.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    door: Door,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
) {
    let slots = Slots::default();
    let mut loops = JoinSet::new();
    for listener in listeners {
        let shared = Shared {
            router: router.clone(),
            door,
            slots: slots.clone(),
            metrics: Arc::clone(&metrics),
            stop: stop.clone(),
        };
        loops.spawn(accept_on(listener, shared));
    }
    while loops.join_next().await.is_some() {}
}

#[derive(Clone)]
struct Shared {
    router: Router,
    door: Door,
    slots: Slots,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
}

/// Resolves once `stop` is true or its sender is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can say stop any more, which is taken as having said it.
    let _gone = stop.wait_for(|stop| *stop).await;
}

async fn accept_on(listener: Listener, shared: Shared) {
    let mut connections = JoinSet::new();
    let mut stop = shared.stop.clone();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_ended) = connections.join_next() => {
                shared.metrics.connections_open.set(shared.slots.open() as u64);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match shared.slots.take(peer, &shared.door) {
                Some(slot) => {
                    connections.spawn(serve_one(stream, peer, slot, shared.clone()));
                }
                // Closed without a word: an answer would cost what the cap is there to save.
                None => shared.metrics.connections_refused.add(1),
            },
            Err(error) => {
                // Out of descriptors, most likely: wait for some to come back instead of spinning.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        shared.metrics.connections_open.set(shared.slots.open() as u64);
    }
    drop(listener);
    let farewell = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(shared.door.farewell, farewell).await.is_err() {
        connections.abort_all();
    }
}

/// Runs what changes something on a task of its own: who closes the connection before the answer must not leave a task
/// that is stored and never run, or a key that is revoked on disk and still in force. Spawned at once and not when
/// first polled, as a connection that has ended already polls nothing more. It keeps its connection's slot until then, so
/// that the cap on connections is one on such work too.
fn to_its_end<F>(answer: F, slot: Arc<Slot>) -> impl Future<Output = Result<Response, Infallible>>
where
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let work = async move {
        let answered = answer.await;
        drop(slot);
        answered
    };
    tokio::spawn(work).map(|ended| match ended {
        Ok(answered) => answered,
        Err(error) => {
            tracing::error!(%error, "a request was not carried to its end");
            Ok(Refused::from(Problem::new(codes::INTERNAL, "look at the node's log")).into_response())
        }
    })
}

async fn serve_one(stream: Box<dyn Stream>, peer: Peer, slot: Slot, shared: Shared) {
    let router = TowerToHyperService::new(shared.router);
    // The service's, and with it the connection's, until that is dropped below.
    let slot = Arc::new(slot);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = router.call(request);
        if reads { Either::Left(answer) } else { Either::Right(to_its_end(answer, Arc::clone(&slot))) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.door.head)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .half_close(false);
    let io = TokioIo::new(Guarded::new(stream, shared.door.stalled));
    let connection = builder.serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let mut stop = shared.stop;
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        shared.metrics.connections_broken.add(1);
        tracing::debug!(%peer, %error, "a connection broke");
    }
}
