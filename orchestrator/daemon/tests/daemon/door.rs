//! THREATS A8 and A10: slow, many, huge, lying and compressed; and floods under a known key.

use std::time::{Duration, Instant};

use fades_testkit::Script;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{exchange, over_tcp, over_unix, read, request};
use crate::support::{COSE, ISSUER, TestNode, eventually, id};

/// Reads until the node closes; how long that took.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    assert!(reading.is_ok(), "the connection stays open");
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_idle_and_dribbling_connections_are_closed() {
    let node = TestNode::new().await;
    let mut idle = TcpStream::connect(node.tcp).await.unwrap();
    let mut after_one = TcpStream::connect(node.tcp).await.unwrap();
    after_one.write_all(b"GET /livez HTTP/1.1\r\nHost: node\r\n\r\n").await.unwrap();
    let (mut reader, mut writer) = TcpStream::connect(node.tcp).await.unwrap().into_split();
    let dribble = tokio::spawn(async move {
        for byte in b"GET /livez HTTP/1.1\r\nHost: node\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let start = Instant::now();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut bytes)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    dribble.abort();
    assert!(closed_after(&mut idle).await < Duration::from_secs(3));
    assert!(closed_after(&mut after_one).await < Duration::from_secs(3));
    eventually("counted", async || node.node.metrics.connections_broken.get() > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_bodies_have_a_deadline_and_a_cap() {
    let node = TestNode::new().await;
    // Announced and never sent.
    let mut slow = TcpStream::connect(node.tcp).await.unwrap();
    let head = "POST /v1/tasks HTTP/1.1\r\nHost: node\r\nContent-Type: application/cose\r\nContent-Length: 500\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(b"some").await.unwrap();
    let answer = read(&mut slow).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "E1006"), "{answer:?}");
    // Cut short.
    let mut cut = TcpStream::connect(node.tcp).await.unwrap();
    cut.write_all(head.as_bytes()).await.unwrap();
    cut.write_all(b"some").await.unwrap();
    cut.shutdown().await.unwrap();
    let answer = read(&mut cut).await;
    assert!(answer.status == 0 || answer.code() == "E1007", "{answer:?}");
    // One GiB announced: refused before a byte of it.
    let giant = "POST /v1/tasks HTTP/1.1\r\nHost: node\r\nContent-Type: application/cose\r\nContent-Length: 1073741824\r\n\r\n";
    let start = Instant::now();
    let answer = exchange(TcpStream::connect(node.tcp).await.unwrap(), giant.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "E1002"), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    // Unannounced, in chunks without end.
    let mut chunked = TcpStream::connect(node.tcp).await.unwrap();
    let head = "POST /v1/tasks HTTP/1.1\r\nHost: node\r\nContent-Type: application/cose\r\nTransfer-Encoding: chunked\r\n\r\n";
    chunked.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"4000\r\n".as_slice(), &[0; 0x4000], b"\r\n"].concat();
    for _ in 0..1000 {
        if chunked.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let answer = read(&mut chunked).await;
    assert!(answer.status == 413 || answer.status == 0, "{answer:?}");
    // A little too large for an envelope.
    let answer = node.submit(&vec![0; 64 * 1024 + 1]).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "E1113"));
    assert_eq!(node.submit(b"").await.code(), "E1021");
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_what_is_not_an_envelope_is_refused_unread() {
    let node = TestNode::new().await;
    let envelope = node.signed(&id(1), |_| {});
    let post = async |headers: &[(&str, &str)]| {
        over_tcp(node.tcp, &request("POST", "/v1/tasks", headers, &envelope)).await
    };
    for encoding in ["gzip", "br", "identity", "x"] {
        let answer = post(&[COSE, ("Content-Encoding", encoding)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "E1004"), "{encoding}");
    }
    for kind in ["application/json", "application/cose; cose-type=\"cose-sign\"", "application/cosex", ""] {
        let answer = post(&[("Content-Type", kind)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "E1003"), "{kind}");
    }
    assert_eq!(post(&[]).await.code(), "E1003");
    assert!(node.node.store.tasks(None, 10, |_| true).unwrap().is_empty());
    assert_eq!(post(&[("Content-Type", "Application/COSE")]).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_requests_cannot_be_smuggled() {
    let node = TestNode::new().await;
    // Lengths that contradict each other: refused, and nothing behind them is taken for a request.
    for head in [
        "Content-Length: 4\r\nContent-Length: 60",
        "Content-Length: -1",
        "Content-Length: +4",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
    ] {
        let text = format!(
            "POST /v1/tasks HTTP/1.1\r\nHost: node\r\nContent-Type: application/cose\r\n{head}\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: node\r\n\r\n"
        );
        let answer = exchange(TcpStream::connect(node.tcp).await.unwrap(), text.as_bytes()).await;
        assert_eq!(answer.status, 400, "{head}: {answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("alive"), "{head}: {answer:?}");
    }
    // TE with CL: the chunks count, the length does not, and the request that hides behind is not answered as one of
    // its own unless the chunks have ended.
    let text = "POST /v1/tasks HTTP/1.1\r\nHost: node\r\nContent-Type: application/cose\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = exchange(TcpStream::connect(node.tcp).await.unwrap(), text.as_bytes()).await;
    assert!(answer.status == 400, "{answer:?}");
    let with_body =
        "GET /v1/node HTTP/1.1\r\nHost: node\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let answer = exchange(TcpStream::connect(node.tcp).await.unwrap(), with_body.as_bytes()).await;
    assert_eq!(answer.code(), "E1022");
    // HTTP/2 by prior knowledge is not spoken.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = exchange(TcpStream::connect(node.tcp).await.unwrap(), preface).await;
    assert!(answer.status == 0 || answer.status == 400 || answer.status == 505, "{answer:?}");
    // Heads beyond all measure.
    let large = format!("GET /livez HTTP/1.1\r\nHost: node\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert_eq!(exchange(TcpStream::connect(node.tcp).await.unwrap(), large.as_bytes()).await.status, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_connections_are_capped_and_places_come_back() {
    let node = TestNode::with(Script::default(), |config| {
        config.door.connections_per_address = 5;
        config.door.head_ms = 2_000;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(TcpStream::connect(node.tcp).await.unwrap());
    }
    eventually("refused", async || node.node.metrics.connections_refused.get() >= 45).await;
    // The operator is not locked out by the network.
    assert_eq!(over_unix(&node.socket, &request("GET", "/livez", &[], b"")).await.status, 200);
    assert!(node.node.metrics.connections_open.get() <= 6);
    drop(held);
    eventually("free again", async || {
        over_tcp(node.tcp, &request("GET", "/livez", &[], b"")).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_a_reader_that_stands_still_is_cut() {
    let node = TestNode::with(Script::default(), |config| {
        config.door.stalled_ms = 300;
        config.door.head_ms = 60_000;
    })
    .await;
    // Pipelined requests whose answers nobody reads fill every buffer there is.
    let mut stream = TcpStream::connect(node.tcp).await.unwrap();
    let many = b"GET /openapi.json HTTP/1.1\r\nHost: node\r\n\r\n".repeat(2000);
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&many)).await;
    eventually("cut", async || node.node.metrics.connections_broken.get() > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_floods_are_stopped_before_verification() {
    let node = TestNode::with(Script::default(), |config| {
        config.rates.address = fades_daemon::rate::Rate { per_minute: 60, burst: 20 };
        config.rates.key = fades_daemon::rate::Rate { per_minute: 60, burst: 5 };
    })
    .await;
    let good = node.signed(&id(1), |_| {});
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    let mut codes = Vec::new();
    for _ in 0..30 {
        codes.push(node.submit(&bad).await.code());
    }
    let count = |code: &str| codes.iter().filter(|found| *found == code).count();
    assert!((5..=6).contains(&count("E1112")), "{codes:?}");
    assert!((14..=17).contains(&count("E1010")), "{codes:?}");
    assert!(count("E1009") >= 8, "{codes:?}");
    let limited = node.submit(&good).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("1")));
    // The operator is not locked out, and the kept refusals are bounded.
    let local = over_unix(&node.socket, &request("POST", "/v1/tasks", &[COSE], &good)).await;
    assert_eq!(local.status, 202, "{local:?}");
    assert_eq!(local.json()["task"], json!(id(1)));
}

/// Keeps the store from writing for a while, so that whoever writes has to wait.
async fn busy_store(node: &TestNode) {
    let store = node.node.store.clone();
    let (begun, running) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let slow = store.write(move |_| {
            let _ = begun.send(());
            std::thread::sleep(Duration::from_millis(400));
            Ok(())
        });
        slow.await.unwrap();
    });
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_though_its_sender_went_away_before_the_answer() {
    let node = TestNode::new().await;
    let envelopes: Vec<_> = (1..=2).map(|number| node.signed(&id(number), |_| {})).collect();
    let mut half = TcpStream::connect(node.tcp).await.unwrap();
    let mut whole = TcpStream::connect(node.tcp).await.unwrap();
    busy_store(&node).await;
    half.write_all(&request("POST", "/v1/tasks", &[COSE], &envelopes[0])).await.unwrap();
    half.shutdown().await.unwrap();
    whole.write_all(&request("POST", "/v1/tasks", &[COSE], &envelopes[1])).await.unwrap();
    drop(whole);
    for number in 1..=2 {
        assert_eq!(node.ended(&id(number)).await["state"], "succeeded");
    }
    node.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_holds_though_its_sender_went_away_before_the_answer() {
    let node = TestNode::new().await;
    let mut operator = tokio::net::UnixStream::connect(&node.socket).await.unwrap();
    busy_store(&node).await;
    let revoke = request("DELETE", &format!("/v1/admin/issuers/{ISSUER}"), &[], b"");
    operator.write_all(&revoke).await.unwrap();
    drop(operator);
    eventually("revoked", async || {
        let refused = node.submit(&node.signed(&id(1), |w| w["schema"] = json!("none"))).await;
        refused.code() == "E1205"
    })
    .await;
}
