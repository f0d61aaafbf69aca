//! The actor itself: its loop, and how effects are carried out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fades_api::http::Progress;
use fades_core::admit::NodeFacts;
use fades_core::backend::GuestExit;
use fades_core::engine::{self, Effect, Engine, GuestInput, Input, Outcome};
use fades_core::network::{NetEvent, PortId};
use fades_core::task::{ImageRef, TaskSpec};
use fades_core::{GuestId, TaskId};
use tokio::sync::mpsc;
use ulid::Ulid;

use super::guests::Guests;
use super::receipt::{Plan, Signer};
use super::recover::stored_state;
use super::start::Starter;
use super::{Message, Status};
use crate::admission::Seats;
use crate::clock::Clock;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::store::record::StoredState;
use crate::store::schema::Tables;
use crate::store::{Finished, PeriodEnded, Store, StoreError};
use crate::trust::TrustCache;

/// Messages taken in before their effects are carried out: what is to be stored then shares transactions.
const AT_ONCE: usize = 256;
/// How long guests may take to end when the daemon does.
const FAREWELL: Duration = Duration::from_secs(5);
/// Between two words to guests while the store is waited for, and the shortest wait that is taken off nobody's time: a guest takes
/// fifteen such silences for the daemon's death.
const STALL: Duration = Duration::from_secs(1);

/// Why the actor ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Nothing can be remembered any more.
    #[error("the store failed under running tasks")]
    Store(#[from] StoreError),
}

/// Tells the network that bytes from a port were dealt with.
pub type Consumed = Arc<dyn Fn(PortId, usize) + Send + Sync>;

/// What the actor is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) trust: Arc<TrustCache>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) seats: Seats,
    pub(crate) live: Arc<Live>,
    pub(crate) starter: Starter,
    pub(crate) consumed: Consumed,
    pub(crate) signer: Signer,
    /// What the node knows of itself now.
    pub(crate) facts: Box<dyn Fn() -> NodeFacts + Send>,
    pub(crate) status: Arc<RwLock<Status>>,
    /// The engine's configuration but for the broker's image; `None` while there is none.
    pub(crate) engine: Box<dyn Fn() -> Option<engine::Config> + Send>,
}

/// The shell around the engine.
pub(crate) struct Actor {
    pub(super) parts: Parts,
    inbox: mpsc::UnboundedReceiver<Message>,
    engine: Option<Engine>,
    pub(super) broker: Option<ImageRef>,
    /// What came while there was no engine.
    early: Vec<Input>,
    guests: Guests,
    /// Of every task that the engine was told of and that has not ended.
    pub(super) plans: HashMap<TaskId, Plan>,
    /// Stored tasks that shall end before anybody has told of them.
    cancelled: HashSet<TaskId>,
    wake_us: Option<u64>,
    /// For how long the store was waited for, that the engine has not heard of, µs.
    stalled_us: u64,
    /// What guests of tasks had on their consoles when they ended, to be stored.
    consoles: Vec<Change>,
}

/// One change to be stored.
enum Change {
    Record { task: Ulid, state: StoredState, attempts: u32, period: Option<u64>, detail: String },
    Missed { task: Ulid, first: u64, last: u64 },
    Period(PeriodEnded),
    Finish(Finished),
    Console { task: Ulid, text: String },
}

impl Actor {
    pub(crate) fn new(parts: Parts, inbox: mpsc::UnboundedReceiver<Message>) -> Self {
        let guests = Guests::new(Arc::clone(&parts.starter.network));
        Self {
            parts,
            inbox,
            engine: None,
            broker: None,
            early: Vec::new(),
            guests,
            plans: HashMap::new(),
            cancelled: HashSet::new(),
            wake_us: None,
            stalled_us: 0,
            consoles: Vec::new(),
        }
    }

    /// Gives back a task of an earlier daemon; before [`Actor::run`].
    pub(crate) fn recovered(&mut self, spec: TaskSpec, recorded: fades_core::task::RecordedState) {
        self.plans.insert(spec.id, Plan::of(&spec));
        self.early.push(Input::Recovered(spec, recorded));
    }

    /// Runs until told to stop, then ends all guests. Tasks stay as they are recorded.
    pub(crate) async fn run(mut self) -> Result<(), RuntimeError> {
        let ended = self.work().await;
        if let Err(error) = &ended {
            tracing::error!(%error, cause = ?error, "the runtime ends");
        }
        self.farewell().await;
        ended
    }

    async fn work(&mut self) -> Result<(), RuntimeError> {
        self.make_engine().await?;
        loop {
            let wake = self.next_wake();
            let message = tokio::select! {
                message = self.inbox.recv() => message,
                () = until(&self.parts.clock, wake) => None,
            };
            let (mut inputs, mut taken, mut next) = (Vec::new(), 0, message);
            while let Some(message) = next {
                if matches!(message, Message::Stop) {
                    return Ok(());
                }
                inputs.extend(self.hear(message));
                taken += 1;
                next = if taken < AT_ONCE { self.inbox.try_recv().ok() } else { None };
            }
            let now_us = self.parts.clock.mono_us();
            inputs.extend(self.guests.overdue(now_us).into_iter().map(guest_input));
            if self.engine.is_none() {
                self.early.append(&mut inputs);
                self.make_engine().await?;
            } else {
                inputs.push(Input::Tick);
                self.decide(inputs).await?;
            }
        }
    }

    /// Makes the engine once there is an image for the broker, and gives it what came before.
    async fn make_engine(&mut self) -> Result<(), RuntimeError> {
        if self.engine.is_none() {
            let Some(config) = (self.parts.engine)() else {
                self.tell_status();
                return Ok(());
            };
            self.broker = Some(config.broker.image.clone());
            self.engine = Some(Engine::new(config, Box::new(ticket)));
            let mut early = std::mem::take(&mut self.early);
            early.push(Input::Tick);
            self.decide(early).await?;
        }
        Ok(())
    }

    /// When something is due, on the monotonic clock.
    fn next_wake(&self) -> Option<u64> {
        self.wake_us.into_iter().chain(self.guests.due_us()).min()
    }

    /// What a message means to the engine.
    fn hear(&mut self, message: Message) -> Vec<Input> {
        let now_us = self.parts.clock.mono_us();
        let heard = match message {
            Message::Accepted(spec) => {
                let id = spec.id;
                self.plans.insert(id, Plan::of(&spec));
                let accepted = Input::Accepted(*spec);
                return match self.cancelled.remove(&id) {
                    true => vec![accepted, Input::Cancel(id)],
                    false => vec![accepted],
                };
            }
            Message::Cancel(task) => return self.cancel(task).into_iter().collect(),
            Message::ImagesChanged => return vec![Input::ImagesChanged],
            Message::Stop => return Vec::new(),
            Message::Net(NetEvent::ControlConnected(port)) => self.guests.connected(port),
            Message::Net(NetEvent::ControlClosed(port)) => self.guests.closed(port),
            Message::Net(NetEvent::ControlData(port, bytes)) => {
                let heard = self.guests.data(port, &bytes, now_us);
                (self.parts.consumed)(port, bytes.len());
                heard
            }
            Message::LinkLost(port) => self.guests.link_lost(port),
            Message::Attached(guest, port) => {
                self.guests.attached(guest, port);
                Vec::new()
            }
            Message::Started(guest, attachment) => self.guests.started(guest, attachment),
            Message::StartFailed(guest, fault) => {
                tracing::warn!(%guest, code = %fault.code, why = fault.message, "a guest could not be started");
                self.guests.start_failed(guest, fault)
            }
            Message::Exited(guest, exit) => {
                self.parts.metrics.guests_ended.add(cause_label(&exit.cause));
                self.consoles.extend(self.console(guest, &exit));
                self.guests.exited(guest, exit, now_us)
            }
        };
        heard.into_iter().map(guest_input).collect()
    }

    /// What is kept of a function's guest that has ended: a healthy one writes nothing.
    fn console(&self, guest: GuestId, exit: &GuestExit) -> Option<Change> {
        let task = self.engine.as_ref()?.task_of(guest)?;
        let text = exit.console_tail.trim();
        (!text.is_empty()).then(|| Change::Console { task: Ulid::from_bytes(task.0), text: text.to_owned() })
    }

    /// A task can be asked to end as soon as it is stored, which is before the engine hears of it: kept until it does.
    fn cancel(&mut self, task: Ulid) -> Option<Input> {
        let id = TaskId(task.to_bytes());
        if self.plans.contains_key(&id) {
            return Some(Input::Cancel(id));
        }
        match self.parts.store.task(task) {
            Ok(Some(record)) if !record.state.is_end() => {
                self.cancelled.insert(id);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%task, %error, "cannot see whether a task to be cancelled has ended")
            }
        }
        None
    }

    /// Gives inputs to the engine and carries out what it says, until nothing more follows.
    async fn decide(&mut self, mut inputs: Vec<Input>) -> Result<(), RuntimeError> {
        let consoles = std::mem::take(&mut self.consoles);
        self.store(consoles).await?;
        while !inputs.is_empty() {
            let Some(engine) = self.engine.as_mut() else { return Ok(()) };
            let mut effects = Vec::new();
            let stalled_us = std::mem::take(&mut self.stalled_us);
            let stalled = (stalled_us > 0).then_some(Input::Stalled(stalled_us));
            for input in stalled.into_iter().chain(inputs.drain(..)) {
                effects.extend(engine.handle(self.parts.clock.now(), input));
            }
            inputs = self.carry_out(effects).await?;
        }
        self.tell_status();
        Ok(())
    }

    /// Carries effects out in their order. Neighbouring changes share a transaction; whatever else there is waits for
    /// what was to be stored before it. Returns what the engine must hear of it.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Vec<Input>, RuntimeError> {
        let mut changes = Vec::new();
        let mut heard = Vec::new();
        for effect in effects {
            match effect {
                Effect::Record { task, state, attempts, period, detail } => {
                    let task = Ulid::from_bytes(task.0);
                    changes.push(Change::Record {
                        task,
                        state: stored_state(state),
                        attempts,
                        period,
                        detail,
                    });
                }
                Effect::Missed { task, first, last } => {
                    changes.push(Change::Missed { task: Ulid::from_bytes(task.0), first, last });
                }
                Effect::Period { task, period, end } => {
                    // The record says when it began, and which state it went on from.
                    self.store(std::mem::take(&mut changes)).await?;
                    changes.push(Change::Period(self.period_ended(task, period, end)?));
                }
                Effect::Prepare { task, guest } => {
                    self.store(std::mem::take(&mut changes)).await?;
                    let prepared = self.prepared(Ulid::from_bytes(task.0))?;
                    heard.push(Input::Prepared(guest, prepared));
                }
                Effect::Finish { task, outcome } => {
                    if matches!(outcome, Outcome::Succeeded(_)) {
                        // The receipt speaks of the record, so that must be complete.
                        self.store(std::mem::take(&mut changes)).await?;
                    }
                    changes.push(Change::Finish(self.finished(task, outcome)?));
                }
                Effect::WakeAt { mono_us } => self.wake_us = Some(mono_us),
                Effect::Progress { task, points, bytes } => {
                    self.parts.live.set(Ulid::from_bytes(task.0), Progress { points, bytes });
                }
                other => {
                    self.store(std::mem::take(&mut changes)).await?;
                    heard.extend(self.act(other));
                }
            }
        }
        self.store(changes).await?;
        Ok(heard)
    }

    /// Effects on guests.
    fn act(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::StartGuest(order) => {
                let name = format!("{}-{}", order.role.word(), order.guest.0);
                let control =
                    self.guests.expect(order.guest, name.clone(), order.role, self.parts.clock.mono_us());
                self.parts.metrics.guests_started.add(1);
                self.parts.starter.start(order, name, self.parts.trust.get(), control);
                None
            }
            Effect::Send { guest, message } => {
                self.guests.send(guest, &message).map(|input| Input::Guest(guest, input))
            }
            Effect::StopGuest { guest, why } => {
                self.guests.stop(guest, &why);
                None
            }
            _ => None,
        }
    }

    /// Stores changes in one transaction; then frees what ended tasks held.
    async fn store(&mut self, changes: Vec<Change>) -> Result<(), RuntimeError> {
        if changes.is_empty() {
            return Ok(());
        }
        let now_us = self.parts.clock.unix_us();
        for change in &changes {
            match change {
                Change::Missed { first, last, .. } => {
                    self.parts.metrics.periods_ended.add_many("missed", last - first + 1);
                }
                Change::Period(end) => {
                    self.parts.live.forget(end.id);
                    let state = if end.result.is_some() { "done" } else { "failed" };
                    self.parts.metrics.periods_ended.add(state);
                }
                Change::Record { .. } | Change::Finish(_) | Change::Console { .. } => {}
            }
        }
        let ended = self.stored(move |tables| apply(tables, &changes, now_us)).await?;
        for (task, state, issuer) in ended {
            self.parts.live.forget(task);
            self.parts.metrics.tasks_ended.add(state.as_str());
            self.parts.seats.free(&issuer);
            self.plans.remove(&TaskId(task.to_bytes()));
        }
        Ok(())
    }

    /// Waits until this is on disk. While that takes long, as on a full disk, guests hear that the daemon is still there.
    async fn stored<T, F>(&mut self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (store, begun_us) = (self.parts.store.clone(), self.parts.clock.mono_us());
        let mut write = std::pin::pin!(store.write(work));
        let stored = loop {
            match tokio::time::timeout(STALL, write.as_mut()).await {
                Ok(stored) => break stored,
                Err(_elapsed) => self.guests.reassure(),
            }
        };
        let waited = Duration::from_micros(self.parts.clock.mono_us().saturating_sub(begun_us));
        if waited >= STALL {
            self.stalled_us += u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        }
        stored
    }

    fn tell_status(&self) {
        let status = match &self.engine {
            None => Status {
                broker_state: "absent",
                broker_detail: Some("no image of role drb on this node; `fades image add` one".to_owned()),
                ..Status::default()
            },
            Some(engine) => {
                let seen = engine.status();
                let restarts = u32::try_from(seen.broker.deaths).unwrap_or(u32::MAX);
                Status {
                    broker_state: match seen.broker.phase {
                        "ready" => "ready",
                        _ if restarts == 0 => "starting",
                        _ => "restarting",
                    },
                    broker_image: self.broker.as_ref().map(ToString::to_string),
                    broker_restarts: restarts,
                    broker_detail: seen.broker.last_failure.filter(|_| seen.broker.phase != "ready"),
                    running: u32::try_from(seen.under_way).unwrap_or(u32::MAX),
                    guests: seen.usage.guests,
                    memory_mib: seen.usage.memory_mib,
                    between: u32::try_from(seen.between).unwrap_or(u32::MAX),
                }
            }
        };
        *self.parts.status.write().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Ends all guests and waits until they have.
    async fn farewell(mut self) {
        self.guests.stop_all();
        let ended = async {
            while !self.guests.is_empty() {
                match self.inbox.recv().await {
                    Some(Message::Started(guest, _)) => self.guests.stop(guest, "the daemon ends"),
                    Some(message) => drop(self.hear(message)),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("some guests have not ended in time; they end with this process");
        }
    }
}

/// Applies changes; the tasks that ended by them, with state and issuer.
fn apply(
    tables: &mut Tables<'_>,
    changes: &[Change],
    now_us: i64,
) -> Result<Vec<(Ulid, StoredState, String)>, StoreError> {
    let mut ended = Vec::new();
    for change in changes {
        match change {
            Change::Record { task, state, attempts, period, detail } => {
                tables.advance(*task, *state, *attempts, *period, detail, now_us)?;
            }
            Change::Missed { task, first, last } => {
                tables.miss_periods(*task, *first, *last, now_us)?;
            }
            Change::Period(end) => {
                tables.end_period(end)?;
            }
            Change::Console { task, text } => tables.keep_console(*task, text, now_us)?,
            Change::Finish(end) => {
                if let Some(issuer) = tables.finish(end)? {
                    ended.push((end.id, end.state, issuer));
                }
            }
        }
    }
    Ok(ended)
}

fn guest_input((guest, input): (GuestId, GuestInput)) -> Input {
    Input::Guest(guest, input)
}

fn cause_label(cause: &fades_core::backend::ExitCause) -> &'static str {
    use fades_core::backend::ExitCause;
    match cause {
        ExitCause::Code(0) => "ended",
        ExitCause::Code(_) => "code",
        ExitCause::Panicked { .. } => "panic",
        ExitCause::OutOfMemory { .. } => "memory",
        ExitCause::LoaderError { .. } => "loader",
        ExitCause::Died { .. } => "domain",
        ExitCause::Signal(_) => "signal",
        ExitCause::Killed => "killed",
    }
}

/// 32 random bytes; without them a ticket could be guessed, so there is none.
fn ticket() -> [u8; 32] {
    let mut bytes = [0; 32];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes,
        Err(error) => panic!("the system gives no random bytes for a ticket: {error}"),
    }
}

async fn until(clock: &Clock, mono_us: Option<u64>) {
    match mono_us {
        Some(at) => tokio::time::sleep(Duration::from_micros(at.saturating_sub(clock.mono_us()))).await,
        None => std::future::pending().await,
    }
}
