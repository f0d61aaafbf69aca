//! `POST /v1/admin/plans`: what a wrapper would read and take, and whether it would be taken. Decides nothing and stores nothing.

use fades_api::codes;
use fades_api::http::{
    ExpectedTime, PlannedMemory, PlannedOperation, PlannedRead, Problem, TaskPlan, Verdict,
};
use fades_api::task::{Operation, Wrapper};
use fades_core::admit::{self, NodeFacts, Received, plan_operation};
use fades_core::forecast::{Past, forecast};
use fades_core::periods::Schedule;
use fades_wire::batch::{MAX_POINTS_PER_BATCH, POINT_LEN};
use fades_wire::data::MAX_SERIES;
use futures_util::{StreamExt, stream};
use tokio::time::{Duration, Instant, timeout_at};

use super::submit::{judged_time, planned, policy_of, problem};
use crate::node::Node;
use crate::probe::{Complaint, count};
use crate::reply::Refused;
use crate::store::record::{OutcomeRecord, StoredState, TaskRecord};
use crate::trust::Trust;

/// Operations that are counted at once: sources are asked, not pressed.
const AT_ONCE: usize = 4;
/// How long all of them may take together.
const ALL: Duration = Duration::from_secs(300);
/// Earlier tasks that are looked at, the latest first.
const LOOKED_AT: usize = 1_000;
/// Earlier tasks that an expectation rests on at most.
const RESTS_ON: usize = 100;

/// What a wrapper would do if it came now, signed by whom it names.
///
/// # Errors
/// When the store cannot be read.
pub async fn foresee(node: &Node, wrapper: &Wrapper) -> Result<TaskPlan, Refused> {
    let (trust, facts) = (node.trust.get(), node.facts());
    let verdict = match verdict(node, &trust, &facts, wrapper) {
        Ok(()) => Verdict { accepted: true, code: None, detail: None },
        Err(problem) => Verdict { accepted: false, code: Some(problem.code), detail: Some(problem.detail) },
    };
    let deadline = Instant::now() + ALL;
    let counts = wrapper.drb.operations.iter().enumerate();
    let counts: Vec<_> = counts
        .map(|(at, operation)| planned_operation(node, &trust, &facts, at, operation, deadline))
        .collect();
    let operations: Vec<_> = stream::iter(counts).buffered(AT_ONCE).collect().await;
    let read = operations.iter().filter_map(|operation| operation.read).fold(PlannedRead::default(), sum);
    let past = past(node, wrapper)?;
    let image = facts.images.get(&wrapper.dmf.image.digest);
    Ok(TaskPlan {
        issuer: wrapper.credentials.issuer.clone(),
        image: wrapper.dmf.image.clone(),
        verdict,
        expected: past
            .expected(&read)
            .filter(|_| operations.iter().all(|operation| operation.read.is_some())),
        operations,
        read,
        periods: Schedule::of(wrapper, 0).ok().flatten().map(|schedule| schedule.count()),
        memory: PlannedMemory {
            asked_mib: wrapper.dmf.resources.memory_mib,
            image_mib: image.map(|image| image.minimum_memory_mib),
            node_mib: facts.function_memory_mib,
            heap_peak_bytes: past.heap_peak(),
        },
    })
}

/// As the door would say it of a wrapper that comes now, signed with a key in force, for the first time and not too fast after others.
fn verdict(node: &Node, trust: &Trust, facts: &NodeFacts, wrapper: &Wrapper) -> Result<(), Box<Problem>> {
    let issuer = wrapper.credentials.issuer.as_str();
    let now_us = judged_time(node)?;
    has_key(trust, issuer, now_us)?;
    let unix_us = u64::try_from(now_us).unwrap_or(0);
    let policy = policy_of(node, trust, issuer);
    admit::check(wrapper, issuer, &policy, facts, node.seats.standing(issuer), unix_us)
        .map_err(|refusal| problem(&refusal))?;
    let received = Received { unix_us, mono_us: None, verify_us: 0 };
    planned(node, trust, wrapper, &policy, facts, received)?;
    if node.runtime.status().broker_state == "absent" {
        return Err(
            Problem::new(codes::BROKER_IMAGE_MISSING, "this node has no image for its broker yet").into()
        );
    }
    Ok(())
}

/// Whether the issuer has a key with which it could sign.
fn has_key(trust: &Trust, issuer: &str, now_us: i64) -> Result<(), Box<Problem>> {
    let mut code = codes::KEY_UNKNOWN;
    for key in trust.keys.values().filter(|key| key.issuer == issuer) {
        match key.refusal(now_us) {
            None => return Ok(()),
            Some(refusal) => code = refusal,
        }
    }
    Err(Problem::new(code, format!("issuer {issuer} has no key here that is in force")).into())
}

async fn planned_operation(
    node: &Node,
    trust: &Trust,
    facts: &NodeFacts,
    at: usize,
    operation: &Operation,
    deadline: Instant,
) -> PlannedOperation {
    let counted = async {
        let spec = plan_operation(at, operation, &facts.sources)
            .map_err(|refusal| Complaint { code: refusal.code, detail: refusal.message })?;
        let Some(source) = trust.sources.get(operation.source.as_str()) else {
            return Err(Complaint {
                code: codes::SOURCE_REMOVED,
                detail: "it was removed just now".to_owned(),
            });
        };
        let series = count(source, node.sources.network(), &spec.order).await?;
        if series.len() > MAX_SERIES as usize {
            let detail = format!("{} series are there, {MAX_SERIES} can be read", series.len());
            return Err(Complaint { code: codes::SOURCE_TOO_MANY_SERIES, detail });
        }
        Ok(amount(&series))
    };
    let (read, complaint) = match timeout_at(deadline, counted).await {
        Ok(Ok(read)) => (Some(read), None),
        Ok(Err(complaint)) => (None, Some(complaint)),
        Err(_elapsed) => {
            let detail = format!("the operations were not counted within {} s", ALL.as_secs());
            (None, Some(Complaint { code: codes::SOURCE_SILENT, detail }))
        }
    };
    PlannedOperation {
        id: operation.id.clone(),
        source: operation.source.clone(),
        measurement: operation.measurement.clone(),
        field: operation.field.clone(),
        from: operation.from,
        to: operation.to,
        read,
        code: complaint.as_ref().map(|complaint| complaint.code),
        detail: complaint.map(|complaint| complaint.detail),
    }
}

/// What a broker makes of series with so many points: a chunk holds points of one series and is full but for the last.
fn amount(series: &[u64]) -> PlannedRead {
    let chunk = MAX_POINTS_PER_BATCH as u64;
    let one = |points: &u64| PlannedRead {
        series: 1,
        points: *points,
        bytes: points.saturating_mul(POINT_LEN as u64),
        chunks: points.div_ceil(chunk),
    };
    series.iter().filter(|points| **points > 0).map(one).fold(PlannedRead::default(), sum)
}

fn sum(one: PlannedRead, other: PlannedRead) -> PlannedRead {
    PlannedRead {
        series: one.series.saturating_add(other.series),
        points: one.points.saturating_add(other.points),
        bytes: one.bytes.saturating_add(other.bytes),
        chunks: one.chunks.saturating_add(other.chunks),
    }
}

/// What this node remembers of tasks that succeeded.
struct PastTasks {
    same_image: bool,
    outcomes: Vec<OutcomeRecord>,
}

/// Of the same image where there are any, else of all.
fn past(node: &Node, wrapper: &Wrapper) -> Result<PastTasks, Refused> {
    let image = wrapper.dmf.image.to_string();
    let gave = |record: &TaskRecord| match &record.periods {
        Some(periods) => periods.done > 0,
        None => record.state == StoredState::Succeeded,
    };
    let all = node.store.tasks(None, LOOKED_AT, gave)?;
    let same_image = all.iter().any(|(_, record)| record.image == image);
    let mut outcomes = Vec::new();
    for (id, record) in all.iter().filter(|(_, record)| !same_image || record.image == image) {
        let room = RESTS_ON - outcomes.len();
        if room == 0 {
            break;
        }
        match record.periods {
            // Each of them was a task of its own.
            Some(_) => {
                let periods = node.store.periods(*id, None, room)?;
                outcomes.extend(periods.into_iter().filter_map(|(_, period)| period.outcome));
            }
            None => outcomes.extend(node.store.outcome(*id)?),
        }
    }
    Ok(PastTasks { same_image, outcomes })
}

impl PastTasks {
    fn expected(&self, read: &PlannedRead) -> Option<ExpectedTime> {
        let past: Vec<Past> = self.outcomes.iter().map(one).collect();
        let forecast = forecast(&past, read.points)?;
        Some(ExpectedTime {
            boot_us: forecast.boot_us,
            total_us: forecast.boot_us.saturating_add(forecast.work_us),
            tasks: u32::try_from(past.len()).unwrap_or(u32::MAX),
            same_image: self.same_image,
        })
    }

    fn heap_peak(&self) -> Option<u64> {
        let peaks = self.outcomes.iter().map(|outcome| outcome.heap_peak_bytes).filter(|_| self.same_image);
        peaks.max().filter(|peak| *peak > 0)
    }
}

fn one(outcome: &OutcomeRecord) -> Past {
    let stage = |name: &str| outcome.timings_us.get(name).copied().unwrap_or(0);
    let boot_us = stage("boot");
    Past {
        points: outcome.operations.iter().map(|read| read.points).sum(),
        boot_us,
        work_us: stage("total").saturating_sub(boot_us.saturating_add(stage("queue"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_points_of_one_series() {
        let chunk = MAX_POINTS_PER_BATCH as u64;
        let read = amount(&[1, chunk, chunk + 1, 0]);
        let points = 2 * chunk + 2;
        assert_eq!(read, PlannedRead { series: 3, points, bytes: 16 * points, chunks: 4 });
        assert_eq!(amount(&[]), PlannedRead::default());
    }
}
