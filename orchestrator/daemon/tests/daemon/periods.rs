//! Persistent tasks: their periods, their function's state, and what a restart leaves of both.

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_core::Role;
use fades_core::backend::ExitCause;
use fades_daemon::clock::Clock;
use fades_daemon::store::record::StoredPeriodState;
use fades_envelope::{Digest, verify_receipt};
use fades_testkit::{FunctionAct, Script};
use fades_wire::failure::{Code, Failure};
use redb::{ReadableDatabase, ReadableTable};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ISSUER, Panics, TestNode, eventually, id, key, policy};

/// More than one part of a state takes.
const LARGE: usize = 70_000;

fn counting() -> Script {
    Script::default().functions(vec![FunctionAct::Counts(LARGE); 50])
}

/// Submits a persistent task whose period 0 was due so many seconds ago, one every thousand seconds.
async fn submit(node: &TestNode, number: u32, past_s: i64, until_s: i64, missed: &str) {
    let envelope = node.signed(&id(number), |wrapper| {
        wrapper["credentials"]["expires_at"] = json!(node.in_seconds(3_500));
        let operation = &mut wrapper["drb"]["operations"][0];
        operation["from"] = json!(node.in_seconds(-past_s - 500));
        operation["to"] = json!(node.in_seconds(-past_s));
        let until = node.in_seconds(until_s);
        wrapper["dmf"]["lifetime"] =
            json!({ "persistent": { "every_ms": 1_000_000, "until": until, "missed": missed } });
    });
    let accepted = node.submit(&envelope).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
}

async fn get(node: &TestNode, number: u32, rest: &str) -> Value {
    node.local("GET", &format!("/v1/tasks/{}{rest}", id(number)), b"").await.json()
}

/// Waits until so many periods are over; the task's view.
async fn over(node: &TestNode, number: u32, periods: u64) -> Value {
    let mut view = Value::Null;
    eventually("over", async || {
        view = get(node, number, "").await;
        let of = |what: &str| view["periods"][what].as_u64().unwrap();
        of("done") + of("failed") + of("missed") == periods
    })
    .await;
    view
}

/// What the list says, oldest first: `done 0`, `missed 1-3`.
async fn list(node: &TestNode, number: u32) -> Vec<String> {
    let list = get(node, number, "/periods").await;
    let words = list["periods"].as_array().unwrap().iter().rev().map(|row| {
        let through = row["through"].as_u64().map(|through| format!("-{through}")).unwrap_or_default();
        format!("{} {}{through}", row["state"].as_str().unwrap(), row["number"])
    });
    words.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_past_is_caught_up_with_and_each_period_goes_on_from_the_last() {
    let node = TestNode::with(counting(), |_| {}).await;
    submit(&node, 1, 4_500, 30, "catch_up").await;
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "succeeded", "{view}");
    assert_eq!(view["periods"], json!({ "done": 5, "failed": 0, "missed": 0 }));
    assert_eq!(list(&node, 1).await, ["done 0", "done 1", "done 2", "done 3", "done 4"]);
    let mut before = None;
    for number in 0..5u64 {
        let result = get(&node, 1, &format!("/periods/{number}/result")).await;
        assert_eq!(result["result"]["seen"], number + 1, "{result}");
        let decode = |key: &str| Base64UrlUnpadded::decode_vec(result[key].as_str().unwrap()).unwrap();
        let receipt = verify_receipt(&decode("receipt"), &key(1).public(), &decode("result_bytes")).unwrap();
        let period = receipt.period.unwrap();
        assert_eq!((period.number, period.state_before), (number, before));
        let mut state = (number + 1).to_le_bytes().to_vec();
        state.resize(LARGE, 7);
        assert_eq!(period.state_after, Some(Digest::of(&state)));
        before = period.state_after;
        // What is shown is what is signed, and the window is the one that moved.
        let shown = &result["period"];
        assert_eq!(shown["windows"][0]["to"], period.windows[0].to.to_string());
        assert_eq!(shown["due"], period.due.to_string());
        assert_eq!(shown["state_after"], period.state_after.unwrap().to_string());
        let length = period.windows[0].from.duration_until(period.windows[0].to);
        assert_eq!(length.as_secs(), 500);
    }
    assert_eq!(get(&node, 1, "/result").await["period"]["number"], 4, "the latest");
    for (rest, code) in [("/periods/5/result", "E5015"), ("/periods/x/result", "E5015")] {
        assert_eq!(get(&node, 1, rest).await["code"], code);
    }
    let page = get(&node, 1, "/periods?cursor=2").await;
    assert_eq!(page["periods"][0]["number"], 1, "{page}");
    assert_eq!(get(&node, 1, "/periods?cursor=x").await["code"], "E1012");
    assert_eq!(node.node.metrics.periods_ended.get("done"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_past_only_the_latest_runs_unless_the_wrapper_says_otherwise() {
    let node = TestNode::with(counting(), |_| {}).await;
    submit(&node, 1, 4_500, 1_000, "skip").await;
    let view = over(&node, 1, 5).await;
    assert_eq!(view["state"], "waiting", "{view}");
    assert_eq!(list(&node, 1).await, ["missed 0-3", "done 4"]);
    assert_eq!((&view["periods"]["missed"], &view["periods"]["state"]["bytes"]), (&4.into(), &LARGE.into()));
    let due: jiff::Timestamp = view["periods"]["next_due"].as_str().unwrap().parse().unwrap();
    let in_s = due.as_microsecond() - node.node.clock.unix_us();
    assert!((0..500_000_000).contains(&in_s), "{due}");
    assert_eq!(get(&node, 1, "/periods/2/result").await["code"], "E5016", "missed with others");
    let events = node.node.store.events_after(0, None, 100).unwrap().events;
    let news: Vec<_> = events.iter().filter_map(|(_, event)| event.period).collect();
    let missed = news.iter().find(|news| news.state == StoredPeriodState::Missed).unwrap();
    assert_eq!((missed.number, missed.through), (0, Some(3)));
    // It holds no guest and no place while it waits, and is no queued task.
    eventually("alone", async || node.backend.running() == 1).await;
    let usage = node.get("/v1/node").await.json()["usage"].clone();
    assert_eq!((&usage["running"], &usage["queued"]), (&0.into(), &0.into()));
    // Cancelled while it waits, it ends, and what it gave stays.
    assert_eq!(node.local("DELETE", &format!("/v1/tasks/{}", id(1)), b"").await.status, 202);
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "cancelled");
    assert!(view["periods"].get("next_due").is_none() && view["periods"].get("state").is_none(), "{view}");
    assert_eq!(get(&node, 1, "/result").await["result"]["seen"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_periods_goes_on_with_the_state() {
    let node = TestNode::with(counting(), |_| {}).await;
    submit(&node, 1, 10, 1_500, "skip").await;
    let view = over(&node, 1, 1).await;
    assert_eq!(view["state"], "waiting");
    let dir = node.stop().await;
    let clock = Clock::default();
    clock.shift_us(1_000_000_000);
    let node = TestNode::start(dir, counting(), clock, |_| {}).await;
    let view = node.ended(&id(1)).await;
    assert_eq!((&view["state"], &view["periods"]["done"]), (&"succeeded".into(), &2.into()), "{view}");
    assert_eq!(get(&node, 1, "/result").await["result"]["seen"], 2);
    node.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_within_a_period_begins_it_again_with_the_old_state() {
    let acts = [FunctionAct::Counts(8), FunctionAct::Counts(8), FunctionAct::Loops];
    let mut node = TestNode::with(Script::default().functions(acts), |_| {}).await;
    submit(&node, 1, 3_500, 30, "catch_up").await;
    over(&node, 1, 2).await;
    eventually("under way", async || node.backend.started(Role::Function) == 3).await;
    for (attempt, shift_us) in [(1, -500_000_000), (2, 0)] {
        let view = get(&node, 1, "").await;
        assert_eq!((&view["periods"]["running"], &view["attempts"]), (&2.into(), &attempt.into()), "{view}");
        let dir = node.stop().await;
        // However the clock goes meanwhile.
        let clock = Clock::default();
        clock.shift_us(shift_us);
        let script = match attempt {
            1 => Script::default().functions([FunctionAct::Loops]),
            _ => counting(),
        };
        node = TestNode::start(dir, script, clock, |_| {}).await;
        eventually("under way", async || node.backend.started(Role::Function) >= 1).await;
    }
    let view = node.ended(&id(1)).await;
    assert_eq!((&view["state"], &view["periods"]["done"]), (&"succeeded".into(), &4.into()), "{view}");
    for number in 0..4 {
        let result = get(&node, 1, &format!("/periods/{number}/result")).await;
        assert_eq!(result["result"]["seen"], number + 1, "{result}");
    }
    // Each was published exactly once.
    let events = node.node.store.events_after(0, None, 1000).unwrap().events;
    let done = events.iter().filter_map(|(_, event)| event.period);
    let done: Vec<u64> =
        done.filter(|news| news.state == StoredPeriodState::Done).map(|news| news.number).collect();
    assert_eq!(done, [0, 1, 2, 3]);
}

/// Changes one byte of the only state in a store that nobody has open.
fn damage(dir: &TempDir) {
    let states = redb::TableDefinition::<u128, &[u8]>::new("states");
    let db = redb::Database::open(dir.path().join("store.redb")).unwrap();
    let (task, mut bytes) = {
        let table = db.begin_read().unwrap().open_table(states).unwrap();
        let (task, bytes) = table.iter().unwrap().next().unwrap().unwrap();
        (task.value(), bytes.value().to_vec())
    };
    bytes[3] ^= 1;
    let txn = db.begin_write().unwrap();
    txn.open_table(states).unwrap().insert(task, bytes.as_slice()).unwrap();
    txn.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_fails_its_periods_and_is_never_begun_without() {
    let node = TestNode::with(counting(), |_| {}).await;
    submit(&node, 1, 10, 2_500, "skip").await;
    over(&node, 1, 1).await;
    let dir = node.stop().await;
    damage(&dir);
    let clock = Clock::default();
    clock.shift_us(1_000_000_000);
    let node = TestNode::start(dir, counting(), clock, |_| {}).await;
    let view = over(&node, 1, 2).await;
    assert_eq!(view["state"], "waiting", "the task goes on: {view}");
    assert_eq!(list(&node, 1).await, ["done 0", "failed 1"]);
    let row = &get(&node, 1, "/periods").await["periods"][0];
    assert_eq!(row["code"], "E7008", "{row}");
    let dir = node.stop().await;
    // Mended, it goes on from where it was.
    damage(&dir);
    let clock = Clock::default();
    clock.shift_us(2_000_000_000);
    let node = TestNode::start(dir, counting(), clock, |_| {}).await;
    node.ended(&id(1)).await;
    assert_eq!(list(&node, 1).await, ["done 0", "failed 1", "done 2"]);
    assert_eq!(get(&node, 1, "/result").await["result"]["seen"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn periods_that_fail_leave_the_state_and_the_next_one_has_its_turn() {
    let panic = ExitCause::Panicked { message: "boom".into(), location: "src/lib.rs:7".into() };
    let acts = [
        FunctionAct::Counts(8),
        FunctionAct::Dies(panic),
        FunctionAct::Fails(Failure::new(Code::State, "the state kept is of version 1")),
        FunctionAct::Counts(262_145),
        FunctionAct::Reduces(r#"{"seen":"nothing"}"#.into()),
        FunctionAct::Counts(8),
    ];
    let node = TestNode::with(Script::default().functions(acts), |_| {}).await;
    submit(&node, 1, 5_500, 30, "catch_up").await;
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "succeeded", "{view}");
    let told = ["done 0", "failed 1", "failed 2", "failed 3", "done 4", "done 5"];
    assert_eq!(list(&node, 1).await, told);
    let rows = get(&node, 1, "/periods").await;
    let codes: Vec<_> = (2..5).rev().map(|at| rows["periods"][at]["code"].clone()).collect();
    assert_eq!(codes, ["E3000", "E3032", "E5014"]);
    let refused = get(&node, 1, "/periods/1/result").await;
    assert!(refused["code"] == "E5016" && refused["detail"].as_str().unwrap().contains("boom"), "{refused}");
    // A period whose function keeps nothing leaves what there was.
    assert_eq!(get(&node, 1, "/periods/4/result").await["result"]["seen"], "nothing");
    assert_eq!(get(&node, 1, "/result").await["result"]["seen"], 2);

    // Where all fail the task does.
    let node = TestNode::with(Script::default().functions(vec![FunctionAct::Lies; 9]), |_| {}).await;
    node.brittle.panics.lock().unwrap().push(Panics::Starting);
    submit(&node, 1, 1_500, 30, "catch_up").await;
    let view = node.ended(&id(1)).await;
    assert_eq!((&view["state"], &view["code"]), (&"failed".into(), &"E5017".into()), "{view}");
    assert_eq!(get(&node, 1, "/result").await["code"], "E5006");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_periods_are_kept() {
    let node = TestNode::with(counting(), |config| config.keep.periods = 2).await;
    submit(&node, 1, 5_500, 30, "catch_up").await;
    node.ended(&id(1)).await;
    assert_eq!(list(&node, 1).await, ["done 4", "done 5"]);
    assert_eq!(get(&node, 1, "/periods/0/result").await["code"], "E5015");
    assert_eq!(get(&node, 1, "/periods/5/result").await["result"]["seen"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_nothing_of_the_kind_is_refused() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Counts(8)]), |_| {}).await;
    let mut less = policy();
    less.as_object_mut().unwrap().remove("periods");
    let put = node.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &json!({ "policy": less })).await;
    assert_eq!(put.status, 200, "a policy of an older node reads: {put:?}");
    let lifetime = json!({ "persistent": { "every_ms": 1000, "until": "2026-11-01T12:00:01Z" } });
    let envelope = node.signed(&id(1), |wrapper| wrapper["dmf"]["lifetime"] = lifetime.clone());
    let refused = node.submit(&envelope).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "E1419"));
    // And a state beyond the policy's fails its period.
    let mut small = policy();
    small["state_bytes"] = json!(7);
    node.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &json!({ "policy": small })).await;
    submit(&node, 2, 10, 30, "skip").await;
    let view = node.ended(&id(2)).await;
    assert_eq!(view["code"], "E5017", "{view}");
    assert_eq!(get(&node, 2, "/periods").await["periods"][0]["code"], "E5014");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_period_is_judged_by_what_holds_then() {
    let mut dir = {
        let node = TestNode::with(counting(), |_| {}).await;
        submit(&node, 1, 10, 2_995, "skip").await;
        over(&node, 1, 1).await;
        // A source at another place, and a policy with less in it.
        let source = json!({ "kind": "influxdb1", "host": "127.0.0.1", "port": 8087, "database": "other" });
        assert_eq!(node.admin("PUT", "/v1/admin/sources/edison", &source).await.status, 200);
        let mut less = policy();
        less["sources"] = json!({});
        let path = format!("/v1/admin/issuers/{ISSUER}");
        assert_eq!(node.admin("PUT", &path, &json!({ "policy": less })).await.status, 200);
        node.stop().await
    };
    for (period, told) in [(1, "failed 1"), (2, "done 2"), (3, "failed 3")] {
        let clock = Clock::default();
        clock.shift_us(period * 1_000_000_000 - 100_000_000);
        let node = TestNode::start(dir, counting(), clock, |_| {}).await;
        if period == 2 {
            let path = format!("/v1/admin/issuers/{ISSUER}");
            assert_eq!(node.admin("PUT", &path, &json!({ "policy": policy() })).await.status, 200);
        } else if period == 3 {
            let path = format!("/v1/admin/issuers/{ISSUER}");
            assert_eq!(node.local("DELETE", &path, b"").await.status, 200);
        }
        assert_eq!(get(&node, 1, "").await["state"], "waiting");
        let later = Clock::default();
        later.shift_us(period * 1_000_000_000);
        dir = node.stop().await;
        let node = TestNode::start(dir, counting(), later, |_| {}).await;
        over(&node, 1, u64::try_from(period).unwrap() + 1).await;
        assert_eq!(list(&node, 1).await.last().unwrap(), told);
        let row = &get(&node, 1, "/periods").await["periods"][0];
        let code = [None, Some("E1401"), None, Some("E1205")][usize::try_from(period).unwrap()];
        assert_eq!(row["code"].as_str(), code, "{row}");
        dir = node.stop().await;
    }
}
