//! What the store promises, shown on real files.

use super::record::{StoredState, TaskRecord, TermsRecord};
use super::*;
use ulid::Ulid;

pub(super) fn task(id: Ulid, digest: u8, now_us: i64) -> Acceptance {
    Acceptance {
        id,
        payload_digest: [digest; 32],
        envelope: vec![digest; 100],
        remember_until_us: now_us + 90_000_000,
        record: TaskRecord {
            issuer: "pollution.example".into(),
            key_id: "aa".into(),
            payload_digest: crate::hex(&[digest; 32]),
            epoch: "bb".into(),
            image: "stats@sha256:00".into(),
            sources: vec!["edison".into()],
            result_limit: 1000,
            terms: TermsRecord::default(),
            started_us: None,
            priority: 5,
            state: StoredState::Accepted,
            attempts: 0,
            accepted_us: now_us,
            changed_us: now_us,
            ended_us: None,
            expires_us: now_us + 60_000_000,
            verify_us: 50,
            code: None,
            detail: String::new(),
            periods: None,
        },
        most_open: 1_000_000,
    }
}

pub(super) const NOW: i64 = 1_790_000_000_000_000;

pub(super) fn open(dir: &Path) -> (Store, Opened) {
    Store::open(dir, Bounds::default()).unwrap()
}

/// The writer thread lets go of the file a moment after the last handle.
pub(super) async fn reopen(dir: &Path, store: Store) -> (Store, Opened) {
    store.close().await.unwrap();
    drop(store);
    for _ in 0..200 {
        if let Ok(opened) = Store::open(dir, Bounds::default()) {
            return opened;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the store stays locked");
}

#[tokio::test]
async fn accepts_once_and_tells_same_from_other() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = Ulid::from_parts(1, 1);
    assert!(matches!(store.accept(task(id, 1, NOW)).await.unwrap(), Accepted::New(_)));
    assert!(matches!(store.accept(task(id, 1, NOW)).await.unwrap(), Accepted::Known(_)));
    assert!(matches!(store.accept(task(id, 2, NOW)).await.unwrap(), Accepted::Conflict));
    let (store, opened) = reopen(dir.path(), store).await;
    assert_eq!(opened.continuity, Continuity::Kept);
    assert!(opened.clean);
    assert!(matches!(store.accept(task(id, 1, NOW)).await.unwrap(), Accepted::Known(_)));
    assert_eq!(store.unfinished().unwrap().len(), 1);
    assert_eq!(store.unfinished().unwrap()[0].2, vec![1; 100]);
}

#[tokio::test]
async fn ids_are_remembered_up_to_a_bound_and_then_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), Bounds { remembered: 2, ..Bounds::default() }).unwrap();
    for n in 0..2 {
        store.accept(task(Ulid::from_parts(1, n), 1, NOW)).await.unwrap();
    }
    let third = store.accept(task(Ulid::from_parts(1, 2), 1, NOW)).await.unwrap();
    assert!(matches!(third, Accepted::TooManyRemembered));
    assert_eq!(store.open_tasks().unwrap(), 2);
    let later = store.accept(task(Ulid::from_parts(1, 2), 1, NOW + 90_000_001)).await.unwrap();
    assert!(matches!(later, Accepted::New(_)));
}

#[tokio::test]
async fn a_full_node_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut first = task(Ulid::from_parts(1, 1), 1, NOW);
    first.most_open = 1;
    store.accept(first).await.unwrap();
    let mut second = task(Ulid::from_parts(1, 2), 1, NOW);
    second.most_open = 1;
    assert!(matches!(store.accept(second).await.unwrap(), Accepted::Full));
    assert_eq!(store.open_tasks().unwrap(), 1);
    assert!(store.replayed(Ulid::from_parts(1, 2)).unwrap().is_none());
}

#[tokio::test]
async fn a_clock_set_back_is_noticed_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.accept(task(Ulid::from_parts(1, 1), 1, NOW)).await.unwrap();
    let (store, _) = reopen(dir.path(), store).await;
    let back = task(Ulid::from_parts(1, 2), 2, NOW - CLOCK_TOLERANCE_US - 1);
    assert!(matches!(store.accept(back).await.unwrap(), Accepted::ClockBehind { high_us: NOW }));
    let near = task(Ulid::from_parts(1, 3), 2, NOW - CLOCK_TOLERANCE_US);
    assert!(matches!(store.accept(near).await.unwrap(), Accepted::New(_)));
}

#[tokio::test]
async fn replay_entries_go_only_after_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = Ulid::from_parts(1, 1);
    store.accept(task(id, 1, NOW)).await.unwrap();
    store.accept(task(Ulid::from_parts(1, 2), 1, NOW + 90_000_000)).await.unwrap();
    assert!(store.replayed(id).unwrap().is_some());
    store.accept(task(Ulid::from_parts(1, 3), 1, NOW + 90_000_001)).await.unwrap();
    assert!(store.replayed(id).unwrap().is_none());
    // Its record still stands in the way of running it again.
    assert!(matches!(store.accept(task(id, 1, NOW + 90_000_002)).await.unwrap(), Accepted::Known(_)));
}

#[tokio::test]
async fn an_end_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = Ulid::from_parts(1, 1);
    store.accept(task(id, 1, NOW)).await.unwrap();
    let result = StoredResult {
        bytes: b"{}".to_vec(),
        receipt: b"receipt".to_vec(),
        outcome: super::record::OutcomeRecord::default(),
    };
    let end = Finished {
        id,
        state: StoredState::Succeeded,
        at_us: NOW + 5,
        code: None,
        detail: "done".into(),
        result: Some(result.clone()),
    };
    let again = Finished { state: StoredState::Failed, result: None, ..end.clone() };
    let whose = store.write(move |t| t.finish(&end)).await.unwrap();
    assert_eq!(whose.as_deref(), Some("pollution.example"));
    assert_eq!(store.write(move |t| t.finish(&again)).await.unwrap(), None);
    assert!(!store.write(move |t| t.advance(id, StoredState::Queued, 1, None, "", NOW)).await.unwrap());
    assert_eq!(store.task(id).unwrap().unwrap().state, StoredState::Succeeded);
    assert_eq!(store.result(id).unwrap().unwrap(), result);
    assert_eq!(store.open_tasks().unwrap(), 0);
    let page = store.events_after(0, Some(id), 10).unwrap();
    let states: Vec<_> = page.events.iter().map(|(n, e)| (*n, e.state)).collect();
    assert_eq!(states, [(1, StoredState::Accepted), (2, StoredState::Succeeded)]);
}

/// Records as the first program wrote them, before there were persistent tasks.
#[tokio::test]
async fn what_was_stored_before_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = Ulid::from_parts(9, 9);
    let record = br#"{"issuer":"pollution.example","key_id":"aa","payload_digest":"07","epoch":"bb",
        "image":"stats@sha256:00","sources":["edison"],"result_limit":1000,"priority":5,"state":"queued","attempts":1,
        "accepted_us":1,"changed_us":2,"started_us":2,"ended_us":null,"expires_us":3,"verify_us":50,"code":null,"detail":""}"#;
    let event =
        br#"{"task":"00000000090000000000000009","issuer":"pollution.example","state":"queued","code":null,
        "detail":"","at_us":2}"#;
    let written = move |tables: &mut Tables<'_>| {
        tables.tasks.insert(id.0, record.as_slice())?;
        tables.envelopes.insert(id.0, b"envelope".as_slice())?;
        tables.open.insert(id.0, ())?;
        tables.events.insert(1, event.as_slice())?;
        tables.newest_event = 1;
        Ok(())
    };
    store.write(written).await.unwrap();
    let (store, _) = reopen(dir.path(), store).await;
    let [(found, record, _)] = &store.unfinished().unwrap()[..] else { panic!("one task is open") };
    assert_eq!((*found, record.state, &record.periods), (id, StoredState::Queued, &None));
    assert_eq!(store.events_after(0, None, 9).unwrap().events[0].1.period, None);
    assert!(store.periods(id, None, 9).unwrap().is_empty());
    assert!(store.write(move |t| t.advance(id, StoredState::Starting, 2, None, "", NOW)).await.unwrap());
    assert_eq!(store.task(id).unwrap().unwrap().attempts, 2);
    // It has no periods, whoever says so.
    assert!(!store.write(move |t| t.miss_periods(id, 0, 1, NOW)).await.unwrap());
}

#[tokio::test]
async fn many_writers_share_few_commits() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let writes: Vec<_> = (0..500u128)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.accept(task(Ulid::from_parts(2, n), 3, NOW)).await.unwrap() })
        })
        .collect();
    for write in writes {
        assert!(matches!(write.await.unwrap(), Accepted::New(_)));
    }
    assert_eq!(store.open_tasks().unwrap(), 500);
    assert!(store.commits() < 250, "{} commits for 500 writes", store.commits());
}

#[tokio::test]
async fn events_are_bounded_and_a_reader_learns_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { events: 10, finished_tasks: 3, refusals: 2, ..Bounds::default() };
    let (store, _) = Store::open(dir.path(), bounds).unwrap();
    for n in 0..20 {
        store.accept(task(Ulid::from_parts(3, n), 3, NOW)).await.unwrap();
    }
    assert_eq!(*store.watch_events().borrow(), 20);
    let all = store.events_after(0, None, 100).unwrap();
    assert!(all.gone);
    assert_eq!(all.events.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (11..=20).collect::<Vec<_>>());
    assert!(!store.events_after(10, None, 100).unwrap().gone);
    assert!(!store.events_after(20, None, 100).unwrap().gone);
    assert!(store.events_after(0, Some(Ulid::from_parts(3, 0)), 9).unwrap().events.is_empty());
    for n in 0..20u128 {
        let end = Finished {
            id: Ulid::from_parts(3, n),
            state: StoredState::Failed,
            at_us: NOW + i64::try_from(n).unwrap(),
            code: Some("E3001".into()),
            detail: String::new(),
            result: None,
        };
        store.write(move |t| t.finish(&end)).await.unwrap();
    }
    assert_eq!(store.tasks(None, 100, |_| true).unwrap().len(), 3);
}

/// Accepts and ends a task with a result of this size.
async fn ended(store: &Store, number: u128, bytes: usize, at_us: i64) {
    let id = Ulid::from_parts(5, number);
    store.accept(task(id, 3, NOW)).await.unwrap();
    let outcome = super::record::OutcomeRecord::default();
    let result = StoredResult { bytes: vec![b'1'; bytes], receipt: b"receipt".to_vec(), outcome };
    let (state, detail) = (StoredState::Succeeded, String::new());
    let end = Finished { id, state, at_us, code: None, detail, result: Some(result) };
    store.write(move |tables| tables.finish(&end)).await.unwrap();
}

/// The numbers of the tasks that are kept with results, and what the store says that these take.
async fn kept(store: &Store) -> (Vec<u128>, u64) {
    let mut numbers: Vec<_> =
        store.tasks(None, 100, |_| true).unwrap().iter().map(|(id, _)| id.random()).collect();
    numbers.reverse();
    for number in &numbers {
        assert!(store.result(Ulid::from_parts(5, *number)).unwrap().is_some());
    }
    let total = store.write(|tables| tables.number("kept_bytes")).await.unwrap();
    (numbers, total.unwrap())
}

#[tokio::test]
async fn results_are_bounded_in_bytes_and_the_oldest_end_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { result_bytes: 10_000, ..Bounds::default() };
    let (store, _) = Store::open(dir.path(), bounds).unwrap();
    ended(&store, 1, 1_000, NOW + 9).await;
    let rest = kept(&store).await.1 - 1_000;
    for (number, bytes, at_us) in [(2, 2_000, 2), (3, 3_000, 3), (4, 1_000, 4)] {
        ended(&store, number, bytes, NOW + at_us).await;
    }
    assert_eq!(kept(&store).await, (vec![1, 2, 3, 4], 7_000 + 4 * rest));
    // The first one ended last; one large result takes the place of several.
    ended(&store, 5, 6_000, NOW + 10).await;
    assert_eq!(kept(&store).await, (vec![1, 4, 5], 8_000 + 3 * rest));
    // The one that ended just now stays, though it is too large and by a clock set back the oldest.
    ended(&store, 6, 20_000, NOW).await;
    assert_eq!(kept(&store).await, (vec![6], 20_000 + rest));
    ended(&store, 7, 10, NOW + 11).await;
    assert_eq!(kept(&store).await, (vec![7], 10 + rest));
    assert_eq!(store.envelope(Ulid::from_parts(5, 6)).unwrap(), None);
}

#[tokio::test]
async fn a_store_without_a_sum_of_bytes_is_counted_when_opened() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    ended(&store, 1, 1_000, NOW).await;
    ended(&store, 2, 2_000, NOW + 1).await;
    store.accept(task(Ulid::from_parts(5, 3), 3, NOW)).await.unwrap();
    let before = store.write(|tables| tables.number("kept_bytes")).await.unwrap();
    let forget = |tables: &mut Tables<'_>| Ok(tables.meta.remove("kept_bytes")?.is_some());
    assert!(store.write(forget).await.unwrap());
    let (store, _) = reopen(dir.path(), store).await;
    assert_eq!(store.write(|tables| tables.number("kept_bytes")).await.unwrap(), before);
    assert!(before.unwrap() > 3_000);
    store.close().await.unwrap();
    drop(store);
    // Bounds set lower hold from the next end on.
    let bounds = Bounds { result_bytes: 1_000, ..Bounds::default() };
    let (store, _) = Store::open(dir.path(), bounds).unwrap();
    ended(&store, 4, 10, NOW + 2).await;
    assert!(store.result(Ulid::from_parts(5, 2)).unwrap().is_none());
    assert!(store.result(Ulid::from_parts(5, 4)).unwrap().is_some());
    assert_eq!(store.open_tasks().unwrap(), 1);
}

#[tokio::test]
async fn images_go_unless_an_unfinished_task_names_them_and_their_use_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = Ulid::from_parts(6, 1);
    let task = task(id, 1, NOW);
    let named = super::digest_of(&task.record.image).to_owned();
    let other = "f".repeat(64);
    let image = super::record::ImageRecord {
        name: "stats".into(),
        version: "1.0.0".into(),
        role: "dmf".into(),
        architecture: "x86_64".into(),
        minimum_memory_mib: 32,
        size: 1,
        signer: "0".repeat(64),
        added_us: NOW,
        parameters: None,
        result: None,
        together: false,
    };
    for digest in [&named, &other] {
        store.put_image(digest.clone(), image.clone()).await.unwrap();
    }
    store.accept(task).await.unwrap();
    assert!(store.image_uses().unwrap().is_empty());
    assert!(store.write(move |t| t.advance(id, StoredState::Starting, 1, None, "", NOW + 3)).await.unwrap());
    assert_eq!(store.image_uses().unwrap(), [(named.clone(), NOW + 3)].into());
    let all = vec![named.clone(), other.clone(), "e".repeat(64)];
    assert_eq!(store.remove_images(all.clone()).await.unwrap(), [other]);
    let (state, detail) = (StoredState::Failed, String::new());
    let end = Finished { id, state, at_us: NOW + 4, code: None, detail, result: None };
    store.write(move |tables| tables.finish(&end)).await.unwrap();
    assert_eq!(store.remove_images(all).await.unwrap(), [named]);
    assert!(store.images().unwrap().is_empty() && store.image_uses().unwrap().is_empty());
}

/// As an older program leaves it: without the table of uses, and with images that say nothing of their processor.
#[tokio::test]
async fn a_store_from_before_images_were_looked_after_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let old = br#"{"name":"stats","version":"1.0.0","role":"dmf","minimum_memory_mib":32,"size":9,"signer":"00","added_us":7}"#;
    let put = |tables: &mut Tables<'_>| Ok(tables.images.insert("ab", old.as_slice())?.is_some());
    assert!(!store.write(put).await.unwrap());
    store.close().await.unwrap();
    drop(store);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let db = redb::Database::open(dir.path().join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    assert!(txn.delete_table(super::schema::IMAGE_USE).unwrap());
    txn.commit().unwrap();
    drop(db);
    let (store, opened) = open(dir.path());
    assert_eq!(opened.continuity, Continuity::Kept);
    assert!(store.image_uses().unwrap().is_empty());
    let images = store.images().unwrap();
    assert_eq!((images[0].0.as_str(), images[0].1.architecture.as_str()), ("ab", "x86_64"));
}

#[tokio::test]
async fn an_older_copy_gets_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (store, first) = open(dir.path());
    assert_eq!(first.continuity, Continuity::New);
    let (store, second) = reopen(dir.path(), store).await;
    assert_eq!(second.epoch, first.epoch);
    store.close().await.unwrap();
    drop(store);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let file = dir.path().join("store.redb");
    let copy = dir.path().join("backup");
    std::fs::copy(&file, &copy).unwrap();

    let (store, third) = open(dir.path());
    assert_eq!(third.epoch, first.epoch);
    store.accept(task(Ulid::from_parts(4, 1), 1, NOW)).await.unwrap();
    let (store, _) = reopen(dir.path(), store).await;
    store.close().await.unwrap();
    drop(store);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    std::fs::copy(&copy, &file).unwrap();

    let (store, restored) = open(dir.path());
    assert_eq!(restored.continuity, Continuity::Restored);
    assert_ne!(restored.epoch, first.epoch);
    let (store, after) = reopen(dir.path(), store).await;
    assert_eq!((after.continuity, &after.epoch), (Continuity::Kept, &restored.epoch));
    store.close().await.unwrap();
    drop(store);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    std::fs::remove_file(&file).unwrap();
    let (_store, lost) = open(dir.path());
    assert_eq!(lost.continuity, Continuity::Restored);
    assert_ne!(lost.epoch, restored.epoch);
}

/// Set for the child of the test below: the folder to write to.
const CHILD: &str = "FADES_STORE_CHILD";

/// Not a test of its own: what the child of the next one does until it is killed.
#[tokio::test]
async fn accepts_until_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let (store, _) = open(Path::new(&dir));
    let start = store.tasks(None, 1, |_| true).unwrap().first().map_or(0, |(id, _)| id.0 + 1);
    for number in start.. {
        let accepted = store.accept(task(Ulid(number), 1, NOW)).await.unwrap();
        assert!(matches!(accepted, Accepted::New(_)));
        // Told only now; whoever reads this line may rely on it.
        println!("\naccepted {number}");
    }
}

#[tokio::test]
async fn what_was_told_survives_being_killed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    let mut told = 0;
    let mut epoch = None;
    for round in 1..=8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::accepts_until_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("accepted ")?.parse().ok());
        let mut numbers = numbers.inspect(|number: &u64| told = *number);
        assert!(numbers.by_ref().nth(round * 7).is_some(), "the child says nothing");
        child.kill().unwrap();
        // What it had told before it died counts too.
        numbers.for_each(drop);
        child.wait().unwrap();
        let (store, opened) = open(dir.path());
        assert_eq!(opened.continuity, Continuity::Kept);
        assert!(!opened.clean);
        assert_eq!(*epoch.get_or_insert(opened.epoch), opened.epoch);
        let stored = store.unfinished().unwrap().len() as u64;
        // All that was told, and at most the one that was on disk and not yet told.
        assert!(stored == told + 1 || stored == told + 2, "{stored} stored, {told} told in round {round}");
        reopen(dir.path(), store).await.0.close().await.unwrap();
        let (store, opened) = open(dir.path());
        assert!(opened.clean);
        store.write(|tables| witness::mark_clean(tables, false)).await.unwrap();
        store.writer.stop().await;
    }
}
