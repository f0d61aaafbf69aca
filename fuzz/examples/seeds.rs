//! Writes what the targets begin with, made by what writes such things for real: `cargo run --locked --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! Where a target says nothing here, its fuzzer finds its way alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fades_depot::bundle::Bundle;
use fades_depot::index::{Entry, Index, SCHEMA};
use fades_drb::influx1::request::request;
use fades_envelope::{Purpose, SigningKey, parse, prove, sign};
use fades_influxql::Query;
use fades_pack::{Architecture, Description, Role, open, pack};
use fades_points::{Fixture, Replay};
use fades_wire::batch::BatchBuilder;
use fades_wire::frame::{Kind, encode};
use fades_wire::message::to_body;
use fades_xen_store::{Kind as StoreKind, Message};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

#[path = "../../images/loader-core/tests/common/mod.rs"]
mod application;
#[path = "../../proto/wire/tests/common/mod.rs"]
mod messages;
#[path = "../../images/loader-core/tests/common/tree.rs"]
mod tree;

const WRAPPER: &str = r#"{"schema":"fades.task.v1","credentials":{"task_id":"01HV0000000000000000000001","issuer":"pollution.example",
"audience":"edge-1","node_epoch":"01HV0000000000000000000002","priority":5,"issued_at":"2026-01-01T00:00:00Z",
"expires_at":"2026-01-01T01:00:00Z"},"drb":{"operations":[{"id":"temp","source":"edison","measurement":"temperature","field":"value",
"tags":{"room":["r1","r2"]},"from":"2025-12-01T00:00:00Z","to":"2025-12-01T12:00:00Z","group_by":["room"]}]},
"dmf":{"image":"stats@sha256:0000000000000000000000000000000000000000000000000000000000000000","parameters":{"every":"1h"},
"resources":{"memory_mib":64,"timeout_ms":60000},"lifetime":"ephemeral"}}"#;

const DRAFT: &str = "[drb]\noperations = [{ id = \"t\", source = \"s\", measurement = \"m\", field = \"f\", from = \"2026-01-01T00:00:00Z\", to = \"2026-01-02T00:00:00Z\" }]\n\n[dmf]\nimage = \"stats\"\n";

const LINES: &str = "temperature,room=r1,floor=1 value=21.5,raw=3i 1767225600000000000\ntemperature,room=r\\ 2 value=-1e3 1767225601000000000\n";

const TABLE: &str = "measurement,field,time,value,room\ntemperature,value,2026-01-01T00:00:00Z,21.5,r1\ntemperature,value,1767225601000000000,22,\"r,2\"\n";

fn main() {
    let key = SigningKey::from_seed(&[7; 32]);
    for (at, purpose) in Purpose::ALL.into_iter().enumerate() {
        keep("envelope", &at.to_string(), &sign(&key, purpose, WRAPPER.as_bytes()));
    }
    let proof = prove(&key, "pollution.example").expect("a name");
    keep("envelope_payloads", "proof", parse(&proof).expect("ours").unverified_payload());
    keep("wrapper", "wrapper", WRAPPER.as_bytes());
    keep("wrapper", "draft", DRAFT.as_bytes());

    let image = image(&key);
    keep("image", "file", &image);
    let payload = open(&image).expect("ours").verify(&key.public()).expect("ours").manifest().to_payload();
    keep("image", "parts", &[&payload.expect("ours")[..], b"\n", &small(), &small()].concat());
    let digest = open(&image).expect("ours").verify(&key.public()).expect("ours").digest();
    let bundle = Bundle { signers: BTreeMap::new(), images: BTreeMap::from([(digest, image.clone())]) };
    let mut written = Vec::new();
    bundle.write(&mut written).expect("memory");
    keep("depot_bundle", "one", &written);
    let index = Index { schema: SCHEMA.to_owned(), images: vec![Entry::of(&image).expect("ours")] };
    keep("depot_index", "one", &index.write());
    keep("elf", "application", &application::Sample::default().file());
    keep("loader_tree", "virt", &tree::virt(b"-ip 10.77.0.2 -- x\0", tree::INITRD).finish());

    points();
    wire();
    let message = Message::new(StoreKind::Read, 1, 0, b"device/vif/0/state\0".to_vec()).expect("short");
    keep("xen_messages", "read", &[&[3][..], &message.encode()].concat());
    frames();
}

fn keep(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(target);
    fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), bytes)).expect("a folder of ours");
}

/// An ELF of its header alone.
fn small() -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    (elf[16], elf[18], elf[20], elf[52], elf[54], elf[58]) = (2, 62, 1, 64, 56, 64);
    elf
}

fn image(key: &SigningKey) -> Vec<u8> {
    let description = Description {
        name: "stats".parse().expect("a name"),
        version: "1.0.0".parse().expect("a version"),
        role: Role::Dmf,
        architecture: Architecture::X86_64,
        minimum_memory_mib: 32,
        function: None,
    };
    pack(&description, &small(), &small(), key).expect("small")
}

fn points() {
    keep("points_line", "two", LINES.as_bytes());
    keep("points_csv", "two", TABLE.as_bytes());
    let fixture = || {
        let mut fixture = Fixture::default();
        for second in 0..20 {
            let tags = BTreeMap::from([("t".to_owned(), format!("r{}", second % 2))]);
            fixture.push("m", "f", &tags, second * 1_000_000_000, second as f64 / 4.0);
        }
        fixture
    };
    keep("points_fpt", "file", &fixture().to_fpt().expect("it fits"));
    let query = Query {
        retention: None,
        measurement: "m",
        field: "f",
        tags: &[],
        from_ns: 0,
        to_ns: i64::MAX,
        group_by: &["t".into()],
    };
    let query = query.to_influxql().expect("a query");
    let answer = Replay::new(fixture()).answer(&request("host", "db", None, &query)).expect("a request");
    let answer: Vec<u8> = answer.flatten().collect();
    keep("source_answer", "points", &[&[9][..], &answer].concat());
    keep("source_answer", "refusal", b"\x09HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nno...");
}

fn wire() {
    let mut builder = BatchBuilder::new(3);
    for at in 0..8 {
        builder.push(at * 1_000, at as f64);
    }
    let mut batch = Vec::new();
    builder.write(&mut batch);
    keep("wire_batch", "eight", &batch);
    let mut frames = vec![5];
    for (sequence, kind) in (0..).zip(Kind::ALL) {
        encode(*kind, 1, sequence, &batch, &mut frames).expect("short");
    }
    keep("wire_frame", "kinds", &frames);
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let guests = sample(&mut runner, messages::from_guest());
        message("wire_control", guests.kind(), guests.to_body());
        let ours = sample(&mut runner, messages::to_guest());
        message("wire_control", ours.kind(), ours.to_body());
        let functions = sample(&mut runner, messages::to_broker());
        message("wire_data", functions.kind(), functions.to_body());
    }
    message("wire_data", Kind::Series, to_body(&sample(&mut runner, messages::series())));
    message("wire_data", Kind::End, to_body(&sample(&mut runner, messages::end())));
    message("wire_data", Kind::Abort, to_body(&sample(&mut runner, messages::abort())));
    message("wire_data", Kind::Chunk, Ok::<_, ()>(batch));
}

fn sample<T: std::fmt::Debug>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).expect("nothing is left out").current()
}

/// The last one of its kind is kept.
fn message<E: std::fmt::Debug>(target: &str, kind: Kind, body: Result<Vec<u8>, E>) {
    let at = (0..).zip(Kind::ALL).find(|(_, each)| **each == kind).expect("of all kinds").0;
    let name = format!("{kind:?}").to_lowercase();
    keep(target, &name, &[&[at][..], &body.expect("it is short")].concat());
}

/// A question for the broker's address, and a packet that opens a connection to it.
fn frames() {
    let (own, broker) = ([2, 0, 10, 77, 0, 3], [2, 0, 10, 77, 0, 2]);
    let (from, to) = ([10, 77, 0, 3], [10, 77, 0, 2]);
    let question = [&[255; 6][..], &own, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &own, &from, &[0; 6], &to].concat();
    keep("switch_frame", "arp", &question);
    let header = [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0x25, 0x31][..], &from, &to].concat();
    let segment = [0xc3, 0x50, 0x1b, 0x59, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
    keep("switch_frame", "tcp", &[&broker[..], &own, &[8, 0], &header, &segment].concat());
}
