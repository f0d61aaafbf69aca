//! The door: what a service's request meets, as `orchestrator/daemon/src/admission/submit.rs` has it, and what the service hears of it.

use fades_core::TaskId;
use fades_core::admit::{self, Received, Refusal, Standing};
use fades_core::task::TaskState;

use crate::books::{allowed, schedule};
use crate::disk::{Job, Room};
use crate::laws;
use crate::mutation::Mutation;
use crate::outside::{Act, Event, Outside};
use crate::services::Wish;
use crate::shell::{Asked, Message, Shell};
use crate::tables::{Accepted, Periods, Record, TOLERANCE_US, name};
use crate::wrappers::policy;

/// What a request is answered with: the task's state, or a code.
pub(crate) type Answer = Result<TaskState, String>;

/// Takes in a wrapper; `None` while it waits to be stored.
pub(crate) fn submit(
    shell: &mut Shell,
    out: &mut Outside,
    wish: &Wish,
    number: usize,
    request: u64,
) -> Option<Answer> {
    let behind = out.wall_us().saturating_add(TOLERANCE_US) < shell.clock_high_us;
    let answer = match judge(shell, out, wish, number, request) {
        Ok(answer) => answer.map(Ok),
        Err(refusal) => Some(Err(name(refusal.code))),
    };
    let code = match &answer {
        Some(Err(code)) => code,
        Some(Ok(_)) | None => "",
    };
    out.hold(laws::a_clock_behind_is_refused_as_such(behind, code));
    out.hold(laws::a_full_disk_is_refused_as_such(out.disk.room != Room::Enough, code));
    answer
}

fn judge(
    shell: &mut Shell,
    out: &mut Outside,
    wish: &Wish,
    wrapper: usize,
    request: u64,
) -> Result<Option<TaskState>, Refusal> {
    use fades_api::codes;
    let refused = |code, why: &str| Err(Refusal::new(code, why));
    let now_us = out.wall_us();
    let behind = now_us.saturating_add(TOLERANCE_US) < shell.clock_high_us;
    if behind && out.mutation != Some(Mutation::ClockUnjudged) {
        return refused(codes::CLOCK_WENT_BACK, "behind");
    }
    let now_us =
        if out.mutation == Some(Mutation::ClockUnjudged) { now_us } else { now_us.max(shell.clock_high_us) };
    let unix_us = u64::try_from(now_us).unwrap_or(0);
    let issuer = wish.wrapper.credentials.issuer.as_str().to_owned();
    let standing = Standing {
        active: shell.seats.get(&issuer).copied().unwrap_or(0),
        waiting: shell.seats.values().sum(),
    };
    let verdict = admit::check(&wish.wrapper, &issuer, &policy(), &out.facts, standing, unix_us);
    if let Err(refusal) = &verdict
        && (1200..1300).contains(&refusal.code.number())
    {
        return Err(refusal.clone());
    }
    if let Some((digest, _)) = out.disk.tables.replay.get(&wish.id) {
        return repeated(out, wish.id, *digest == wish.digest).map(Some);
    }
    verdict?;
    let received = Received { unix_us, mono_us: Some(shell.now(out).mono_us), verify_us: 5 };
    let spec = admit::plan(&wish.wrapper, allowed(), &out.facts, received)?;
    if out.disk.room != Room::Enough {
        return refused(codes::STORE_WRITE_FAILED, "no room");
    }
    *shell.seats.entry(issuer.clone()).or_default() += 1;
    let record = Record {
        wrapper: wish.wrapper.clone(),
        digest: wish.digest,
        issuer: issuer.clone(),
        state: TaskState::Accepted,
        attempts: 0,
        accepted_us: now_us,
        begun_us: out.now_us,
        expires_us: wish.wrapper.credentials.expires_at.as_microsecond(),
        code: None,
        result: None,
        periods: schedule(&wish.wrapper).map(|_| Periods::default()),
        ends: 0,
    };
    out.disk.write(Job::Accept { request, id: wish.id, record: Box::new(record) });
    out.begin_write();
    shell.asked.insert(request, Asked { wrapper, spec, issuer });
    Ok(if out.mutation == Some(Mutation::ToldBeforeDurable) { Some(TaskState::Accepted) } else { None })
}

fn repeated(out: &Outside, id: TaskId, same: bool) -> Result<TaskState, Refusal> {
    use fades_api::codes;
    match out.disk.tables.tasks.get(&id) {
        _ if !same => Err(Refusal::new(codes::TASK_ID_REUSED, "another payload")),
        Some(record) => Ok(record.state),
        None => Err(Refusal::new(codes::RESULT_GONE, "it has run")),
    }
}

/// What became of a request's task in the store; its wrapper, and the answer.
pub(crate) fn stored(
    shell: &mut Shell,
    out: &mut Outside,
    request: u64,
    how: Accepted,
) -> Option<(usize, Answer)> {
    use fades_api::codes;
    let Asked { wrapper, spec, issuer } = shell.asked.remove(&request)?;
    if how != Accepted::New {
        shell.free(&issuer);
    }
    let code = match how {
        Accepted::New => {
            let now_us = i64::try_from(spec.received_unix_us).unwrap_or(i64::MAX);
            shell.clock_high_us = shell.clock_high_us.max(now_us);
            // Behind everything that the actor has heard already.
            out.after(0, Event::Inbox(shell.run, Message::Accepted(spec)));
            return Some((wrapper, Ok(TaskState::Accepted)));
        }
        Accepted::Known => {
            return Some((wrapper, repeated(out, spec.id, true).map_err(|refusal| name(refusal.code))));
        }
        Accepted::Gone => codes::RESULT_GONE,
        Accepted::Conflict => codes::TASK_ID_REUSED,
        Accepted::ClockBehind => codes::CLOCK_WENT_BACK,
        Accepted::Full => codes::QUEUE_FULL,
    };
    Some((wrapper, Err(name(code))))
}

/// What a service hears.
pub(crate) fn told(out: &mut Outside, wish: &mut Wish, number: usize, answer: &Answer) {
    out.note(format_args!("answer {} {answer:?}", out.short(wish.id)));
    match answer {
        Ok(_) => {
            out.hold(laws::told_accepted_is_durable(out.disk.tables.tasks.get(&wish.id), wish.id));
            out.count("told accepted");
        }
        Err(code) => {
            out.count(format!("refused {code}"));
        }
    }
    let lost = out.happens(out.weather.lost_answers);
    if lost {
        // It cannot know, so it sends the same bytes again.
        let us = out.dice.between(500_000, 10_000_000);
        return out.after(us, Event::Service(Act::Send, number));
    }
    wish.heard = Some(answer.clone());
}
