//! Scripted guests: what each act says on the control connection.

use fades_core::Role;
use fades_core::backend::ExitCause;
use fades_wire::PROTOCOL;
use fades_wire::control::{
    Failed, Finished, Heartbeat, Hello, Keep, MAX_STATE_PART, OperationEnded, OperationFailed,
    OperationTimes, ResultPart, Retrieve, Run, Started, StateHead, ToGuest,
};

use crate::line::{Line, Over};
use crate::script::{BrokerAct, FunctionAct, counted};

/// Bytes in each part of an endless result.
const PART: usize = 1024;

fn greet(line: &mut Line, role: Role) {
    line.connect();
    line.say(Hello { protocol: PROTOCOL, role: role.into(), image: "scripted 1".into() });
}

/// A broker's whole life; how it ended.
pub(crate) fn broker(mut line: Line, act: &BrokerAct) -> ExitCause {
    if *act == BrokerAct::NeverReady {
        return line.wait_for_the_end();
    }
    greet(&mut line, Role::Broker);
    loop {
        let over = match line.hear() {
            Ok(ToGuest::Ping(ping)) => {
                line.say(Heartbeat { nonce: ping.nonce, heap_used: 4096 });
                continue;
            }
            Ok(ToGuest::Retrieve(retrieve)) => match retrieves(&mut line, act, &retrieve) {
                Ok(()) => continue,
                Err(over) => over,
            },
            Ok(ToGuest::Shutdown(_)) => ExitCause::Code(0),
            Ok(ToGuest::Welcome(_) | ToGuest::Abandon(_) | ToGuest::Run(_) | ToGuest::Recall(_)) => continue,
            Err(over) => over,
        };
        line.close();
        return over;
    }
}

fn retrieves(line: &mut Line, act: &BrokerAct, retrieve: &Retrieve) -> Result<(), Over> {
    match act {
        BrokerAct::Dies(cause) => return Err(cause.clone()),
        BrokerAct::FallsSilent => return Err(line.wait_for_the_end()),
        BrokerAct::BreaksProtocol => line.say_garbage(),
        BrokerAct::SourceFails(failure) => {
            for operation in &retrieve.operations {
                let failure = failure.clone();
                line.say(OperationFailed { task: retrieve.task, operation: operation.index, failure });
            }
        }
        BrokerAct::Serves(pause) => {
            for operation in &retrieve.operations {
                line.pause(*pause)?;
                let (task, operation) = (retrieve.task, operation.index);
                let times = OperationTimes { retrieve_us: 10, ..OperationTimes::default() };
                let summary = counted(task, operation);
                line.say(OperationEnded { task, operation, summary, fewest: summary.points, times });
            }
        }
        BrokerAct::FailsToStart | BrokerAct::NeverReady => {}
    }
    Ok(())
}

/// A function's whole life; how it ended.
pub(crate) fn function(mut line: Line, act: &FunctionAct) -> ExitCause {
    if *act == FunctionAct::NeverReady {
        return line.wait_for_the_end();
    }
    greet(&mut line, Role::Function);
    let over = loop {
        match line.hear() {
            Ok(ToGuest::Run(run)) => {
                if let Err(over) = runs(&mut line, act, &run) {
                    break over;
                }
            }
            Ok(ToGuest::Ping(ping)) => line.say(Heartbeat { nonce: ping.nonce, heap_used: 4096 }),
            Ok(ToGuest::Shutdown(_)) => break ExitCause::Code(0),
            Ok(ToGuest::Welcome(_) | ToGuest::Abandon(_) | ToGuest::Retrieve(_) | ToGuest::Recall(_)) => {}
            Err(over) => break over,
        }
    };
    line.close();
    over
}

fn runs(line: &mut Line, act: &FunctionAct, run: &Run) -> Result<(), Over> {
    let kept = recalled(line, run)?;
    line.say(Started);
    let mut summaries: Vec<_> =
        run.operations.iter().map(|operation| counted(run.task, operation.index)).collect();
    let result = match act {
        FunctionAct::Dies(cause) => return Err(cause.clone()),
        FunctionAct::BreaksProtocol => {
            line.say_garbage();
            return Ok(());
        }
        FunctionAct::Fails(failure) => {
            line.say(Failed(failure.clone()));
            return Ok(());
        }
        FunctionAct::ReturnsTooMuch => {
            for index in 0..=u32::try_from(run.result_limit / PART as u64).unwrap_or(u32::MAX) {
                line.say(ResultPart { index, last: false, bytes: vec![b' '; PART] });
            }
            return Ok(());
        }
        FunctionAct::Lies => {
            summaries.iter_mut().for_each(|summary| summary.points += 1);
            "{}"
        }
        FunctionAct::Reduces(result) => result,
        FunctionAct::Counts(len) => {
            counts(line, run, &kept, *len, summaries);
            return Ok(());
        }
        FunctionAct::Loops | FunctionAct::FailsToStart | FunctionAct::NeverReady => return Ok(()),
    };
    line.say(ResultPart { index: 0, last: true, bytes: result.as_bytes().to_vec() });
    line.say(Finished {
        summaries,
        transfer_us: 20,
        compute_us: 30,
        heap_peak: 65_536,
        result_len: result.len() as u64,
        state: None,
    });
    Ok(())
}

/// What an earlier period has kept, all of it.
fn recalled(line: &mut Line, run: &Run) -> Result<Vec<u8>, Over> {
    let head = run.memory.and_then(|memory| memory.state);
    let (len, mut kept) = (head.map_or(0, |head| head.len), Vec::new());
    while (kept.len() as u64) < len {
        match line.hear()? {
            ToGuest::Recall(part) => kept.extend(part.bytes),
            ToGuest::Ping(ping) => line.say(Heartbeat { nonce: ping.nonce, heap_used: 4096 }),
            other => panic!("{other:?} among the parts of a state"),
        }
    }
    Ok(kept)
}

fn counts(
    line: &mut Line,
    run: &Run,
    kept: &[u8],
    len: usize,
    summaries: Vec<fades_wire::data::StreamSummary>,
) {
    let before = kept.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let result = format!("{{\"seen\":{}}}", before + 1);
    line.say(ResultPart { index: 0, last: true, bytes: result.as_bytes().to_vec() });
    let mut state = (before + 1).to_le_bytes().to_vec();
    state.resize(len.max(state.len()), 7);
    let head = run.memory.map(|_| StateHead { version: 1, len: state.len() as u64 });
    for (part, index) in state.chunks(MAX_STATE_PART).zip(0..).filter(|_| head.is_some()) {
        line.say(Keep { index, bytes: part.to_vec() });
    }
    let (transfer_us, compute_us, result_len) = (20, 30, result.len() as u64);
    line.say(Finished { summaries, transfer_us, compute_us, result_len, state: head, heap_peak: 4096 });
}
