//! Server-sent events: nothing twice, nothing missing, however often a reader comes back.

use std::time::Duration;

use fades_core::backend::ExitCause;
use fades_testkit::{BrokerAct, FunctionAct, Script};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::http::{over_unix, request};
use crate::support::{TestNode, eventually, id};

/// A stream of events as a reader sees it.
struct Reader(BufReader<UnixStream>);

#[derive(Debug, PartialEq)]
struct Event {
    id: Option<u64>,
    kind: String,
    data: Value,
}

impl Reader {
    /// HTTP/1.0, so that the answer is not in chunks.
    async fn open(node: &TestNode, path: &str, last: Option<u64>) -> Self {
        let mut stream = UnixStream::connect(&node.socket).await.unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: node\r\n{last}\r\n").as_bytes())
            .await
            .unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        assert!(line.contains(" 200 "), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).await.unwrap();
        }
        Self(reader)
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        let (mut event, mut line) =
            (Event { id: None, kind: String::new(), data: Value::Null }, String::new());
        loop {
            line.clear();
            let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_line(&mut line)).await;
            if read.expect("the stream stands still").unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => event.id = Some(text.parse().unwrap()),
                Some(("event", text)) => event.kind = text.to_owned(),
                Some(("data", text)) => event.data = serde_json::from_str(text).unwrap(),
                _ if line == "\n" && !event.kind.is_empty() => return Some(event),
                _ => {}
            }
        }
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn states(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter(|event| event.kind == "state")
        .map(|event| event.data["state"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tasks_stream_begins_at_its_start_and_ends_with_it() {
    let slow = Script::default().brokers([BrokerAct::Serves(Duration::from_millis(200))]);
    let node = TestNode::with(slow, |_| {}).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    let path = format!("/v1/tasks/{}/events", id(1));
    let followed = Reader::open(&node, &path, None).await.rest().await;
    let expected = ["accepted", "queued", "starting", "streaming", "computing", "succeeded"];
    assert_eq!(states(&followed), expected, "{followed:?}");
    assert!(followed.iter().filter(|event| event.kind == "state").all(|event| event.id.is_some()));
    // Afterwards the same, at once; resumed anywhere, exactly the rest.
    let again = Reader::open(&node, &path, None).await.rest().await;
    assert_eq!(states(&again), expected);
    for (at, event) in again.iter().enumerate() {
        let rest = Reader::open(&node, &path, event.id).await.rest().await;
        assert_eq!(rest, again[at + 1..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_come_and_go_see_every_event_once() {
    let node = TestNode::new().await;
    let mut reader = Reader::open(&node, "/v1/events", None).await;
    let submitted = async {
        for number in 1..=30 {
            assert_eq!(node.submit(&node.signed(&id(number), |_| {})).await.status, 202);
        }
    };
    let read = async {
        let (mut seen, mut last, mut ended) = (Vec::new(), None, 0);
        while ended < 30 {
            // Torn off in the middle again and again, and resumed behind the last event that came.
            if seen.len() % 7 == 6 {
                reader = Reader::open(&node, "/v1/events", last).await;
            }
            let event = reader.next().await.expect("the stream of the node does not end");
            last = event.id;
            ended += u32::from(event.data["state"] == "succeeded");
            seen.push(event.id.unwrap());
        }
        seen
    };
    let ((), seen) = tokio::join!(submitted, read);
    let first = seen[0];
    assert_eq!(seen, (first..first + 180).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_said_to_be_gone() {
    let node = TestNode::with(Script::default(), |config| config.keep.events = 10).await;
    for number in 1..=4 {
        node.submit(&node.signed(&id(number), |_| {})).await;
        node.ended(&id(number)).await;
    }
    let open = async |path: &str, last: &str| {
        over_unix(&node.socket, &request("GET", path, &[("Last-Event-ID", last)], b"")).await
    };
    let gone = open("/v1/events", "3").await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "E1016"));
    assert_eq!(open("/v1/events", "three").await.code(), "E1015");
    assert_eq!(open(&format!("/v1/tasks/{}/events", id(9)), "3").await.code(), "E1013");
    let newest = *node.node.store.watch_events().borrow();
    let mut reader = Reader::open(&node, "/v1/events", Some(newest - 10)).await;
    assert_eq!(reader.next().await.unwrap().id, Some(newest - 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_carry_their_code_and_streams_are_counted() {
    let dies = FunctionAct::Dies(ExitCause::Panicked { message: "boom".into(), location: "a.rs:1".into() });
    let node = TestNode::with(Script::default().functions([dies]), |config| config.limits.streams = 2).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    let events = Reader::open(&node, &format!("/v1/tasks/{}/events", id(1)), None).await.rest().await;
    let last = &events.last().unwrap().data;
    assert_eq!(last["state"], "failed");
    assert!(last["code"].as_str().unwrap().starts_with("E30"), "{last}");
    assert!(last["detail"].as_str().unwrap().contains("boom"), "{last}");
    let one = Reader::open(&node, "/v1/events", None).await;
    let _two = Reader::open(&node, "/v1/events", None).await;
    let third = over_unix(&node.socket, &request("GET", "/v1/events", &[], b"")).await;
    assert_eq!((third.status, third.code().as_str()), (503, "E1017"));
    drop(one);
    // Noticed when something is to be said: an event, or the keep-alive.
    node.submit(&node.signed(&id(2), |_| {})).await;
    eventually("counted down", async || node.node.metrics.events_streams.get() < 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_daemon() {
    let node = TestNode::new().await;
    let mut reader = Reader::open(&node, "/v1/events", None).await;
    let read = async {
        assert!(reader.next().await.is_none());
        drop(reader);
    };
    tokio::join!(node.stop(), read);
}
