//! `POST /v1/tasks`: one straight line of early returns from bytes to a stored task.

use fades_api::codes;
use fades_api::http::Problem;
use fades_api::task::{TaskId, Wrapper};
use fades_core::admit::{self, Allowed, NodeFacts, Received, Refusal};
use fades_core::periods::Schedule;
use fades_core::policy::Policy;
use fades_core::task::TaskSpec;
use fades_core::terms::Terms;
use fades_envelope::{Digest, Purpose, Verified};
use ulid::Ulid;

use super::{Evidence, envelope_code};
use crate::node::Node;
use crate::reply::store_problem;
use crate::serve::Peer;
use crate::store::record::{PeriodsRecord, StoredState, TaskRecord, TermsRecord};
use crate::store::{Acceptance, Accepted, CLOCK_TOLERANCE_US, Shortage};
use crate::trust::Trust;

/// A task id is remembered for this long after its wrapper has expired, µs.
const REMEMBER_US: i64 = admit::SKEW_US;
const _: () = assert!(REMEMBER_US >= CLOCK_TOLERANCE_US);

/// Takes in an envelope; the task's id and state, which is on disk.
///
/// # Errors
/// The problem to answer with; counted and kept already.
pub async fn submit(node: &Node, peer: Peer, body: &[u8]) -> Result<(TaskId, StoredState), Box<Problem>> {
    let mut evidence = Evidence::default();
    let judged = judge(node, peer, body, &mut evidence).await;
    if let Err(problem) = &judged {
        node.refusals.note(&node.store, &node.clock, peer, &evidence, problem.code, &problem.detail);
    }
    judged
}

async fn judge(
    node: &Node,
    peer: Peer,
    body: &[u8],
    evidence: &mut Evidence,
) -> Result<(TaskId, StoredState), Box<Problem>> {
    let received_mono = node.clock.mono_us();
    node.limits.address(peer, received_mono)?;
    let envelope = fades_envelope::parse(body).map_err(|e| Problem::new(envelope_code(&e), e.to_string()))?;
    evidence.key = Some(envelope.key_id());
    let trust = node.trust.get();
    let key = trust.keys.get(&envelope.key_id());
    node.limits.key(peer, envelope.key_id(), key.is_some(), received_mono)?;
    let now_us = judged_time(node)?;
    let Some(key) = key else {
        return Err(
            Problem::new(codes::KEY_UNKNOWN, format!("no issuer has key {}", envelope.key_id())).into()
        );
    };
    if let Some(code) = key.refusal(now_us) {
        return Err(Problem::new(code, format!("key {} of issuer {}", envelope.key_id(), key.issuer)).into());
    }
    let verified = envelope
        .verify(&key.public, Purpose::Task)
        .map_err(|e| Problem::new(envelope_code(&e), e.to_string()))?;
    let verify_us = node.clock.mono_us().saturating_sub(received_mono);

    let wrapper = Wrapper::from_json(verified.payload()).map_err(Problem::from)?;
    let id = wrapper.credentials.task_id;
    evidence.task = Some(id.to_string());
    let policy = policy_of(node, &trust, &key.issuer);
    let facts = node.facts();
    let standing = node.seats.standing(&key.issuer);
    let unix_us = u64::try_from(now_us).unwrap_or(0);
    let verdict = admit::check(&wrapper, &key.issuer, &policy, &facts, standing, unix_us);
    if let Err(refusal) = &verdict
        && is_about_credentials(refusal)
    {
        return Err(problem(refusal).into());
    }
    // A repetition is answered before policy and room are looked at: it asks for nothing new.
    let digest = verified.payload_digest();
    if let Some(known) = node.store.replayed(id.0).map_err(|e| store_problem(&e))? {
        return repeated(node, id, Digest(known) == digest);
    }
    verdict.map_err(|refusal| problem(&refusal))?;
    let received = Received { unix_us, mono_us: Some(received_mono), verify_us };
    let spec = planned(node, &trust, &wrapper, &policy, &facts, received)?;
    if node.runtime.status().broker_state == "absent" {
        return Err(
            Problem::new(codes::BROKER_IMAGE_MISSING, "this node has no image for its broker yet").into()
        );
    }
    if let Some(shortage) = node.store.lacks_room() {
        return Err(no_room(node, shortage).into());
    }
    node.take_rate(&key.issuer, &policy).map_err(|refusal| problem(&refusal).retry_after(1))?;
    let Some(seat) = node.seats.take(&key.issuer, policy.tasks, facts.waiting_limit) else {
        let detail = format!("issuer {} or the node has no room for another task", key.issuer);
        return Err(Problem::new(codes::TOO_MANY_TASKS, detail).retry_after(1).into());
    };
    let acceptance = Acceptance {
        id: Ulid::from_bytes(id.to_bytes()),
        payload_digest: digest.0,
        envelope: body.to_vec(),
        remember_until_us: wrapper.credentials.expires_at.as_microsecond().saturating_add(REMEMBER_US),
        record: TaskRecord {
            result_limit: spec.terms.bytes,
            terms: spec.terms.into(),
            verify_us,
            periods: spec.schedule.as_ref().map(periods),
            ..record(&wrapper, &verified, now_us)
        },
        most_open: facts.waiting_limit.into(),
    };
    match node.store.accept(acceptance).await.map_err(|e| store_problem(&e))? {
        Accepted::New(record) => {
            seat.keep();
            node.metrics.tasks_accepted.add(1);
            node.raise_clock(now_us);
            node.runtime.accepted(spec);
            Ok((id, record.state))
        }
        Accepted::Known(record) => Ok((id, record.state)),
        Accepted::KnownGone => repeated(node, id, true),
        Accepted::Conflict => repeated(node, id, false),
        Accepted::ClockBehind { high_us } => Err(clock_behind(now_us, high_us).into()),
        Accepted::TooManyRemembered => {
            let detail = "no more task ids can be remembered until older wrappers have expired";
            Err(Problem::new(codes::RECORDS_FULL, detail).retry_after(60).into())
        }
        Accepted::Full => {
            Err(Problem::new(codes::QUEUE_FULL, "the queue filled up meanwhile").retry_after(1).into())
        }
    }
}

/// The disk is nearly full.
fn no_room(node: &Node, shortage: Shortage) -> Problem {
    let kept = node.config.keep.free_mib;
    let detail = match shortage {
        Shortage::Room(_) => format!("{shortage}, and {kept} are kept for tasks that are under way"),
        Shortage::ReadOnly => shortage.to_string(),
    };
    Problem::new(codes::STORE_WRITE_FAILED, detail).retry_after(60)
}

/// What an issuer may ask for here.
pub(super) fn policy_of(node: &Node, trust: &Trust, issuer: &str) -> Policy {
    let mut policy = trust.issuers.get(issuer).map(|issuer| issuer.policy.clone()).unwrap_or_default();
    // Used ids are remembered for as long as wrappers may live, so the node bounds that whatever a policy says.
    policy.life_s = policy.life_s.min(node.config.limits.wrapper_life_s.into());
    policy
}

/// Finds what a wrapper names, and holds its parameters against what the function takes.
pub(super) fn planned(
    node: &Node,
    trust: &Trust,
    wrapper: &Wrapper,
    policy: &Policy,
    facts: &NodeFacts,
    received: Received,
) -> Result<TaskSpec, Box<Problem>> {
    let bytes = policy.result.bytes.min(node.config.limits.result_bytes);
    let allowed = Allowed { result: Terms { bytes, ..policy.result }, state_bytes: policy.state_bytes };
    let spec = admit::plan(wrapper, allowed, facts, received).map_err(|refusal| problem(&refusal))?;
    if let Some(parameters) = trust.parameters.get(&wrapper.dmf.image.digest) {
        parameters.admit(&wrapper.dmf.parameters).map_err(Problem::from)?;
    }
    Ok(spec)
}

/// The time by which a wrapper is judged: never earlier than one by which another was, since replay state is let go
/// by that clock.
pub(super) fn judged_time(node: &Node) -> Result<i64, Box<Problem>> {
    let (now, high) = (node.clock.unix_us(), node.clock_high());
    if now.saturating_add(CLOCK_TOLERANCE_US) < high {
        return Err(clock_behind(now, high).into());
    }
    Ok(now.max(high))
}

fn clock_behind(now_us: i64, high_us: i64) -> Problem {
    let (now, high) = (crate::clock::timestamp(now_us), crate::clock::timestamp(high_us));
    Problem::new(codes::CLOCK_WENT_BACK, format!("the clock shows {now}, tasks were judged at {high} before"))
}

fn is_about_credentials(refusal: &Refusal) -> bool {
    (1200..1300).contains(&refusal.code.number())
}

pub(super) fn problem(refusal: &Refusal) -> Problem {
    Problem::new(refusal.code, refusal.message.clone())
}

/// The answer for an id that is known: its state for the same payload, a conflict for any other.
fn repeated(node: &Node, id: TaskId, same: bool) -> Result<(TaskId, StoredState), Box<Problem>> {
    if !same {
        let detail = format!("task {id} exists with another payload");
        return Err(Problem::new(codes::TASK_ID_REUSED, detail).into());
    }
    match node.store.task(id.0).map_err(|e| store_problem(&e))? {
        Some(record) => Ok((id, record.state)),
        None => {
            Err(Problem::new(codes::RESULT_GONE, format!("task {id} has run, its record is no longer kept"))
                .into())
        }
    }
}

/// The record of a wrapper that passed, as it will first stand.
fn record(wrapper: &Wrapper, verified: &Verified<'_>, now_us: i64) -> TaskRecord {
    let credentials = &wrapper.credentials;
    TaskRecord {
        issuer: credentials.issuer.as_str().to_owned(),
        key_id: verified.key_id().to_string(),
        payload_digest: verified.payload_digest().to_string(),
        epoch: credentials.node_epoch.to_string(),
        image: wrapper.dmf.image.to_string(),
        sources: wrapper.drb.operations.iter().map(|op| op.source.as_str().to_owned()).collect(),
        result_limit: 0,
        terms: TermsRecord::default(),
        priority: credentials.priority,
        state: StoredState::Accepted,
        attempts: 0,
        accepted_us: now_us,
        changed_us: now_us,
        started_us: None,
        ended_us: None,
        expires_us: credentials.expires_at.as_microsecond(),
        verify_us: 0,
        code: None,
        detail: String::new(),
        periods: None,
    }
}

/// The same of its periods.
const fn periods(schedule: &Schedule) -> PeriodsRecord {
    PeriodsRecord {
        every_us: schedule.every_us,
        first_due_us: schedule.first_due_us,
        last: schedule.last,
        state_limit: schedule.state_limit,
        next: 0,
        running: None,
        done: 0,
        failed: 0,
        missed: 0,
        last_done: None,
        kept: 0,
        state: None,
    }
}
