//! What stands before every period of a persistent task. It was judged when it was accepted, which may be months ago: by now its
//! key may be revoked, its policy narrower, a source at another place, and its function has kept a state.

use fades_api::codes;
use fades_core::admit::{self, NodeFacts, Received, Refusal};
use fades_core::engine::Prepared;
use fades_core::fault::Fault;
use fades_core::periods::FunctionState;
use ulid::Ulid;

use super::recover::stored_wrapper;
use crate::store::record::TaskRecord;
use crate::store::{FoundState, KeptState, Store, StoreError};
use crate::trust::Trust;

/// What a period of a task needs, or why it cannot run; the period fails then, and the next one is looked at anew.
pub(super) fn prepare(
    store: &Store,
    trust: &Trust,
    facts: &NodeFacts,
    now_us: i64,
    id: Ulid,
) -> Result<Result<Prepared, Fault>, StoreError> {
    let (Some(record), Some(envelope)) = (store.task(id)?, store.envelope(id)?) else {
        return Ok(Err(Fault::new(codes::STORE_RECORD_MALFORMED, "the task's record is gone")));
    };
    let operations = match judge(id, &record, &envelope, trust, facts, now_us) {
        Ok(operations) => operations,
        Err(Refusal { code, message }) => return Ok(Err(Fault::new(code, message))),
    };
    let state = match store.state(id)? {
        FoundState::None => None,
        FoundState::Whole(KeptState { version, bytes }) => Some(FunctionState { version, bytes }),
        FoundState::Damaged(why) => return Ok(Err(Fault::new(codes::STATE_DAMAGED, why))),
    };
    Ok(Ok(Prepared { state, operations }))
}

/// Whether the task's issuer may still have it done, and what its operations are now.
fn judge(
    id: Ulid,
    record: &TaskRecord,
    envelope: &[u8],
    trust: &Trust,
    facts: &NodeFacts,
    now_us: i64,
) -> Result<Vec<fades_core::task::OperationSpec>, Refusal> {
    let wrapper = stored_wrapper(id, record, envelope)?;
    let key = record.key_id.parse().ok().and_then(|id| trust.keys.get(&id));
    let Some(key) = key.filter(|key| key.issuer == record.issuer) else {
        let why = format!("issuer {} has key {} no more", record.issuer, record.key_id);
        return Err(Refusal::new(codes::KEY_UNKNOWN, why));
    };
    // That a key's time is over since does not undo what it signed in it; that it was revoked does.
    if key.refusal(now_us) == Some(codes::KEY_REVOKED) {
        return Err(Refusal::new(
            codes::KEY_REVOKED,
            format!("key {} of issuer {}", record.key_id, key.issuer),
        ));
    }
    let policy = trust.issuers.get(&key.issuer).map(|issuer| issuer.policy.clone()).unwrap_or_default();
    policy.permits(&wrapper)?;
    admit::check_floor(&wrapper, &policy, facts)?;
    let received = Received {
        unix_us: u64::try_from(record.accepted_us).unwrap_or(0),
        mono_us: None,
        verify_us: record.verify_us,
    };
    Ok(admit::plan(&wrapper, record.allowed(), facts, received)?.operations)
}
