//! A stream of bytes one way through a region: a ring, and a word each for how far, when to be woken, and whether it is over.
//!
//! Nothing here blocks or wakes anybody: each call says whether the other side is to be woken, and who waits [arms](Incoming::arm)
//! and waits for its own bell.

use super::REGION_LEN;
use core::ops::Range;
use fades_ring::{BadIndex, PeerWord, ReadBytes, Receiving, Sending, Word, WriteBytes};

/// The channels of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Orchestrator to guest.
    Down,
    /// Guest to orchestrator.
    Up,
    /// Function to broker.
    Asks,
    /// Broker to function.
    Data,
}

/// The first channel's ends.
const ENDS: usize = 8 << 10;
/// One end: a line of the processor's cache, so that the two sides do not fight for one.
const END: usize = 64;

/// Words of an end, from its beginning.
const INDEX: usize = 0;
const WAKE: usize = 4;
const CLOSED: usize = 8;

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Down, Self::Up, Self::Asks, Self::Data];

    const fn producer(self) -> usize {
        ENDS + self as usize * 2 * END
    }

    /// Where the word is that counts what was written, for who only looks whether anything was.
    #[must_use]
    pub const fn written_at(self) -> usize {
        self.producer() + INDEX
    }

    const fn consumer(self) -> usize {
        self.producer() + END
    }

    /// Where its bytes lie in the region: a power of two of them.
    #[must_use]
    pub const fn bytes(self) -> Range<usize> {
        match self {
            Self::Down => 64 << 10..128 << 10,
            Self::Up => 128 << 10..192 << 10,
            Self::Asks => 192 << 10..196 << 10,
            Self::Data => REGION_LEN / 2..REGION_LEN,
        }
    }
}

/// A region as one side has it mapped.
pub trait Memory {
    /// A word that this side writes.
    type Own<'a>: Word
    where
        Self: 'a;
    /// A word that the other side writes.
    type Theirs<'a>: PeerWord
    where
        Self: 'a;
    /// Bytes.
    type Bytes<'a>: ReadBytes + WriteBytes
    where
        Self: 'a;

    /// The word at this place, which is a multiple of 4 inside the region.
    fn own(&self, at: usize) -> Self::Own<'_>;
    /// Likewise.
    fn theirs(&self, at: usize) -> Self::Theirs<'_>;
    /// The bytes of this range, which lies inside the region.
    fn bytes(&self, range: Range<usize>) -> Self::Bytes<'_>;
}

/// Why nothing comes or goes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The consumer wants no more.
    #[error("the channel is closed")]
    Closed,
    /// The other side's index is impossible; it will not get better.
    #[error("{0}")]
    Index(BadIndex),
}

/// What is kept of the other side: whether it has counted as nobody can.
#[derive(Debug, Default)]
struct Other(Option<BadIndex>);

impl Other {
    fn check(&self) -> Result<(), ChannelError> {
        self.0.map_or(Ok(()), |error| Err(ChannelError::Index(error)))
    }

    fn note<T>(&mut self, result: Result<T, BadIndex>) -> Result<T, ChannelError> {
        result.inspect_err(|error| self.0 = Some(*error)).map_err(ChannelError::Index)
    }
}

/// The producer's side.
#[derive(Debug)]
pub struct Outgoing {
    channel: Channel,
    flow: Sending,
    other: Other,
}

/// The consumer's side.
#[derive(Debug)]
pub struct Incoming {
    channel: Channel,
    flow: Receiving,
    other: Other,
}

impl Outgoing {
    /// Begins the channel, in a turn in which nobody has before: its index is 0, whatever stands there.
    #[must_use]
    pub fn open(memory: &impl Memory, channel: Channel) -> Self {
        memory.own(channel.producer() + INDEX).publish(0);
        Self { channel, flow: Sending::default(), other: Other::default() }
    }

    /// Writes as many of `bytes` as there is room for: how many, and whether the consumer is to be woken.
    ///
    /// # Errors
    /// [`ChannelError`]; then nothing goes any more.
    pub fn write<M: Memory>(&mut self, memory: &M, bytes: &[u8]) -> Result<(usize, bool), ChannelError> {
        self.other.check()?;
        let (ours, theirs) = (self.channel.producer(), self.channel.consumer());
        if memory.theirs(theirs + CLOSED).take() != 0 {
            return Err(ChannelError::Closed);
        }
        let wrote = self.flow.write(
            &memory.own(ours + INDEX),
            &memory.theirs(theirs + INDEX),
            &memory.theirs(theirs + WAKE),
            &memory.bytes(self.channel.bytes()),
            bytes,
        );
        self.other.note(wrote)
    }

    /// Has the consumer wake us when there is room for `count` bytes. True if it is not to be waited for, as that is so already
    /// or the consumer wants no more.
    ///
    /// # Errors
    /// [`ChannelError::Index`].
    pub fn arm<M: Memory>(&mut self, memory: &M, count: usize) -> Result<bool, ChannelError> {
        self.other.check()?;
        let (ours, theirs) = (self.channel.producer(), self.channel.consumer());
        let size = self.channel.bytes().len();
        let armed = self.flow.arm(&memory.own(ours + WAKE), &memory.theirs(theirs + INDEX), size, count);
        Ok(self.other.note(armed)? || memory.theirs(theirs + CLOSED).take() != 0)
    }

    /// Says that nothing comes any more; what was written can still be read. The consumer is to be woken.
    pub fn close(&self, memory: &impl Memory) {
        memory.own(self.channel.producer() + CLOSED).publish(1);
    }
}

impl Incoming {
    /// Begins the channel, in a turn in which nobody has before: its index is 0, whatever stands there.
    #[must_use]
    pub fn open(memory: &impl Memory, channel: Channel) -> Self {
        memory.own(channel.consumer() + INDEX).publish(0);
        Self { channel, flow: Receiving::default(), other: Other::default() }
    }

    /// Reads what there is and what `bytes` holds: how much, and whether the producer is to be woken. `None` when the producer has
    /// closed and all was read.
    ///
    /// # Errors
    /// [`ChannelError::Index`]; then nothing comes any more.
    pub fn read<M: Memory>(
        &mut self,
        memory: &M,
        bytes: &mut [u8],
    ) -> Result<Option<(usize, bool)>, ChannelError> {
        self.other.check()?;
        let (ours, theirs) = (self.channel.consumer(), self.channel.producer());
        // Looked at first: what was written before it was set is seen afterwards.
        let closed = memory.theirs(theirs + CLOSED).take() != 0;
        let read = self.flow.read(
            &memory.own(ours + INDEX),
            &memory.theirs(theirs + INDEX),
            &memory.theirs(theirs + WAKE),
            &memory.bytes(self.channel.bytes()),
            bytes,
        );
        let (done, wake) = self.other.note(read)?;
        Ok((done > 0 || !closed || bytes.is_empty()).then_some((done, wake)))
    }

    /// What there is to be read where it lies: from where in the region on, and how much. In memory that has the ring twice, one
    /// behind the other, it is one piece. `None` when the producer has closed and all was read.
    ///
    /// # Errors
    /// [`ChannelError::Index`]; then nothing comes any more.
    pub fn look<M: Memory>(&mut self, memory: &M) -> Result<Option<(usize, usize)>, ChannelError> {
        self.other.check()?;
        let theirs = self.channel.producer();
        let closed = memory.theirs(theirs + CLOSED).take() != 0;
        let bytes = self.channel.bytes();
        let looked = self.flow.look(&memory.theirs(theirs + INDEX), &memory.bytes(bytes.clone()));
        let (at, count) = self.other.note(looked)?;
        Ok((count > 0 || !closed).then_some((bytes.start + at, count)))
    }

    /// Says that the first `count` bytes of what was looked at are done with. Whether the producer is to be woken.
    pub fn skip<M: Memory>(&mut self, memory: &M, count: usize) -> bool {
        let (ours, theirs) = (self.channel.consumer(), self.channel.producer());
        self.flow.skip(&memory.own(ours + INDEX), &memory.theirs(theirs + WAKE), count)
    }

    /// Has the producer wake us when there are `count` bytes. True if it is not to be waited for, as that is so already or nothing
    /// comes any more.
    ///
    /// # Errors
    /// [`ChannelError::Index`].
    pub fn arm<M: Memory>(&mut self, memory: &M, count: usize) -> Result<bool, ChannelError> {
        self.other.check()?;
        let (ours, theirs) = (self.channel.consumer(), self.channel.producer());
        let bytes = memory.bytes(self.channel.bytes());
        let armed = self.flow.arm(&memory.own(ours + WAKE), &memory.theirs(theirs + INDEX), &bytes, count);
        Ok(self.other.note(armed)? || memory.theirs(theirs + CLOSED).take() != 0)
    }

    /// Says that no more is wanted. The producer is to be woken.
    pub fn close(&self, memory: &impl Memory) {
        memory.own(self.channel.consumer() + CLOSED).publish(1);
    }
}
