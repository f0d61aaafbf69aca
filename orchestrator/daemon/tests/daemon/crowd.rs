//! THREATS A8: hundreds of slow connections, and thousands that are idle. How fast the honest are served beside them is a figure, told
//! and not judged here: machines are shared.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fades_testkit::Script;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{over_tcp, over_unix, request};
use crate::support::{TestNode, eventually};

/// Slow ones at once.
const SLOW: usize = 500;
/// Idle ones at once.
const IDLE: usize = 10_000;
/// Connections of one address, so that no address has more than it may.
const EACH: usize = 16;
/// The deadline of a head and of a body.
const DEADLINE: Duration = Duration::from_secs(2);
/// How much later than its deadline a connection may be seen to be closed.
const LATE: Duration = Duration::from_secs(1);
/// What the node may take for each connection that it holds, and beside that, bytes.
const MEMORY: (u64, u64) = (64 << 10, 32 << 20);

/// As many files as this process may have.
fn many_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

/// The `number`th connection, from an address of its group.
async fn connect(to: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let group = number / EACH;
    let from = [127, 1, u8::try_from(group / 250).unwrap(), u8::try_from(group % 250 + 1).unwrap()];
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to).await
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Sends a byte now and then until it is closed; how long that took. Every other one has sent a head and is slow with its body.
async fn dribble(to: SocketAddr, number: usize) -> Duration {
    let mut stream = connect(to, number).await.unwrap();
    let start = Instant::now();
    let body = number.is_multiple_of(2);
    let length = if body { "Content-Type: application/cose\r\nContent-Length: 5000\r\n\r\n" } else { "X: " };
    let head = format!("POST /v1/tasks HTTP/1.1\r\nHost: node\r\n{length}");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => if !matches!(read, Ok(1..)) { return start.elapsed() },
            () = tokio::time::sleep(Duration::from_millis(100)) => if stream.write_all(b"x").await.is_err() {
                return start.elapsed();
            },
        }
    }
}

/// How long an honest one waits for its answer, 99 times of 100.
async fn honest(node: &TestNode, until: impl Fn() -> bool) -> Duration {
    let mut took = Vec::new();
    while took.len() < 100 || !until() {
        let start = Instant::now();
        assert_eq!(over_tcp(node.tcp, &request("GET", "/v1/node", &[], b"")).await.status, 200);
        took.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort();
    took[took.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_slow_connections_are_closed_in_time_and_others_served_beside_them() {
    many_files();
    let node = TestNode::with(Script::default(), |config| {
        let ms = u64::try_from(DEADLINE.as_millis()).unwrap();
        (config.door.head_ms, config.door.body_ms) = (ms, ms);
        config.door.connections = 2 * SLOW;
    })
    .await;
    let quiet = honest(&node, || true).await;
    let to = node.tcp;
    let slow: Vec<_> = (0..SLOW).map(|number| tokio::spawn(dribble(to, number))).collect();
    eventually("there", async || node.node.metrics.connections_open.get() >= SLOW as u64 / 2).await;
    let crowded = honest(&node, || slow.iter().all(tokio::task::JoinHandle::is_finished)).await;
    let mut longest = Duration::ZERO;
    for connection in slow {
        longest = longest.max(connection.await.unwrap());
    }
    assert!(longest < DEADLINE + LATE, "one was open for {longest:?}");
    println!(
        "tried: {SLOW} | closed after {longest:.1?} at most; p99 of others {crowded:.1?}, quiet {quiet:.1?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_ten_thousand_idle_connections_are_bounded() {
    many_files();
    let node = TestNode::with(Script::default(), |config| {
        config.door.head_ms = u64::try_from(DEADLINE.as_millis()).unwrap();
    })
    .await;
    let (most, before) = (node.node.config.door.connections, resident());
    let (mut held, mut peak, mut grown) = (Vec::new(), 0, 0);
    for number in 0..IDLE {
        // One that finds no place may be refused while it is made.
        held.extend(connect(node.tcp, number).await.ok());
        if number % 100 == 0 {
            peak = peak.max(node.node.metrics.connections_open.get());
            grown = grown.max(resident().saturating_sub(before));
        }
    }
    assert!(peak > 0 && peak <= most as u64, "{peak} open, of {most}");
    assert!(grown < MEMORY.0 * most as u64 + MEMORY.1, "{grown} bytes more for {most} connections");
    // The operator is let in meanwhile, and everybody when their time is over, though they still hold on.
    assert_eq!(over_unix(&node.socket, &request("GET", "/livez", &[], b"")).await.status, 200);
    eventually("let in", async || {
        let Ok(mut stream) = TcpStream::connect(node.tcp).await else { return false };
        let asked = stream.write_all(&request("GET", "/livez", &[], b"")).await.is_ok();
        let mut answer = [0; 12];
        asked && stream.read_exact(&mut answer).await.is_ok() && answer == *b"HTTP/1.1 200"
    })
    .await;
    println!("tried: {IDLE} | {peak} open at once, {} KiB more", grown >> 10);
}
