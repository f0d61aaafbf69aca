//! Frames on their way to one port: bounded in bytes, shared fairly between those who send.
//!
//! A source may hold as much as is still free (so one alone gets half of the queue, and others always find room). One
//! that has filled its share is asked to wait, once, for a bounded time: reading from it stops, so that TCP slows down
//! without loss. If the receiver has not read half of that share by then, further frames are refused until it has. So a
//! receiver that stands still costs its senders one short pause, and one that dribbles earns no more than it reads.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::time::{Duration, Instant};

use fades_core::network::PortId;

use crate::framing::PREFIX;

/// A queue that has run empty gives memory above this back.
const KEPT_CAPACITY: usize = 256 * 1024;

/// What became of a frame that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Queued.
    Taken,
    /// Not now; offer it again when the share is relieved, or at this time.
    Wait(Instant),
    /// The receiver has been given its time.
    Refused,
}

#[derive(Debug)]
struct Share {
    source: PortId,
    bytes: usize,
    /// Since when, and at how many bytes, the share is full.
    full: Option<(Instant, usize)>,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct OutQueue {
    bytes: VecDeque<u8>,
    /// Whose bytes those are, in order.
    runs: VecDeque<(PortId, usize)>,
    shares: Vec<Share>,
    limit: usize,
    patience: Duration,
}

impl OutQueue {
    pub(crate) fn new(limit: usize, patience: Duration) -> Self {
        Self { bytes: VecDeque::new(), runs: VecDeque::new(), shares: Vec::new(), limit, patience }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        (self.bytes, self.runs, self.shares) = Default::default();
    }

    /// Offers one frame; the length field is put in front of it here. `most` is the source's own bound on its share, in bytes.
    pub(crate) fn offer(&mut self, source: PortId, most: usize, frame: &[u8], now: Instant) -> Offer {
        let size = PREFIX + frame.len();
        let Ok(prefix) = u32::try_from(frame.len()) else { return Offer::Refused };
        let free = self.limit.saturating_sub(self.bytes.len());
        let share = share_of(&mut self.shares, source);
        if share.bytes + size > free.min(most) {
            let (since, _) = *share.full.get_or_insert((now, share.bytes));
            let until = since + self.patience;
            return if now < until { Offer::Wait(until) } else { Offer::Refused };
        }
        if share.full.is_some_and(|(since, _)| now >= since + self.patience) {
            return Offer::Refused;
        }
        share.bytes += size;
        self.bytes.extend(prefix.to_be_bytes());
        self.bytes.extend(frame);
        match self.runs.back_mut() {
            Some((last, bytes)) if *last == source => *bytes += size,
            _ => self.runs.push_back((source, size)),
        }
        Offer::Taken
    }

    /// Writes as much as goes. Returns whether a share was relieved, so that those who wait may go on.
    ///
    /// # Errors
    /// As the writer says, `WouldBlock` included; what was written before it is accounted for.
    pub(crate) fn write_to(&mut self, link: &mut impl Write, relieved: &mut bool) -> io::Result<()> {
        while !self.bytes.is_empty() {
            let (front, back) = self.bytes.as_slices();
            let written = match link.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.bytes.drain(..written);
            *relieved |= self.settle(written);
        }
        if self.bytes.capacity() > KEPT_CAPACITY {
            self.bytes.shrink_to(KEPT_CAPACITY);
        }
        Ok(())
    }

    /// Takes written bytes off their owners' shares.
    fn settle(&mut self, mut written: usize) -> bool {
        while written > 0
            && let Some((source, left)) = self.runs.front_mut()
        {
            let n = written.min(*left);
            let source = *source;
            *left -= n;
            written -= n;
            if *left == 0 {
                self.runs.pop_front();
            }
            share_of(&mut self.shares, source).bytes -= n;
        }
        let roomy = self.limit.saturating_sub(self.bytes.len()) >= self.limit / 8;
        let mut relieved = false;
        for share in &mut self.shares {
            if roomy && share.full.is_some_and(|(_, at)| share.bytes <= at / 2) {
                share.full = None;
                relieved = true;
            }
        }
        self.shares.retain(|share| share.bytes > 0 || share.full.is_some());
        relieved
    }
}

fn share_of(shares: &mut Vec<Share>, source: PortId) -> &mut Share {
    let index = shares.iter().position(|share| share.source == source).unwrap_or_else(|| {
        shares.push(Share { source, bytes: 0, full: None });
        shares.len() - 1
    });
    &mut shares[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PortId = PortId(1);
    const B: PortId = PortId(2);
    const PATIENCE: Duration = Duration::from_millis(20);

    /// Takes this many bytes, then would block.
    struct Takes(usize, Vec<u8>);

    impl Write for Takes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.0);
            if n == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0 -= n;
            self.1.extend(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fill(queue: &mut OutQueue, source: PortId, now: Instant) -> usize {
        (0..).take_while(|_| queue.offer(source, usize::MAX, &[7; 96], now) == Offer::Taken).count()
    }

    #[test]
    fn one_source_leaves_room_for_others() {
        let now = Instant::now();
        let mut queue = OutQueue::new(10_000, PATIENCE);
        assert_eq!(fill(&mut queue, A, now), 50);
        assert_eq!(queue.offer(A, usize::MAX, &[7; 96], now), Offer::Wait(now + PATIENCE));
        assert_eq!(fill(&mut queue, B, now), 25, "and the next one gets half of what is left");
    }

    #[test]
    fn a_source_with_a_bound_of_its_own_keeps_to_it() {
        let now = Instant::now();
        let mut queue = OutQueue::new(10_000, PATIENCE);
        assert_eq!((0..).take_while(|_| queue.offer(A, 1000, &[7; 96], now) == Offer::Taken).count(), 10);
    }

    #[test]
    fn a_stalled_receiver_costs_one_pause_only() {
        let start = Instant::now();
        let mut queue = OutQueue::new(10_000, PATIENCE);
        fill(&mut queue, A, start);
        let late = start + PATIENCE;
        assert_eq!(queue.offer(A, usize::MAX, &[7; 96], late), Offer::Refused);
        assert_eq!(
            queue.offer(B, usize::MAX, &[7; 96], late),
            Offer::Taken,
            "other sources are not punished"
        );
        let mut relieved = false;
        assert!(queue.write_to(&mut Takes(1000, Vec::new()), &mut relieved).is_err());
        assert!(!relieved);
        assert_eq!(
            queue.offer(A, usize::MAX, &[7; 96], late),
            Offer::Refused,
            "a dribble does not earn another pause"
        );
        assert!(queue.write_to(&mut Takes(1600, Vec::new()), &mut relieved).is_err());
        assert!(relieved, "half of the share is read");
        assert_eq!(queue.offer(A, usize::MAX, &[7; 96], late), Offer::Taken);
    }

    #[test]
    fn a_source_that_found_the_queue_full_is_let_in_again() {
        let start = Instant::now();
        let mut queue = OutQueue::new(1000, PATIENCE);
        for n in 2..20 {
            fill(&mut queue, PortId(n), start);
        }
        assert_eq!(queue.offer(A, usize::MAX, &[7; 96], start + PATIENCE), Offer::Wait(start + PATIENCE * 2));
        assert_eq!(queue.offer(A, usize::MAX, &[7; 96], start + PATIENCE * 2), Offer::Refused);
        queue.write_to(&mut Takes(usize::MAX, Vec::new()), &mut false).unwrap();
        assert_eq!(queue.offer(A, usize::MAX, &[7; 96], start + PATIENCE * 2), Offer::Taken);
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let now = Instant::now();
        let mut queue = OutQueue::new(1 << 20, PATIENCE);
        for (i, source) in [A, B, A, A, B].into_iter().enumerate() {
            assert_eq!(queue.offer(source, usize::MAX, &[u8::try_from(i).unwrap(); 3], now), Offer::Taken);
        }
        let mut sink = Takes(usize::MAX, Vec::new());
        queue.write_to(&mut sink, &mut false).unwrap();
        let expected: Vec<u8> = (0..5u8).flat_map(|i| [0, 0, 0, 3, i, i, i]).collect();
        assert_eq!(sink.1, expected);
        assert!(queue.bytes.is_empty() && queue.shares.is_empty() && queue.runs.is_empty());
    }
}
