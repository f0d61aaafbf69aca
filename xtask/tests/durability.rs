//! What is accepted ends once, whatever dies: the daemon at any moment, the broker while it streams, the broker's network,
//! a function.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::outside::{in_lab, is_alive, patience, signal};
use common::service::{Ask, Service, Signed, assert_same, is_end};
use common::{Bed, guests};
use serde_json::{Value, json};

/// How often the daemon is killed; `FADES_KILLS` asks for more.
const KILLS: usize = 50;
/// How many submit at once.
const SUBMITTERS: usize = 3;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// The seed of this run: `FADES_SEED`, or the clock's.
fn seed() -> u64 {
    let chosen = std::env::var("FADES_SEED").ok().map(|text| text.parse().unwrap());
    let clock = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    chosen.unwrap_or_else(clock)
}

/// What the submitters share.
struct Campaign {
    service: Service,
    ask: Ask,
    /// Told to end.
    over: AtomicBool,
    /// What a 202 was seen for.
    accepted: Mutex<Vec<Signed>>,
    /// Accepted only when posted again: the first answer was lost with the daemon.
    repeated: Mutex<usize>,
}

impl Campaign {
    /// Submits one task after another; each until a 202 was seen for it.
    fn submit(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let signed = self.service.sign(&self.ask);
            let mut tries = 0;
            loop {
                tries += 1;
                match self.service.post(&signed) {
                    Some((202, answer)) => {
                        assert_eq!(answer["task"].as_str(), Some(&*signed.id));
                        break;
                    }
                    Some((429 | 503, _)) | None => thread::sleep(Duration::from_millis(20)),
                    Some((status, answer)) => panic!("try {tries} was answered with {status}: {answer}"),
                }
            }
            if tries > 1 {
                *self.repeated.lock().unwrap() += 1;
            }
            self.accepted.lock().unwrap().push(signed.clone());
            // About one task at a time and submitter: what piles up would hide what the kills do.
            let until = Instant::now() + Duration::from_secs(4);
            while !self.over.load(Ordering::Relaxed) && Instant::now() < until && !self.has_ended(&signed) {
                thread::sleep(Duration::from_millis(300));
            }
        }
    }

    /// Asked as a service does that lost its first answer: by the same bytes again.
    fn has_ended(&self, signed: &Signed) -> bool {
        let Some((202, answer)) = self.service.post(signed) else { return false };
        assert_eq!(answer["task"].as_str(), Some(&*signed.id), "{answer}");
        is_end(answer["state"].as_str().unwrap())
    }

    /// Whether a task is under way now.
    fn runs(&self) -> bool {
        ["starting", "streaming", "computing"].iter().any(|state| {
            let Ok((200, body)) = self.service.get(&format!("/v1/tasks?state={state}")) else { return false };
            body.contains("\"task\":")
        })
    }
}

#[test]
fn every_accepted_task_ends_once_though_the_daemon_is_killed_fifty_times() {
    let kills = std::env::var("FADES_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let seed = seed();
    eprintln!("seed {seed} (FADES_SEED={seed} repeats it)");
    let mut random = Random(seed);
    let mut bed = Bed::with("killed", 25_000, &[]);
    bed.pin_backend();
    let service = Service::of(bed.node());
    let ask = Ask::of(&bed);
    let undisturbed = {
        let id = service.ask(&ask);
        assert_eq!(service.end(&id, Duration::from_secs(60))["state"], "succeeded");
        service.result(&id)
    };
    let campaign = Arc::new(Campaign {
        service: service.clone(),
        ask,
        over: AtomicBool::new(false),
        accepted: Mutex::default(),
        repeated: Mutex::default(),
    });
    let submitters: Vec<_> = (0..SUBMITTERS)
        .map(|_| {
            let campaign = Arc::clone(&campaign);
            thread::spawn(move || campaign.submit())
        })
        .collect();
    let (mut while_running, started) = (0, Instant::now());
    for round in 0..kills {
        // Some soon, some after a task or two: what is killed thrice fails, and most shall go through.
        let most = if random.below(3) == 0 { 400 } else { 2600 };
        thread::sleep(Duration::from_millis(random.below(most)));
        // Every fifth kill hits wherever the daemon is, its boot included; the others somewhere within a task.
        let mut runs = campaign.runs();
        if round % 5 != 4 {
            let deadline = Instant::now() + Duration::from_secs(20);
            while !runs {
                assert!(Instant::now() < deadline, "no task runs:\n{}", bed.node().log());
                thread::sleep(Duration::from_millis(random.below(50)));
                runs = campaign.runs();
            }
        }
        let own: Vec<u32> = guests(bed.node()).into_iter().map(|(pid, _)| pid).collect();
        let node = bed.node.as_mut().unwrap();
        node.kill().unwrap();
        while_running += usize::from(runs);
        // They die by the kernel's hand with the daemon, not by the next daemon's.
        let gone = Instant::now() + Duration::from_secs(5);
        while own.iter().any(|pid| is_alive(*pid)) {
            assert!(Instant::now() < gone, "round {round}: guests of the dead daemon live on: {own:?}");
            thread::sleep(Duration::from_millis(5));
        }
        node.run().unwrap();
    }
    let took = started.elapsed();
    campaign.over.store(true, Ordering::Relaxed);
    submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
    let accepted = campaign.accepted.lock().unwrap().clone();
    let mut ends = BTreeMap::<String, usize>::new();
    for Signed { id, .. } in &accepted {
        let task = service.end(id, Duration::from_secs(90));
        let events = service.events(id);
        let finals: Vec<_> = events.iter().filter(|event| is_end(event["state"].as_str().unwrap())).collect();
        assert_eq!(finals.len(), 1, "{id} must end once: {events:#?}");
        assert_eq!(
            events.last().unwrap()["state"],
            task["state"],
            "{id} goes on behind its end: {events:#?}"
        );
        match task["state"].as_str().unwrap() {
            "succeeded" => assert_same(&service.result(id), &undisturbed),
            "failed" => {
                let code = task["code"].as_str().unwrap();
                assert!(
                    ["E3020", "E3021"].contains(&code),
                    "only too many restarts fail a task here: {task}"
                );
                service.assert_no_result(id);
            }
            _ => panic!("nobody asked for this end: {task}"),
        }
        *ends
            .entry(format!("{}, {} attempts", task["state"].as_str().unwrap(), task["attempts"]))
            .or_default() += 1;
    }
    // Those whose wrappers are good for a while yet.
    for signed in accepted.iter().rev().take(500) {
        let answer = service.submit(signed);
        assert!(is_end(answer["state"].as_str().unwrap()), "{answer}");
        assert_eq!(
            service.events(&signed.id).iter().filter(|e| is_end(e["state"].as_str().unwrap())).count(),
            1
        );
    }
    let repeated = *campaign.repeated.lock().unwrap();
    eprintln!(
        "tried: {kills} | in {took:.1?}, {while_running} while tasks ran; {} tasks accepted, {repeated} of them posted more than once; {ends:?}",
        accepted.len()
    );
    assert!(while_running > kills / 2, "only {while_running} of {kills} kills hit while tasks ran");
    assert!(accepted.len() >= kills, "{} tasks", accepted.len());
    assert!(
        ends.keys().any(|end| end.starts_with("succeeded") && !end.contains(" 1 ")),
        "nothing was taken up again"
    );
}

/// The results of these tasks, nothing disturbing them.
fn calm(service: &Service, asks: &[Ask]) -> Vec<Value> {
    let ids: Vec<String> = asks.iter().map(|ask| service.ask(ask)).collect();
    ids.iter()
        .map(|id| {
            let task = service.end(id, Duration::from_secs(60));
            assert_eq!(
                (task["state"].as_str(), task["attempts"].as_u64()),
                (Some("succeeded"), Some(1)),
                "{task}"
            );
            service.result(id)
        })
        .collect()
}

#[test]
fn tasks_begin_anew_when_the_broker_is_killed_while_it_streams() {
    // On the one processor of a lab, guests boot one after the other, and the first has read all before the last is there. One
    // takes as long over a fifth of the points.
    let (points, asked) = if in_lab() { (200_000, 1) } else { (1_000_000, 3) };
    let bed = Bed::start("broker-killed", points);
    let service = Service::of(bed.node());
    let asks: Vec<Ask> = ["temperature", "light", "sound"][..asked]
        .iter()
        .map(|measurement| Ask { measurement: (*measurement).to_owned(), ..Ask::of(&bed) })
        .collect();
    let undisturbed = calm(&service, &asks);
    let old = bed.broker();
    let ids: Vec<String> = asks.iter().map(|ask| service.ask(ask)).collect();
    // All of them under way, and no result there yet.
    for id in &ids {
        service.until(id, Duration::from_secs(30), |task| task["state"] == "streaming");
    }
    let seen = service.streaming(&ids[0]);
    bed.end_guest(old);
    for (id, undisturbed) in ids.iter().zip(&undisturbed) {
        let task = service.end(id, Duration::from_secs(60));
        assert_eq!(
            (task["state"].as_str(), task["attempts"].as_u64()),
            (Some("succeeded"), Some(2)),
            "{task}"
        );
        assert_same(&service.result(id), undisturbed);
        let events = service.events(id);
        let again = events.iter().filter(|event| event["state"] == "queued").count();
        assert_eq!(again, 2, "{id}: queued at first, and again: {events:#?}");
        let why = events.iter().filter_map(|event| event["detail"].as_str());
        assert!(why.clone().any(|why| why.contains("broker")), "nobody says why: {events:#?}");
    }
    eprintln!("killed at {} points of {}", seen["progress"]["points"], points / 5);
    assert_ne!(bed.broker(), old);
    assert!(!is_alive(old));
}

#[test]
fn a_broker_whose_network_is_dead_counts_as_dead() {
    let bed = Bed::start("broker-stopped", 1_000_000);
    let service = Service::of(bed.node());
    let ask = Ask::of(&bed);
    let undisturbed = calm(&service, std::slice::from_ref(&ask)).remove(0);
    let old = bed.broker();
    // The source stands still, so that the task cannot end before its broker is stopped.
    signal(bed.influx().pid(), "STOP");
    let id = service.ask(&ask);
    service.until(&id, Duration::from_secs(30), |task| task["state"] == "streaming");
    bed.stop_guest(old);
    signal(bed.influx().pid(), "CONT");
    let stopped = Instant::now();
    while service.is_ready() {
        assert!(stopped.elapsed() < Duration::from_secs(20), "a stopped broker still counts as ready");
        thread::sleep(Duration::from_millis(20));
    }
    let noticed = stopped.elapsed();
    // Five pings of one second each: less would take a busy machine for a dead one.
    assert!(
        noticed > Duration::from_secs(3),
        "given up after {noticed:?}, without waiting for its heartbeat"
    );
    let task = service.end(&id, Duration::from_secs(60));
    assert_eq!((task["state"].as_str(), task["attempts"].as_u64()), (Some("succeeded"), Some(2)), "{task}");
    assert_same(&service.result(&id), &undisturbed);
    assert!(!is_alive(old), "the stopped broker was left");
    let again = bed.broker();
    assert_ne!(again, old);
    eprintln!("noticed after {noticed:.1?}, the task ended {:.1?} after the stop", stopped.elapsed());
}

#[test]
fn a_function_killed_from_outside_fails_its_task_alone_and_another_succeeds() {
    let bed = Bed::start("function-killed", 25_000);
    bed.add_faulty();
    let service = Service::of(bed.node());
    let ask = Ask::of(&bed);
    let undisturbed = calm(&service, std::slice::from_ref(&ask)).remove(0);
    let broker = bed.broker();
    // Stays as long as it is needed: one batch takes it half a minute.
    let image = bed.node().image("faulty").unwrap();
    let slow = Ask { image, parameters: json!({"mode": "slow", "millis": 30_000}), ..ask.clone() };
    let id = service.ask(&slow);
    service.until(&id, Duration::from_secs(30), |task| task["state"] == "streaming");
    let functions = bed.functions();
    let [function] = functions[..] else { panic!("not one function: {functions:?}") };
    bed.end_guest(function);
    let task = service.end(&id, Duration::from_secs(20));
    assert_eq!((&task["state"], &task["attempts"]), (&"failed".into(), &1.into()), "{task}");
    assert_eq!(task["code"], bed.code_of_a_guest_ended_from_outside(), "{task}");
    service.assert_no_result(&id);
    // The same wrapper is answered with what became of it; a new one of the same contents runs.
    assert_same(&calm(&service, std::slice::from_ref(&ask)).remove(0), &undisturbed);
    assert_eq!(bed.broker(), broker, "the broker did not notice");
    assert!(!is_alive(function), "the function is left");
    // The other's result is out before it is gone.
    let deadline = Instant::now() + patience(Duration::from_secs(5));
    while !bed.functions().is_empty() {
        assert!(Instant::now() < deadline, "a function is left: {:?}", bed.functions());
        thread::sleep(Duration::from_millis(20));
    }
}
