use super::*;
use crate::policy::{Fields, ImageRule, Rates, Readable};
use fades_api::codes::*;

const NOW_US: u64 = 1_800_000_000_000_000; // 2027-01-15T08:00:00Z
const STATS: [u8; 32] = [0xab; 32];
const BROKER: [u8; 32] = [0xcd; 32];
const VERSION: &str = "1.2.3";

fn text(change: &[(&str, &str)]) -> String {
    let mut text = format!(
        r#"{{"schema":"fades.task.v1",
        "credentials":{{"task_id":"01JD0000000000000000000000","issuer":"pollution.example","audience":"node-1",
            "node_epoch":"{}","priority":5,"issued_at":"2027-01-15T08:00:00Z","expires_at":"2027-01-15T08:10:00Z"}},
        "drb":{{"operations":[{{"id":"temp","source":"edison","measurement":"temperature","field":"value",
            "tags":{{"room":["r1","r2"]}},"from":"2027-01-14T00:00:00Z","to":"2027-01-15T00:00:00Z","group_by":["room"]}}]}},
        "dmf":{{"image":"stats@sha256:{}","parameters":{{"b":1,"a":2}},
            "resources":{{"memory_mib":64,"timeout_ms":30000}},"lifetime":"ephemeral"}}}}"#,
        "07".repeat(16),
        "ab".repeat(32),
    );
    for (from, to) in change {
        assert!(text.contains(from), "{from} is not in the wrapper");
        text = text.replace(from, to);
    }
    text
}

fn wrapper(change: &[(&str, &str)]) -> Wrapper {
    Wrapper::from_json(text(change).as_bytes()).unwrap()
}

fn policy() -> Policy {
    let fields = Fields::Only(["value".to_owned()].into());
    let measurements =
        BTreeMap::from([("temperature".to_owned(), fields), ("light".to_owned(), Fields::All)]);
    Policy {
        sources: BTreeMap::from([
            ("edison".to_owned(), Readable::Only(measurements)),
            ("gone".to_owned(), Readable::All),
        ]),
        images: vec![
            ImageRule { name: "stats".into(), digest: None, floor: None },
            ImageRule { name: "drb".into(), digest: Some(BROKER), floor: None },
        ],
        memory_mib: 128,
        timeout_ms: 60_000,
        priority: 6,
        result: Terms { bytes: 4096, ..Terms::default() },
        life_s: 600,
        operations: 1,
        range_s: Some(86_400),
        tasks: 3,
        per_minute: 60,
        burst: 2,
        periods: 11,
        state_bytes: 1000,
    }
}

fn node() -> NodeFacts {
    let version = VERSION.parse().unwrap();
    let image = |name: &str, role| {
        let (name, minimum_memory_mib, together, result) = (name.into(), 32, false, None);
        ImageFacts { name, version, role, minimum_memory_mib, together, result }
    };
    let kind = SourceKind::InfluxDb1 { database: "lab".into(), retention: None, credentials: None };
    let endpoint = Endpoint::new([10, 77, 0, 1].into(), 20_000);
    NodeFacts {
        id: "node-1".into(),
        epoch: [7; 16],
        sources: BTreeMap::from([("edison".into(), SourceFacts { kind, endpoint, timeout_ms: 900 })]),
        images: BTreeMap::from([
            (STATS, image("stats", Role::Function)),
            (BROKER, image("drb", Role::Broker)),
        ]),
        function_memory_mib: 100,
        waiting_limit: 10,
    }
}

const ALLOWED: Allowed = Allowed {
    result: Terms { bytes: 9, fields: Some(5), per_mille: None, group_points: None, group_series: Some(2) },
    state_bytes: 0,
};

const RECEIVED: Received = Received { unix_us: NOW_US, mono_us: Some(77), verify_us: 5 };

fn outcome(change: &[(&str, &str)], policy: &Policy, now_us: u64) -> Result<TaskSpec, Code> {
    let received = Received { unix_us: now_us, ..RECEIVED };
    let standing = Standing { active: 2, waiting: 9 };
    admit(&wrapper(change), "pollution.example", policy, &node(), standing, received)
        .map_err(|refusal| refusal.code)
}

#[test]
fn what_is_allowed_becomes_a_task() {
    let spec = outcome(&[], &policy(), NOW_US).unwrap();
    assert_eq!(spec.id.to_string(), "01JD0000000000000000000000");
    assert_eq!((spec.priority, spec.memory_mib, spec.timeout_ms, spec.terms.bytes), (5, 64, 30_000, 4096));
    assert_eq!(spec.expires_unix_us, NOW_US + 600_000_000);
    assert_eq!((spec.received_mono_us, spec.verify_us), (Some(77), 5));
    assert_eq!(spec.parameters, r#"{"a":2,"b":1}"#);
    assert_eq!(spec.image.to_string(), format!("stats@sha256:{}", "ab".repeat(32)));
    let [operation] = &spec.operations[..] else { panic!("{:?}", spec.operations) };
    assert_eq!((operation.id.as_str(), operation.source.as_str()), ("temp", "edison"));
    let order = &operation.order;
    assert_eq!((order.index, order.endpoint.port, order.timeout_ms), (0, 20_000, 900));
    assert_eq!((order.measurement.as_str(), order.field.as_str()), ("temperature", "value"));
    assert_eq!(order.tags, [TagSelection { tag: "room".into(), values: vec!["r1".into(), "r2".into()] }]);
    assert_eq!(order.group_by, ["room".into()]);
    assert_eq!(order.to_ns - order.from_ns, 86_400_000_000_000);
}

#[test]
fn what_is_not_allowed_is_refused_with_its_code() {
    let two = r#"},{"id":"b","source":"edison","measurement":"light","field":"x","from":"2027-01-14T00:00:00Z","to":"2027-01-15T00:00:00Z"}]"#;
    let digest = "ab".repeat(32);
    let (other, broker) = ("ac".repeat(32), "cd".repeat(32));
    let cases: Vec<(Vec<(&str, &str)>, Code)> = vec![
        (vec![("node-1", "node-2")], AUDIENCE_WRONG),
        (vec![("0707", "0708")], EPOCH_WRONG),
        (vec![("pollution.example", "other.example")], ISSUER_MISMATCH),
        (vec![("08:00:00Z", "08:00:31Z")], ISSUED_IN_FUTURE),
        (vec![("08:00:00Z", "07:00:00Z"), ("08:10:00Z", "08:00:00Z")], EXPIRED),
        (vec![("08:10:00Z", "08:10:01Z")], WRAPPER_LIFE_ABOVE_POLICY),
        (vec![("\"priority\":5", "\"priority\":7")], PRIORITY_ABOVE_POLICY),
        (vec![("\"memory_mib\":64", "\"memory_mib\":129")], MEMORY_ABOVE_POLICY),
        (vec![("\"memory_mib\":64", "\"memory_mib\":101")], TASK_ABOVE_NODE),
        (vec![("\"memory_mib\":64", "\"memory_mib\":31")], MEMORY_BELOW_IMAGE),
        (vec![("30000", "60001")], TIMEOUT_ABOVE_POLICY),
        (vec![("stats@", "window@")], IMAGE_NOT_ALLOWED),
        (vec![(&digest, &other)], IMAGE_UNKNOWN),
        (vec![(&digest, &broker)], IMAGE_UNKNOWN), // a name does not stand for another image
        (vec![("stats@", "drb@")], IMAGE_NOT_ALLOWED), // allowed, but only one build of it
        (vec![("stats@", "drb@"), (&digest, &broker)], IMAGE_ROLE_WRONG),
        (vec![("}]", two)], TOO_MANY_OPERATIONS),
        (vec![("\"edison\"", "\"secret\"")], SOURCE_NOT_ALLOWED),
        (vec![("\"edison\"", "\"gone\"")], SOURCE_UNKNOWN),
        (vec![("\"temperature\"", "\"noise\"")], MEASUREMENT_NOT_ALLOWED),
        (vec![("\"value\"", "\"raw\"")], FIELD_NOT_ALLOWED),
        (vec![("2027-01-14T00:00:00Z", "2027-01-13T23:59:59Z")], TIME_RANGE_ABOVE_POLICY),
        (vec![("\"ephemeral\"}", "\"ephemeral\"},\"result\":{\"sinks\":[\"mail\"]}")], SINK_NOT_ALLOWED),
    ];
    for (change, code) in cases {
        assert_eq!(outcome(&change, &policy(), NOW_US), Err(code), "{change:?}");
    }
    assert_eq!(outcome(&[], &Policy::default(), NOW_US), Err(NO_POLICY));
}

#[test]
fn what_lies_just_within_is_taken() {
    let changes: [&[(&str, &str)]; 6] = [
        &[("08:00:00Z", "08:00:30Z")],
        &[("\"priority\":5", "\"priority\":6")],
        &[("\"memory_mib\":64", "\"memory_mib\":100")],
        &[("\"memory_mib\":64", "\"memory_mib\":32")],
        &[("30000", "60000")],
        &[("\"temperature\"", "\"light\""), ("\"value\"", "\"anything\"")],
    ];
    for change in changes {
        assert!(outcome(change, &policy(), NOW_US).is_ok(), "{change:?}");
    }
    let end_us = NOW_US + 600_000_000;
    assert!(outcome(&[], &policy(), end_us - 1).is_ok());
    assert_eq!(outcome(&[], &policy(), end_us), Err(EXPIRED), "the skew does not lengthen a life");
}

#[test]
fn an_image_below_its_floor_is_refused_by_whatever_rule_it_is_named() {
    let with = |digest, floor: &str| {
        let mut policy = policy();
        policy.images.push(ImageRule { name: "stats".into(), digest, floor: Some(floor.parse().unwrap()) });
        policy
    };
    for floor in ["0.0.1", "1.2.2", VERSION] {
        assert!(outcome(&[], &with(None, floor), NOW_US).is_ok(), "{floor}");
    }
    let refused = |policy: &Policy| {
        let standing = Standing { active: 0, waiting: 0 };
        check(&wrapper(&[]), "pollution.example", policy, &node(), standing, NOW_US).unwrap_err()
    };
    for floor in ["1.2.4", "1.10.0", "2.0.0"] {
        // the rule without a floor, and one for this very build, do not open what the floor closes
        let mut policy = with(None, floor);
        policy.images.push(ImageRule { name: "stats".into(), digest: Some(STATS), floor: None });
        let refusal = refused(&policy);
        assert_eq!(refusal.code, IMAGE_BELOW_FLOOR, "{floor}");
        assert!(refusal.message.contains(VERSION) && refusal.message.contains(floor), "{refusal}");
        assert!(!policy.allows_image("stats", &STATS, VERSION.parse().unwrap()));
    }
    // of two floors the higher one holds, and another image's is nothing to this one
    let mut policy = with(None, "1.0.0");
    policy.images.push(ImageRule {
        name: "stats".into(),
        digest: None,
        floor: Some("1.3.0".parse().unwrap()),
    });
    assert_eq!(refused(&policy).code, IMAGE_BELOW_FLOOR);
    policy.images.truncate(3);
    policy.images.push(ImageRule { name: "drb".into(), digest: None, floor: Some("9.0.0".parse().unwrap()) });
    assert!(outcome(&[], &policy, NOW_US).is_ok());
}

#[test]
fn room_is_looked_at_last() {
    let refused = |standing| check(&wrapper(&[]), "pollution.example", &policy(), &node(), standing, NOW_US);
    let code = |standing| refused(standing).map_err(|refusal| refusal.code);
    assert_eq!(code(Standing { active: 3, waiting: 0 }), Err(TOO_MANY_TASKS));
    assert_eq!(code(Standing { active: 2, waiting: 10 }), Err(QUEUE_FULL));
    assert_eq!(code(Standing { active: 2, waiting: 9 }), Ok(()));
}

/// The usual wrapper as a persistent one.
fn persistent(every_ms: u64, until: &str) -> Wrapper {
    let lifetime = format!(r#"{{"persistent":{{"every_ms":{every_ms},"until":"{until}"}}}}"#);
    wrapper(&[("\"ephemeral\"", &lifetime)])
}

#[test]
fn a_persistent_task_has_periods_within_its_policy_and_its_wrappers_life() {
    let standing = Standing { active: 0, waiting: 0 };
    let admitted = |every_ms, until, policy: &Policy| {
        let wrapper = persistent(every_ms, until);
        admit(&wrapper, "pollution.example", policy, &node(), standing, RECEIVED)
            .map(|spec| spec.schedule.unwrap())
            .map_err(|refusal| refusal.code)
    };
    // The operation reads the day before the wrapper is signed; the wrapper expires ten minutes after that.
    let hours_8 = 8 * 3_600_000;
    let schedule = admitted(hours_8, "2027-01-15T08:10:00Z", &policy()).unwrap();
    assert_eq!((schedule.count(), schedule.every_us), (2, hours_8 * 1000));
    assert_eq!(schedule.first_due_us, NOW_US - 8 * 3_600_000_000);
    assert_eq!((schedule.missed, schedule.state_limit), (fades_api::task::Missed::Skip, 1000));
    let of_policy = |periods, state_bytes| Policy { periods, state_bytes, ..policy() };
    assert_eq!(
        admitted(hours_8, "2027-01-15T08:10:00Z", &of_policy(2, u64::MAX)).unwrap().state_limit,
        256 << 10
    );
    assert_eq!(admitted(hours_8, "2027-01-15T08:10:00Z", &of_policy(1, 0)), Err(PERIODS_ABOVE_POLICY));
    assert_eq!(admitted(hours_8, "2027-01-15T08:10:00Z", &of_policy(0, 9)), Err(PERSISTENT_NOT_ALLOWED));
    assert_eq!(admitted(hours_8, "2027-01-15T08:10:01Z", &policy()), Err(PERIODS_WRONG), "beyond its life");
    assert_eq!(admitted(hours_8, "2027-01-14T23:59:59Z", &policy()), Err(PERIODS_WRONG), "none");
    assert_eq!(admitted(hours_8, "2027-01-15T00:00:00Z", &policy()).unwrap().count(), 1);
    let many = of_policy(u32::MAX, 0);
    assert_eq!(admitted(1000, "2027-01-15T08:10:00Z", &many).unwrap().count(), 29_401);
}

#[test]
fn a_stored_task_is_planned_again_without_being_judged() {
    let late = Received { unix_us: NOW_US * 2, mono_us: None, verify_us: 0 };
    assert_eq!(plan(&wrapper(&[]), ALLOWED, &node(), late).unwrap().terms, ALLOWED.result);
    let mut node = node();
    assert!(!plan(&wrapper(&[]), ALLOWED, &node, late).unwrap().together);
    node.images.get_mut(&STATS).unwrap().together = true;
    assert!(plan(&wrapper(&[]), ALLOWED, &node, late).unwrap().together, "as its image says");
    node.sources.clear();
    assert_eq!(plan(&wrapper(&[]), ALLOWED, &node, late).unwrap_err().code, SOURCE_UNKNOWN);
}

#[test]
fn issuers_submit_at_their_rate() {
    let mut rates = Rates::default();
    let policy = policy();
    let code = |refused: Result<(), Refusal>| refused.map_err(|refusal| refusal.code);
    assert_eq!(rates.take("a", &policy, 0), Ok(()));
    assert_eq!(rates.take("a", &policy, 0), Ok(()));
    assert_eq!(code(rates.take("a", &policy, 999_999)), Err(RATE_ABOVE_POLICY));
    assert_eq!(rates.take("b", &policy, 999_999), Ok(()), "each for itself");
    assert_eq!(rates.take("a", &policy, 1_000_000), Ok(()));
    let none = Policy { per_minute: 0, ..policy };
    assert_eq!(code(rates.take("a", &none, u64::MAX)), Err(RATE_ABOVE_POLICY));
}
