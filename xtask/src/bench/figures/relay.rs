//! A thin link in user space: a TCP relay on loopback that lets through so many bytes a second each way, and counts them.
//!
//! The served side is the edge: what it sends goes up, what is sent to it comes down. Rates are of bytes of TCP's payload; the
//! link has no latency and loses nothing, so it flatters whoever sends much.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What is let through at once: a frame's worth.
const QUANTUM: usize = 1448;
/// What may pass at once after a pause, as time of the rate.
const BURST: Duration = Duration::from_millis(10);

/// Bytes a second, each way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    up: f64,
    down: f64,
}

impl Rates {
    /// From Mbit/s.
    pub(super) fn megabits(up: f64, down: f64) -> Self {
        Self { up: up * 1e6 / 8.0, down: down * 1e6 / 8.0 }
    }
}

/// A token bucket: what is taken beyond what is there has to be waited for.
#[derive(Debug)]
struct Bucket {
    /// Bytes a second.
    rate: f64,
    most: f64,
    tokens: f64,
    /// When `tokens` were so many.
    at: Duration,
}

impl Bucket {
    fn new(rate: f64) -> Self {
        let most = (rate * BURST.as_secs_f64()).max(2.0 * QUANTUM as f64);
        Self { rate, most, tokens: most, at: Duration::ZERO }
    }

    /// How long `bytes` have to wait that come at `now`. They count as gone.
    #[expect(clippy::cast_precision_loss, reason = "a quantum is small")]
    fn take(&mut self, now: Duration, bytes: usize) -> Duration {
        let since = now.saturating_sub(self.at).as_secs_f64();
        (self.at, self.tokens) = (now, self.most.min(self.tokens + since * self.rate) - bytes as f64);
        Duration::from_secs_f64((-self.tokens).max(0.0) / self.rate)
    }
}

/// One direction of the link, for all of its connections.
struct Way {
    bucket: Mutex<Bucket>,
    carried: AtomicU64,
    begun: Instant,
}

impl Way {
    fn new(rate: f64) -> Arc<Self> {
        Arc::new(Self {
            bucket: Mutex::new(Bucket::new(rate)),
            carried: AtomicU64::new(0),
            begun: Instant::now(),
        })
    }

    /// Until one side has ended.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; QUANTUM];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let wait =
                self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.begun.elapsed(), count);
            thread::sleep(wait);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
            self.carried.fetch_add(count as u64, Ordering::Relaxed);
        }
        // Whoever has gone already needs not be told.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }
}

/// The link's far end, on a port of its own until the process ends.
pub(super) struct Relay {
    port: u16,
    up: Arc<Way>,
    down: Arc<Way>,
}

impl Relay {
    /// To a port of loopback, which is the edge's.
    pub(super) fn start(edge: u16, rates: Rates) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for the link's far end")?;
        let port = listener.local_addr()?.port();
        let (up, down) = (Way::new(rates.up), Way::new(rates.down));
        let ways = (Arc::clone(&up), Arc::clone(&down));
        thread::spawn(move || {
            for cloud in listener.incoming().map_while(Result::ok) {
                if let Err(error) = join(cloud, edge, &ways) {
                    eprintln!("   the link: connect to port {edge} of this machine: {error}");
                }
            }
        });
        Ok(Self { port, up, down })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Bytes that left the edge, and bytes that came to it.
    pub(super) fn carried(&self) -> (u64, u64) {
        (self.up.carried.load(Ordering::Relaxed), self.down.carried.load(Ordering::Relaxed))
    }
}

fn join(cloud: TcpStream, edge: u16, (up, down): &(Arc<Way>, Arc<Way>)) -> std::io::Result<()> {
    let edge = TcpStream::connect((Ipv4Addr::LOCALHOST, edge))?;
    for stream in [&cloud, &edge] {
        stream.set_nodelay(true)?;
    }
    let (from_edge, to_cloud) = (edge.try_clone()?, cloud.try_clone()?);
    let (up, down) = (Arc::clone(up), Arc::clone(down));
    thread::spawn(move || up.carry(from_edge, to_cloud));
    thread::spawn(move || down.carry(cloud, edge));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_rate_and_no_more_than_its_burst() {
        let rate = 100_000.0;
        let mut bucket = Bucket::new(rate);
        let (mut now, mut sent) = (Duration::from_secs(5), 0);
        let begun = now;
        while sent < 1_000_000 {
            now += bucket.take(now, QUANTUM);
            sent += QUANTUM;
        }
        #[expect(clippy::cast_precision_loss, reason = "a million")]
        let wanted = (sent as f64 - bucket.most) / rate;
        assert!(((now - begun).as_secs_f64() - wanted).abs() < 0.001, "{:?}", now - begun);
        // A long pause saves up a burst, and not what might have passed.
        now += Duration::from_secs(60);
        let mut free = 0;
        while bucket.take(now, QUANTUM).is_zero() {
            free += QUANTUM;
        }
        #[expect(clippy::cast_precision_loss, reason = "a burst")]
        let free = free as f64;
        assert!(free <= bucket.most, "{free} bytes at once");
    }

    /// Sends `bytes` each way at the same time; seconds until the far side had them all.
    fn both_ways(rates: Rates, up: usize, down: usize) -> (f64, f64, (u64, u64)) {
        let edge = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::start(edge.local_addr().unwrap().port(), rates).unwrap();
        let mut cloud = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port())).unwrap();
        let (mut edge, _) = edge.accept().unwrap();
        let (mut to_edge, mut to_cloud) = (cloud.try_clone().unwrap(), edge.try_clone().unwrap());
        let begun = Instant::now();
        thread::spawn(move || to_cloud.write_all(&vec![1; up]));
        thread::spawn(move || to_edge.write_all(&vec![2; down]));
        let at_edge = thread::spawn(move || {
            edge.read_exact(&mut vec![0; down]).unwrap();
            begun.elapsed().as_secs_f64()
        });
        cloud.read_exact(&mut vec![0; up]).unwrap();
        let at_cloud = begun.elapsed().as_secs_f64();
        let at_edge = at_edge.join().unwrap();
        (at_cloud, at_edge, relay.carried())
    }

    #[test]
    fn each_way_holds_its_own_rate_whatever_the_other_does() {
        let (up, down) = (100_000.0, 1_000_000.0);
        let (at_cloud, at_edge, carried) = both_ways(Rates { up, down }, 150_000, 1_500_000);
        // Never faster; a machine that is busy may be late, but one way does not take the other's share, which would be tenfold.
        let seconds = 1.5;
        for (took, burst) in [(at_cloud, 3_000.0 / up), (at_edge, BURST.as_secs_f64())] {
            assert!(took >= seconds - burst - 0.001, "{took} s where {seconds} are the least");
            assert!(took < 4.0 * seconds, "{took} s");
        }
        // The last count may come a moment after its bytes.
        assert!(
            carried.0 >= 150_000 - QUANTUM as u64 && carried.1 >= 1_500_000 - QUANTUM as u64,
            "{carried:?}"
        );
    }
}
