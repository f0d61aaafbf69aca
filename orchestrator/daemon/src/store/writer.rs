//! The one writer: a thread that puts all writes that wait into one transaction.
//!
//! While one transaction is being synced to disk, the next writes gather in the queue; so the number of syncs follows
//! the disk, not the number of requests, and a lone write waits for nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability};
use tokio::sync::{mpsc, oneshot, watch};

use super::room::Room;
use super::schema::Tables;
use super::witness::{self, Witness};
use super::{Bounds, StoreError};

/// Writes that may wait; beyond it callers wait for room.
const QUEUE: usize = 1024;
/// Writes in one transaction: bounds how long the first of them waits.
const BATCH: usize = 256;

/// How often a disk that cannot be written is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A write on its way: applied first, told afterwards.
trait Job: Send {
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), StoreError>;
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Pending<F, T> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Pending<F, T>
where
    F: FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(tables)?);
        }
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let answer = match (outcome, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(StoreError::Closed),
        };
        // Who asked may have gone away; what is committed stays committed.
        drop(self.reply.send(answer));
    }
}

enum Command {
    Write(Box<dyn Job>),
    Stop,
}

/// Where writes are handed in.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Command>,
    commits: Arc<AtomicU64>,
    /// Told to end: nothing is waited for any more.
    ending: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    /// Starts the thread; the receiver follows the newest committed event.
    pub(crate) fn start(
        db: Arc<Database>,
        witness: Witness,
        room: Room,
        bounds: Bounds,
        newest_event: u64,
    ) -> Result<(Self, watch::Receiver<u64>), StoreError> {
        let (queue, commands) = mpsc::channel(QUEUE);
        let (told, last_event) = watch::channel(newest_event);
        let commits = Arc::new(AtomicU64::new(0));
        let ending = Arc::new(AtomicBool::new(false));
        let (counted, ends) = (Arc::clone(&commits), Arc::clone(&ending));
        let writing =
            Writing { db, witness, room, bounds, newest_event, told, commits: counted, ending: ends };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writing.run(commands))
            .map_err(|e| StoreError::File { path: "thread of the store".into(), source: Arc::new(e) })?;
        Ok((Self { queue, commits, ending, thread: Arc::new(Mutex::new(Some(thread))) }, last_event))
    }

    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { work: Some(work), value: None, reply });
        if self.queue.send(Command::Write(job)).await.is_err() {
            return Err(StoreError::Closed);
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(crate) fn write_if_idle<F>(&self, work: F) -> bool
    where
        F: FnOnce(&mut Tables<'_>) -> Result<(), StoreError> + Send + 'static,
    {
        let (reply, _nobody) = oneshot::channel();
        let job = Box::new(Pending { work: Some(work), value: None, reply });
        self.queue.capacity() > QUEUE / 2 && self.queue.try_send(Command::Write(job)).is_ok()
    }

    /// Room on the disk is not waited for any more.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Ends the thread after what waits, and waits for that: it holds the database's file.
    pub(crate) async fn stop(&self) {
        self.end();
        // An error means that it has ended already.
        drop(self.queue.send(Command::Stop).await);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && tokio::task::spawn_blocking(move || thread.join()).await.is_err()
        {
            tracing::error!("the store's thread could not be waited for");
        }
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.queue.is_closed()
    }
}

/// The thread's own state.
struct Writing {
    db: Arc<Database>,
    witness: Witness,
    room: Room,
    bounds: Bounds,
    newest_event: u64,
    told: watch::Sender<u64>,
    commits: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
}

impl Writing {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(Command::Write(first)) = commands.blocking_recv() {
            let mut batch = vec![first];
            let mut stopping = false;
            while batch.len() < BATCH {
                match commands.try_recv() {
                    Ok(Command::Write(job)) => batch.push(job),
                    Ok(Command::Stop) => {
                        stopping = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            let outcome = if self.until_room() { self.commit(&mut batch) } else { Err(StoreError::Closed) };
            if let Ok(newest) = outcome {
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.told.send_if_modified(|seen| std::mem::replace(seen, newest) != newest);
            }
            let outcome = outcome.map(drop);
            if let Err(error) = &outcome {
                tracing::error!(error = %error, cause = ?error, "a transaction failed, nothing of it happened");
            }
            for job in batch {
                job.settle(outcome.clone());
            }
            if stopping {
                break;
            }
        }
    }

    /// Waits until the disk can be written, and so does who waits for a write; false: the daemon ends before that.
    fn until_room(&self) -> bool {
        let Some(shortage) = self.room.blocks() else { return true };
        tracing::error!("{shortage}: nothing is stored, and no task goes on, until that is over");
        while self.room.blocks().is_some() {
            if self.ending.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        tracing::info!("the disk can be written again");
        true
    }

    /// One transaction over all of `batch`; the number of the newest event then.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<u64, StoreError> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::Immediate).map_err(|e| StoreError::redb("make durable", e))?;
        let (newest, sequence) = {
            let mut tables = Tables::open(&txn, self.bounds, self.newest_event)?;
            for job in batch.iter_mut() {
                job.apply(&mut tables)?;
            }
            (tables.newest_event, witness::advance(&mut tables)?)
        };
        txn.commit()?;
        // Committed numbers are used, even if the witness cannot be written.
        self.newest_event = newest;
        self.witness.note(sequence)?;
        Ok(newest)
    }
}
