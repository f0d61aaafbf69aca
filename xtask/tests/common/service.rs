//! A service of the tests' own: signs wrappers, submits them over TCP, reads what became of them over the local socket.
//!
//! In this process, as a program per request would be most of the work of a test with hundreds of tasks.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_envelope::{PublicKey, Purpose, SigningKey, sign, verify_receipt};
use serde_json::{Value, json};
use xtask::testbed::node::{ISSUER, Node, SOURCE};

use super::Bed;
use super::outside::{patience, patience_ms};

/// What a task asks: one operation on a source, reduced by `stats` unless said otherwise.
#[derive(Clone)]
pub struct Ask {
    pub source: String,
    pub measurement: String,
    pub field: String,
    pub image: String,
    /// A JSON object.
    pub parameters: Value,
    pub timeout_ms: u32,
    pub end_ns: i64,
    pub group_by: Vec<String>,
    pub lifetime: Value,
}

impl Ask {
    /// The temperature of every room of the bed's testbed.
    pub fn of(bed: &Bed) -> Self {
        Self {
            source: SOURCE.to_owned(),
            measurement: "temperature".to_owned(),
            field: "value".to_owned(),
            image: bed.node().image("stats").unwrap(),
            parameters: json!({}),
            timeout_ms: patience_ms(60_000),
            end_ns: bed.end_ns,
            group_by: vec!["room".to_owned()],
            lifetime: json!("ephemeral"),
        }
    }

    /// The same of another source.
    pub fn source(mut self, name: &str) -> Self {
        self.source = name.to_owned();
        self
    }

    /// The same with another timeout.
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }
}

/// A signed wrapper and its task.
#[derive(Clone)]
pub struct Signed {
    pub id: String,
    pub envelope: Vec<u8>,
}

/// A service that knows a node. Outlives the node's daemon, which may come and go.
#[derive(Clone)]
pub struct Service {
    url: String,
    socket: PathBuf,
    key: std::sync::Arc<SigningKey>,
    node_key: PublicKey,
    audience: String,
    epoch: String,
}

impl Service {
    pub fn of(node: &Node) -> Self {
        let info: Value = serde_json::from_str(&node.get("/v1/node").unwrap()).unwrap();
        let own = SigningKey::read(&node.folder().join("node.key")).unwrap();
        Self {
            url: node.url(),
            socket: node.folder().join("fadesd.sock"),
            key: std::sync::Arc::new(SigningKey::read(&node.key()).unwrap()),
            node_key: own.public(),
            audience: info["node"].as_str().unwrap().to_owned(),
            epoch: info["epoch"].as_str().unwrap().to_owned(),
        }
    }

    pub fn sign(&self, ask: &Ask) -> Signed {
        let id = ulid::Ulid::new().to_string();
        let now = jiff::Timestamp::now();
        let wrapper = json!({
            "schema": "fades.task.v1",
            "credentials": {
                "task_id": id, "issuer": ISSUER, "audience": self.audience, "node_epoch": self.epoch, "priority": 5,
                "issued_at": now.to_string(), "expires_at": (now + Duration::from_secs(1800)).to_string(),
            },
            "drb": { "operations": [{
                "id": "op", "source": ask.source, "measurement": ask.measurement, "field": ask.field,
                "from": "2026-01-01T00:00:00Z",
                "to": jiff::Timestamp::from_nanosecond(ask.end_ns.into()).unwrap().to_string(),
                "group_by": ask.group_by,
            }] },
            "dmf": {
                "image": ask.image, "parameters": ask.parameters,
                "resources": { "memory_mib": 64, "timeout_ms": ask.timeout_ms }, "lifetime": ask.lifetime,
            },
        });
        let envelope = sign(&self.key, Purpose::Task, wrapper.to_string().as_bytes());
        Signed { id, envelope }
    }

    /// Posts an envelope: the status and the answer, or nothing when the node is not there or breaks off.
    pub fn post(&self, signed: &Signed) -> Option<(u16, Value)> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into();
        let request = agent.post(format!("{}/v1/tasks", self.url));
        let request = request.header("content-type", "application/cose; cose-type=\"cose-sign1\"");
        let mut response = request.send(&signed.envelope[..]).ok()?;
        let status = response.status().as_u16();
        Some((status, response.body_mut().read_json().ok()?))
    }

    /// Posts an envelope that must be accepted, waiting where the node limits the rate; gives its answer.
    pub fn submit(&self, signed: &Signed) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (status, answer) = self.post(signed).expect("the node is there");
            if status == 429 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            assert_eq!((status, answer["task"].as_str()), (202, Some(&*signed.id)), "{answer}");
            return answer;
        }
    }

    /// Signs and submits.
    pub fn ask(&self, ask: &Ask) -> String {
        let signed = self.sign(ask);
        self.submit(&signed);
        signed.id
    }

    /// `GET` over the local socket: status and body. HTTP/1.0, so that the body comes as it is.
    pub fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: node\r\n\r\n").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body.to_owned()))
    }

    /// The task as the node shows it now.
    pub fn task(&self, id: &str) -> Value {
        let (status, body) = self.get(&format!("/v1/tasks/{id}")).unwrap();
        assert_eq!(status, 200, "{id}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The task once `done` says so of it.
    pub fn until(&self, id: &str, within: Duration, mut done: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + patience(within);
        loop {
            let task = self.task(id);
            if done(&task) {
                return task;
            }
            assert!(Instant::now() < deadline, "not within {within:?}: {task}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The task at its end.
    pub fn end(&self, id: &str, within: Duration) -> Value {
        self.until(id, within, |task| is_end(task["state"].as_str().unwrap()))
    }

    /// The task once points of it are under way.
    pub fn streaming(&self, id: &str) -> Value {
        self.until(id, Duration::from_secs(30), |task| {
            assert!(
                !is_end(task["state"].as_str().unwrap()),
                "it ended before it was seen streaming: {task}"
            );
            task["progress"]["points"].as_u64().is_some_and(|points| points > 0)
        })
    }

    /// All stored events of an ended task, in their order.
    pub fn events(&self, id: &str) -> Vec<Value> {
        let (status, body) = self.get(&format!("/v1/tasks/{id}/events")).unwrap();
        assert_eq!(status, 200, "{id}: {body}");
        let data = body.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(|json| serde_json::from_str(json.trim()).unwrap())
            .filter(|event: &Value| event["progress"].is_null())
            .collect()
    }

    /// The aggregate of a task that succeeded, its receipt verified.
    pub fn result(&self, id: &str) -> Value {
        let (status, body) = self.get(&format!("/v1/tasks/{id}/result")).unwrap();
        assert_eq!(status, 200, "{id}: {body}");
        let document: Value = serde_json::from_str(&body).unwrap();
        let bytes = |key: &str| Base64UrlUnpadded::decode_vec(document[key].as_str().unwrap()).unwrap();
        let (result, receipt) = (bytes("result_bytes"), bytes("receipt"));
        verify_receipt(&receipt, &self.node_key, &result).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(serde_json::from_slice::<Value>(&result).unwrap(), document["result"]);
        document["result"].clone()
    }

    /// That nothing of a task that failed can be had.
    pub fn assert_no_result(&self, id: &str) {
        let (status, body) = self.get(&format!("/v1/tasks/{id}/result")).unwrap();
        assert!(status >= 400 && !body.contains("result_bytes"), "{id} has a result: {status} {body}");
    }

    /// Whether the broker is ready.
    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_ok_and(|(status, _)| status == 200)
    }
}

/// Whether a state is final.
pub fn is_end(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled" | "expired" | "refused")
}

/// That two aggregates say the same: numbers to 1e-9 relative, as sums depend on where chunks end; all else exactly.
pub fn assert_same(one: &Value, other: &Value) {
    assert!(same(one, other), "{one}\nis not\n{other}");
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(one, other)| same(one, other))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, one)| b.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}
