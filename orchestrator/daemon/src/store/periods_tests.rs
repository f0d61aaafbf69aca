use super::super::record::PeriodsRecord;
use super::super::tests::{NOW, open, reopen, task};
use super::super::{Bounds, Finished};
use super::*;

/// Accepts a persistent task and begins its period 0.
async fn begun(store: &Store, number: u128) -> Ulid {
    let id = Ulid::from_parts(7, number);
    let mut acceptance = task(id, 7, NOW);
    acceptance.record.periods = Some(PeriodsRecord {
        every_us: 1000,
        first_due_us: 5,
        last: 99,
        state_limit: 100,
        next: 0,
        running: None,
        done: 0,
        failed: 0,
        missed: 0,
        last_done: None,
        kept: 0,
        state: None,
    });
    store.accept(acceptance).await.unwrap();
    store.write(move |t| t.advance(id, StoredState::Starting, 1, Some(0), "", NOW + 1)).await.unwrap();
    id
}

fn done(id: Ulid, number: u64, state: Option<&[u8]>) -> PeriodEnded {
    let outcome = super::super::record::OutcomeRecord::default();
    PeriodEnded {
        id,
        number,
        at_us: NOW + 10,
        code: None,
        detail: String::new(),
        windows: vec![WindowRecord { id: "temp".into(), from_ns: 1, to_ns: 2 }],
        result: Some(StoredResult {
            bytes: number.to_string().into_bytes(),
            receipt: b"receipt".to_vec(),
            outcome,
        }),
        state: state.map(|bytes| KeptState { version: 1, bytes: bytes.to_vec() }),
    }
}

fn failed(id: Ulid, number: u64) -> PeriodEnded {
    let (code, detail) = (Some("E3000".into()), "boom".into());
    PeriodEnded { code, detail, result: None, state: None, ..done(id, number, None) }
}

async fn end(store: &Store, end: PeriodEnded) -> bool {
    store.write(move |t| t.end_period(&end)).await.unwrap()
}

fn whole(bytes: &[u8]) -> FoundState {
    FoundState::Whole(KeptState { version: 1, bytes: bytes.to_vec() })
}

#[tokio::test]
async fn result_state_and_task_are_stored_together_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = begun(&store, 1).await;
    assert_eq!(store.state(id).unwrap(), FoundState::None);
    assert!(end(&store, done(id, 0, Some(b"one"))).await);
    let again = PeriodEnded { at_us: NOW + 99, ..done(id, 0, Some(b"two")) };
    assert!(!end(&store, again).await, "a period that is over ends once");
    let (store, _) = reopen(dir.path(), store).await;
    let record = store.task(id).unwrap().unwrap();
    let periods = record.periods.unwrap();
    assert_eq!((record.state, record.attempts), (StoredState::Waiting, 0));
    assert_eq!((periods.next, periods.running, periods.done), (1, None, 1));
    assert_eq!(store.state(id).unwrap(), whole(b"one"));
    assert_eq!(store.period_result(id, 0).unwrap().unwrap().bytes, b"0");
    // One that fails leaves the state as it was, and says what it went on from.
    assert!(end(&store, failed(id, 1)).await);
    assert_eq!(store.state(id).unwrap(), whole(b"one"));
    assert!(store.write(move |t| t.miss_periods(id, 2, 4, NOW)).await.unwrap());
    assert!(!store.write(move |t| t.miss_periods(id, 2, 4, NOW)).await.unwrap());
    assert!(end(&store, done(id, 5, Some(b"two"))).await);
    let rows = store.periods(id, None, 10).unwrap();
    let told: Vec<_> = rows.iter().map(|(number, row)| (*number, row.state, row.through)).collect();
    use StoredPeriodState::{Done, Failed, Missed};
    assert_eq!(told, [(5, Done, None), (2, Missed, Some(4)), (1, Failed, None), (0, Done, None)]);
    let digest = |bytes: &[u8]| Some(fades_envelope::Digest::of(bytes).to_string());
    assert_eq!((&rows[3].1.state_before, &rows[3].1.state_after), (&None, &digest(b"one")));
    assert_eq!((&rows[0].1.state_before, &rows[0].1.state_after), (&digest(b"one"), &digest(b"two")));
    assert_eq!(store.period(id, 3).unwrap().unwrap().through, Some(4), "missed with others");
    assert!(store.period(id, 6).unwrap().is_none());
    assert!(store.period_result(id, 1).unwrap().is_none());
    let events = store.events_after(0, Some(id), 20).unwrap().events;
    let news: Vec<_> =
        events.iter().filter_map(|(_, event)| event.period).map(|news| (news.number, news.state)).collect();
    let running = StoredPeriodState::Running;
    assert_eq!(news, [(0, running), (0, Done), (1, Failed), (2, Missed), (5, Done)]);
}

#[tokio::test]
async fn a_state_that_is_not_what_was_stored_is_never_given() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = begun(&store, 1).await;
    end(&store, done(id, 0, Some(b"long baseline"))).await;
    let why = |store: &Store| match store.state(id).unwrap() {
        FoundState::Damaged(why) => why,
        other => panic!("{other:?}"),
    };
    let bytes: [(&[u8], &str); 3] =
        [(b"long baselinf", "checksum"), (b"long", "has 4 bytes, 13 were stored"), (b"", "0 bytes")];
    for (damaged, words) in bytes {
        store
            .write(move |t| {
                t.states.insert(id.0, damaged)?;
                Ok(())
            })
            .await
            .unwrap();
        assert!(why(&store).contains(words), "{}", why(&store));
    }
    store
        .write(move |t| {
            t.states.insert(id.0, b"long baseline".as_slice())?;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(store.state(id).unwrap(), whole(b"long baseline"));
    let change = |how: fn(&mut TaskRecord)| {
        store.write(move |t| {
            let mut record = t.task(id)?.unwrap();
            how(&mut record);
            t.tasks.insert(id.0, encode("tasks", &record)?.as_slice())?;
            Ok(())
        })
    };
    change(|record| record.image = "stats@sha256:01".into()).await.unwrap();
    assert!(why(&store).contains("was made by stats@sha256:00"));
    change(|record| record.image = "stats@sha256:00".into()).await.unwrap();
    change(|record| record.periods.as_mut().unwrap().state.as_mut().unwrap().format = 2).await.unwrap();
    assert!(why(&store).contains("form 2"));
    store.write(move |t| Ok(t.states.remove(id.0)?.is_some())).await.unwrap();
    assert!(why(&store).contains("is gone"));
}

#[tokio::test]
async fn the_last_periods_are_kept_and_go_with_their_task() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { periods: 3, finished_tasks: 1, ..Bounds::default() };
    let (store, _) = Store::open(dir.path(), bounds).unwrap();
    let id = begun(&store, 1).await;
    let numbers = || store.periods(id, None, 100).unwrap().iter().map(|(n, _)| *n).collect::<Vec<_>>();
    for number in 0..5 {
        end(&store, done(id, number, Some(b"state"))).await;
    }
    assert_eq!(numbers(), [4, 3, 2]);
    assert!(store.period_result(id, 1).unwrap().is_none());
    // The latest with a result stays, however many fail after it.
    for number in 5..9 {
        end(&store, failed(id, number)).await;
    }
    assert_eq!(numbers(), [8, 7, 4]);
    assert_eq!(store.period_result(id, 4).unwrap().unwrap().bytes, b"4");
    let ends = |id| Finished {
        id,
        state: StoredState::Succeeded,
        at_us: NOW + 20,
        code: None,
        detail: String::new(),
        result: None,
    };
    let over = ends(id);
    store.write(move |t| t.finish(&over)).await.unwrap();
    assert_eq!(store.state(id).unwrap(), FoundState::None, "nobody goes on from it");
    assert_eq!(numbers(), [8, 7, 4]);
    assert!(!end(&store, done(id, 9, None)).await, "a task that has ended has no more periods");
    // Its bytes are counted, and go with it.
    let counted =
        |store: Store| async move { store.write(|t| t.number("kept_bytes")).await.unwrap().unwrap() };
    let rows = store.write(move |t| t.periods_size(id.0)).await.unwrap();
    assert!(rows > 0 && counted(store.clone()).await > rows);
    let other = begun(&store, 2).await;
    let over = ends(other);
    store.write(move |t| t.finish(&over)).await.unwrap();
    assert!(store.task(id).unwrap().is_none());
    assert!(numbers().is_empty());
    assert_eq!(store.write(move |t| t.periods_size(id.0)).await.unwrap(), 0);
    let (store, _) = reopen(dir.path(), store).await;
    let before = counted(store.clone()).await;
    assert!(before < rows + 1000);
}
