//! What services ask for: wrappers as they are signed, and the node that they are meant for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fades_api::task::Wrapper;
use fades_core::admit::{ImageFacts, NodeFacts, SourceFacts};
use fades_core::limits::Limits;
use fades_core::policy::{ImageRule, Policy, Readable};
use fades_core::terms::Terms;
use fades_core::{Role, TaskId};
use fades_wire::address::Endpoint;
use fades_wire::control::SourceKind;
use jiff::Timestamp;

use crate::dice::Dice;

pub(crate) const BROKER_MIB: u32 = 128;
const SOURCES: [&str; 2] = ["edison", "tesla"];
pub(crate) const ISSUERS: [&str; 2] = ["alpha.example", "beta.example"];
const SECOND: i64 = 1_000_000;

/// What the node knows of itself.
pub(crate) fn facts(limits: &Limits) -> NodeFacts {
    let image = |name: &str| ImageFacts {
        name: name.into(),
        version: "1.0.0".parse().expect("a version"),
        role: Role::Function,
        minimum_memory_mib: 16,
        together: false,
        result: None,
    };
    let kind = SourceKind::InfluxDb1 { database: "lab".into(), retention: None, credentials: None };
    let source = |port| SourceFacts {
        kind: kind.clone(),
        endpoint: Endpoint::new([10, 77, 0, 1].into(), port),
        timeout_ms: 5_000,
    };
    NodeFacts {
        id: "node-1".into(),
        epoch: [7; 16],
        sources: SOURCES.iter().zip(20_000..).map(|(name, port)| ((*name).into(), source(port))).collect(),
        images: BTreeMap::from([([1; 32], image("stats")), ([2; 32], image("window"))]),
        function_memory_mib: limits.function_mib(BROKER_MIB),
        waiting_limit: 16,
    }
}

/// What every issuer may ask for: much, but not everything.
pub(crate) fn policy() -> Policy {
    let image = |name: &str| ImageRule { name: name.into(), digest: None, floor: None };
    Policy {
        sources: SOURCES.iter().map(|name| ((*name).into(), Readable::All)).collect(),
        images: vec![image("stats"), image("window")],
        memory_mib: 256,
        timeout_ms: 60_000,
        priority: 9,
        result: Terms { bytes: 400, ..Terms::default() },
        life_s: 3600,
        operations: 3,
        range_s: None,
        tasks: 9,
        per_minute: 10_000,
        burst: 1_000,
        periods: 100,
        state_bytes: 400,
    }
}

fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).expect("a time of this century")
}

/// The id of a service's wrapper with this number.
pub(crate) fn id(number: u8) -> TaskId {
    let mut id = [0; 16];
    (id[0], id[15]) = (1, number);
    TaskId(id)
}

/// A wrapper that is signed at this time by the true clock; `plain` is one that nothing speaks against.
pub(crate) fn document(number: u8, now_us: i64, plain: bool, dice: &mut Dice) -> String {
    let id = id(number);
    let life_s = if plain { 600 } else { dice.pick(&[12, 60, 300, 600]) };
    let persistent = !plain && dice.chance(350);
    let every_s = i64::try_from(dice.between(5, 30)).expect("few");
    let past = i64::try_from(dice.between(0, 5)).expect("few");
    let count = i64::try_from(dice.between(0, 6)).expect("few");
    let to_us = if persistent { now_us + (2 - past * every_s) * SECOND } else { now_us };
    let until_us = to_us + count * every_s * SECOND;
    let expires_us = if persistent { until_us.max(now_us) + 60 * SECOND } else { now_us + life_s * SECOND };
    let lifetime = match persistent {
        false => r#""ephemeral""#.to_owned(),
        true => format!(
            r#"{{"persistent":{{"every_ms":{},"until":"{}","missed":"{}"}}}}"#,
            every_s * 1000,
            time(until_us),
            dice.pick(&["skip", "catch_up"])
        ),
    };
    let mut operations = String::new();
    for operation in 0..dice.between(1, 3) {
        let comma = if operation == 0 { "" } else { "," };
        write!(
            operations,
            r#"{comma}{{"id":"op{operation}","source":"{}","measurement":"temperature","field":"value","from":"{}","to":"{}"}}"#,
            dice.pick(&SOURCES),
            time(to_us - 10 * SECOND - i64::from(number) * 1_000),
            time(to_us),
        )
        .expect("text grows");
    }
    let wrong = if plain { 99 } else { dice.between(0, 40) };
    let (epoch, memory) = (
        if wrong == 0 { "08" } else { "07" },
        if wrong == 1 { 300 } else { dice.pick(&[32, 64, 64, 128, 180]) },
    );
    let memory = if plain { 64 } else { memory };
    let (name, digest) = dice.pick(&[("stats", "01"), ("window", "02")]);
    format!(
        r#"{{"schema":"fades.task.v1","credentials":{{"task_id":"{id}","issuer":"{}","audience":"node-1","node_epoch":"{}","priority":{},"issued_at":"{}","expires_at":"{}"}},"drb":{{"operations":[{operations}]}},"dmf":{{"image":"{name}@sha256:{}","parameters":{{"me":"{id}"}},"resources":{{"memory_mib":{memory},"timeout_ms":{}}},"lifetime":{lifetime}}}}}"#,
        ISSUERS[usize::from(number % 2)],
        epoch.repeat(16),
        dice.between(0, 9),
        time(now_us),
        time(expires_us),
        digest.repeat(32),
        dice.pick(&[25_000, 40_000]),
    )
}

/// As the strict reader takes it.
pub(crate) fn read(document: &str) -> Wrapper {
    Wrapper::from_json(document.as_bytes()).unwrap_or_else(|error| panic!("{error}: {document}"))
}
