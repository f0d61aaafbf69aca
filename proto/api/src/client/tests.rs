//! Against scripted nodes: real sockets, answers by the byte.

use std::sync::Mutex;
use std::time::Instant;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

use super::*;
use crate::codes;

const ID: &str = "01JD3V9WQK8Z6N2M4P5R7T9XYZ";

fn id() -> TaskId {
    ID.parse().unwrap()
}

/// What a node does on one connection once it has read the request.
enum Act {
    /// Writes this and closes.
    Answer(String),
    /// Writes this and keeps the connection.
    Hold(String),
}

fn answer(status: &str, media_type: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn json(body: serde_json::Value) -> Act {
    Act::Answer(answer("200 OK", "application/json", &body.to_string()))
}

fn problem(code: codes::Code) -> Act {
    let body = String::from_utf8(crate::http::Problem::new(code, "for a test").to_json()).unwrap();
    let status = format!("{} X", code.status());
    Act::Answer(answer(&status, "application/problem+json; charset=utf-8", &body))
}

/// The head of a stream of events without length, which ends with the connection, and `body`.
fn stream(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{body}")
}

/// A stream by chunks that ends in order.
fn whole_stream(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
}

/// The start of a stream by chunks that breaks off.
fn broken_stream(body: &str) -> String {
    whole_stream(body).strip_suffix("0\r\n\r\n").unwrap().to_owned()
}

fn event(number: u64, state: &str) -> String {
    let data = serde_json::json!({ "id": number, "task": ID, "state": state, "at": "2026-11-20T08:00:00Z" });
    format!("id: {number}\nevent: state\ndata: {data}\n\n")
}

fn task_view(state: &str) -> Act {
    json(serde_json::json!({
        "task": ID, "issuer": "i", "state": state, "priority": 1, "image": format!("stats@sha256:{}", "ab".repeat(32)),
        "sources": ["s"], "attempts": 1, "accepted_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
        "expires_at": "2026-11-20T08:00:00Z", "key_of_a_later_version": 1,
    }))
}

/// Reads one request: head and body.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "the client closed in the middle of {text:?}");
        bytes.extend_from_slice(&piece[..read]);
    }
}

async fn play(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    act: Act,
    seen: &mpsc::UnboundedSender<String>,
) {
    let request = read_request(&mut stream).await;
    seen.send(request).unwrap();
    let (Act::Answer(text) | Act::Hold(text)) = &act;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    if matches!(act, Act::Hold(_)) {
        let mut rest = [0; 1];
        let _closed = stream.read(&mut rest).await;
    }
}

/// A node over TCP that plays `acts`, one per connection; gives a client and what it has seen.
async fn node(acts: Vec<Act>) -> (Client, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for act in acts {
            let (stream, _) = listener.accept().await.unwrap();
            play(stream, act, &seen).await;
        }
    });
    (Client::new(address).with_timeout(Duration::from_secs(10)), requests)
}

fn accepted() -> Act {
    let body = serde_json::json!({ "task": ID, "state": "accepted", "location": format!("/v1/tasks/{ID}") });
    Act::Answer(answer("202 Accepted", "application/json", &body.to_string()))
}

#[tokio::test]
async fn submits_over_tcp() {
    let (client, mut seen) = node(vec![accepted()]).await;
    let accepted = client.submit(b"envelope".to_vec()).await.unwrap();
    assert_eq!((accepted.task, accepted.state), (id(), TaskState::Accepted));
    let request = seen.recv().await.unwrap();
    assert!(request.starts_with("POST /v1/tasks HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/cose; cose-type=\"cose-sign1\"\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", client.address().host())), "{request}");
    assert!(request.ends_with("\r\n\r\nenvelope") && !request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn submits_over_the_local_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fadesd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, mut seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        play(stream, accepted(), &sender).await;
    });
    let client = Client::new(format!("unix:{}", path.display()).parse().unwrap());
    assert_eq!(client.submit(vec![1]).await.unwrap().task, id());
    assert!(seen.recv().await.unwrap().contains("host: localhost\r\n"));
}

#[tokio::test]
async fn a_problem_keeps_its_code() {
    let (client, _seen) = node(vec![problem(codes::TASK_ID_REUSED)]).await;
    let error = client.submit(vec![1]).await.unwrap_err();
    assert_eq!(error.code(), codes::TASK_ID_REUSED);
    let ClientError::Problem { problem } = error else { panic!("{error}") };
    assert_eq!((problem.status, problem.hint.as_str()), (409, codes::TASK_ID_REUSED.hint()));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = Client::new(address).node().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { what: "no connection", .. }), "{error:?}");
    let error = Client::new(NodeAddress::Unix("/nonexistent/fadesd.sock".into())).node().await.unwrap_err();
    assert_eq!(error.code(), codes::NODE_UNREACHABLE);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unreachable() {
    let cut = answer("200 OK", "application/json", "{\"task\":1}")
        .replace("content-length: 10", "content-length: 99");
    let (client, _seen) = node(vec![Act::Answer(cut), Act::Answer(String::new())]).await;
    for what in ["answer broke off", "no answer"] {
        let error = client.task(id()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { what: found, .. } if found == what), "{error:?}");
    }
}

#[tokio::test]
async fn silence_times_out() {
    let (client, _seen) = node(vec![
        Act::Hold(String::new()),
        Act::Hold("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{".to_owned()),
    ])
    .await;
    let client = client.with_timeout(Duration::from_millis(150));
    for _ in 0..2 {
        let begun = Instant::now();
        let error = client.task(id()).await.unwrap_err();
        assert_eq!(error.code(), codes::CLIENT_TIMED_OUT, "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn another_service_is_malformed() {
    let (client, _seen) = node(vec![
        Act::Answer(answer("502 Bad Gateway", "text/html", "<html>")),
        Act::Answer(answer("200 OK", "text/html", "<html>")),
        Act::Answer(answer("404 Not Found", "application/problem+json", "{}")),
        Act::Answer(answer("204 No Content", "application/json", "")),
    ])
    .await;
    for _ in 0..4 {
        let error = client.task(id()).await.unwrap_err();
        assert_eq!(error.code(), codes::ANSWER_MALFORMED, "{error:?}");
    }
}

#[tokio::test]
async fn other_calls_send_and_read_json() {
    let (client, mut seen) =
        node(vec![json(serde_json::json!({ "ok": true })), Act::Answer(answer("204 X", "x/y", ""))]).await;
    let body = serde_json::json!({ "name": "n" });
    let got: serde_json::Value = client.call("PUT", "/v1/admin/x", Some(&body)).await.unwrap();
    assert_eq!(got["ok"], true);
    let request = seen.recv().await.unwrap();
    assert!(
        request.starts_with("PUT /v1/admin/x ") && request.ends_with("\r\n\r\n{\"name\":\"n\"}"),
        "{request}"
    );
    client.call::<()>("DELETE", "/v1/admin/x", None::<&()>).await.unwrap();
    let error = client.call::<()>("BAD METHOD", "/", None::<&()>).await.unwrap_err();
    assert_eq!(error.code(), codes::ANSWER_MALFORMED);
}

/// Remembers what it signs; its envelope is the payload backwards.
#[derive(Default)]
struct Backwards(Mutex<Vec<Vec<u8>>>);

impl Signer for Backwards {
    fn sign_request(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.lock().unwrap().push(payload.to_vec());
        Ok(payload.iter().rev().copied().collect())
    }
}

struct Unwilling;

impl Signer for Unwilling {
    fn sign_request(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err("the key is gone".into())
    }
}

fn node_info() -> Act {
    let usage = serde_json::json!({ "running": 0, "queued": 0, "guests": 1, "memory_mib": 64 });
    json(serde_json::json!({
        "node": "edge-1", "key_id": "aa", "public_key": "bb", "epoch": "00112233445566778899aabbccddeeff", "version": "0.1.0",
        "time": "2026-11-20T08:00:00Z", "started_at": "2026-11-20T08:00:00Z",
        "backend": { "kind": "qemu-tcg", "reason": "r", "cost": "c" }, "broker": { "state": "ready", "restarts": 0 },
        "limits": { "running": 4, "queued": 9, "guests": 9, "memory_mib": 900, "envelope_bytes": 65536, "result_bytes": 9, "wrapper_life_s": 9 },
        "usage": usage, "images": [], "sources": [], "defences": { "sandbox": true },
    }))
}

#[tokio::test]
async fn requests_are_signed_for_their_very_path() {
    let (client, mut seen) =
        node(vec![node_info(), json(serde_json::json!({ "tasks": [] })), task_view("cancelled")]).await;
    let signer = Arc::new(Backwards::default());
    let client = client.with_signer(signer.clone());
    let filter = TaskFilter {
        state: Some(TaskState::Queued),
        issuer: "i.example".parse().ok(),
        cursor: Some("a+b/c=&d".to_owned()),
    };
    client.tasks(&filter).await.unwrap();
    client.cancel(id()).await.unwrap();
    assert!(
        seen.recv().await.unwrap().starts_with("GET /v1/node "),
        "the audience is asked for first, and once"
    );
    let lines = [
        ("GET", "/v1/tasks?state=queued&issuer=i.example&cursor=a%2Bb%2Fc%3D%26d".to_owned()),
        ("DELETE", format!("/v1/tasks/{ID}")),
    ];
    let payloads = signer.0.lock().unwrap().clone();
    assert_eq!(payloads.len(), 2);
    for ((method, path), payload) in lines.iter().zip(&payloads) {
        let request = seen.recv().await.unwrap();
        assert!(request.starts_with(&format!("{method} {path} ")), "{request}");
        let line = request.lines().find_map(|line| line.strip_prefix("authorization: Fades ")).unwrap();
        let mut envelope = Base64UrlUnpadded::decode_vec(line).unwrap();
        envelope.reverse();
        assert_eq!(&envelope, payload);
        let signed = Request::from_json(payload).unwrap();
        signed.check(method, path, "edge-1", Timestamp::now()).unwrap();
    }
    let nonces: Vec<_> = payloads.iter().map(|payload| Request::from_json(payload).unwrap().nonce).collect();
    assert_ne!(nonces[0], nonces[1]);
}

#[tokio::test]
async fn a_signer_that_fails_is_told_apart() {
    let (client, _seen) = node(vec![node_info()]).await;
    let error = client.with_signer(Arc::new(Unwilling)).task(id()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Sign { source } if source.to_string() == "the key is gone"),
        "{error:?}"
    );
}

#[tokio::test]
async fn events_go_on_where_they_broke_off() {
    let half = event(3, "streaming");
    let acts = vec![
        Act::Answer(broken_stream(&format!(
            ": hello\n\n{}{}{}",
            event(1, "accepted"),
            event(2, "queued"),
            &half[..20]
        ))),
        problem(codes::SHUTTING_DOWN),
        Act::Answer(stream(&format!("{}{}", event(2, "queued"), event(3, "streaming")))),
        Act::Hold(stream(&event(4, "succeeded"))),
    ];
    let (client, mut seen) = node(acts).await;
    let mut events = client.task_events(id(), None);
    let mut states = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        states.push((event.id, event.state));
    }
    use TaskState::{Accepted, Queued, Streaming, Succeeded};
    assert_eq!(states, [(1, Accepted), (2, Queued), (3, Streaming), (4, Succeeded)]);
    assert_eq!(events.last_id(), Some(4));
    assert_eq!(events.next().await.unwrap(), None);
    let resumed = |request: &str| {
        request
            .lines()
            .find_map(|line| line.strip_prefix("last-event-id: "))
            .map(|id| id.parse::<u64>().unwrap())
    };
    let mut from = Vec::new();
    while let Ok(request) = seen.try_recv() {
        assert!(request.starts_with(&format!("GET /v1/tasks/{ID}/events ")), "{request}");
        from.push(resumed(&request));
    }
    assert_eq!(from, [None, Some(2), Some(2), Some(3)]);
}

#[tokio::test]
async fn progress_is_told_in_passing() {
    let progress = event(1, "streaming").replace("id: 1\nevent: state", "event: progress");
    let body = format!("{}{progress}{progress}{}", event(1, "streaming"), event(2, "succeeded"));
    let (client, _seen) = node(vec![Act::Answer(stream(&body))]).await;
    let mut events = client.task_events(id(), None);
    let mut seen = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        seen.push((event.id, events.last_id()));
    }
    assert_eq!(seen, [(1, Some(1)), (1, Some(1)), (1, Some(1)), (2, Some(2))]);
}

#[tokio::test]
async fn a_node_that_ends_all_streams_at_once_is_asked_with_pauses() {
    let acts = std::iter::repeat_with(|| Act::Answer(whole_stream(": bye\n\n"))).take(3).collect();
    let (client, mut seen) = node(acts).await;
    let client = client.with_timeout(Duration::from_millis(300));
    let mut events = client.events(None);
    let waited = tokio::time::timeout(Duration::from_secs(3), events.next()).await;
    assert!(waited.is_err(), "the client neither spins nor takes it for an end: {waited:?}");
    for _ in 0..3 {
        seen.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_of_an_ended_task_that_is_resumed_behind_its_end_is_over() {
    let empty = || Act::Answer(whole_stream(": nothing more\n\n"));
    let (client, _seen) = node(vec![empty(), empty()]).await;
    assert_eq!(client.task_events(id(), Some(9)).next().await.unwrap(), None);
}

#[tokio::test]
async fn refused_events_are_not_asked_for_again() {
    let (client, mut seen) = node(vec![problem(codes::TASK_NOT_FOUND)]).await;
    let error = client.task_events(id(), None).next().await.unwrap_err();
    assert_eq!(error.code(), codes::TASK_NOT_FOUND);
    seen.recv().await.unwrap();
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn events_that_are_none_are_malformed() {
    let (client, _seen) = node(vec![
        Act::Answer(stream("id: 1\ndata: {}\n\n")),
        Act::Answer(answer("200 OK", "application/json", "{}")),
        Act::Answer(stream(&format!("data: {}", "x".repeat(70_000)))),
    ])
    .await;
    for _ in 0..3 {
        let error = client.events(None).next().await.unwrap_err();
        assert_eq!(error.code(), codes::ANSWER_MALFORMED, "{error:?}");
    }
}

#[tokio::test]
async fn waiting_follows_to_the_end() {
    let (client, _seen) = node(vec![
        Act::Answer(whole_stream(&format!("{}{}", event(1, "accepted"), event(2, "failed")))),
        task_view("failed"),
    ])
    .await;
    let mut told = Vec::new();
    let view = client.wait(id(), |event| told.push(event.id)).await.unwrap();
    assert_eq!((view.state, told), (TaskState::Failed, vec![1, 2]));
}

#[tokio::test]
async fn waiting_makes_do_with_the_state_where_events_are_gone() {
    let (client, _seen) = node(vec![
        problem(codes::EVENTS_GONE),
        task_view("queued"),
        problem(codes::EVENTS_GONE),
        task_view("expired"),
    ])
    .await;
    let view = client.wait(id(), |event| panic!("no event was sent: {event:?}")).await.unwrap();
    assert_eq!(view.state, TaskState::Expired);
}
