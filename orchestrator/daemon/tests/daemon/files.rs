//! A process that may open no more files: what knocks waits or is told, what runs goes on, and it is over by itself.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{read, request};
use crate::support::{COSE, TestNode, id};

/// Files that the process may open beside those that it has.
const MORE: usize = 16;

#[test]
fn a_node_out_of_files_goes_on_and_serves_again_when_there_are_some() {
    // In a process of its own, as the limit is every test's.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["files::node_of_few_files", "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Takes every file that there is, also those that come free: connections may still end.
async fn hold_all(held: &mut Vec<File>) {
    for _ in 0..10 {
        held.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[ignore = "the test above runs it in a process of its own"]
#[tokio::test(flavor = "multi_thread")]
async fn node_of_few_files() {
    let node = TestNode::new().await;
    let wrapper = node.signed(&id(1), |_| {});
    let mut open = TcpStream::connect(node.tcp).await.unwrap();
    open.write_all(b"GET /livez HTTP/1.1\r\nHost: node\r\n\r\n").await.unwrap();
    assert!(open.read(&mut [0; 4096]).await.unwrap() > 0, "it is inside");

    let (before, has) = (getrlimit(Resource::Nofile), std::fs::read_dir("/proc/self/fd").unwrap().count());
    let few = Rlimit { current: Some((has + MORE) as u64), maximum: before.maximum };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut held: Vec<File> = Vec::new();
    hold_all(&mut held).await;
    assert!(held.len() >= MORE / 2, "{} files were left", held.len());
    // Whoever is inside is served, to the disk and back.
    open.write_all(&request("POST", "/v1/tasks", &[COSE], &wrapper)).await.unwrap();
    let accepted = read(&mut open).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");

    // Room for this end, and none for the node's.
    drop(open);
    hold_all(&mut held).await;
    drop(held.pop());
    let mut waits = TcpStream::connect(node.tcp).await.unwrap();
    waits.write_all(&request("GET", "/livez", &[], b"")).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_millis(500), read(&mut waits)).await;
    assert!(answer.is_err(), "it was let in: {answer:?}");

    // Who waited is let in without a hand, and what was accepted has ended.
    drop(held);
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), read(&mut waits)).await.unwrap().status, 200);
    // No guest could be started: that is told, and nothing is left of it.
    let view = node.ended(&id(1)).await;
    assert_eq!((view["state"].as_str(), view["code"].as_str()), (Some("failed"), Some("E3013")), "{view}");
    node.quiet().await;
    assert_eq!(node.submit(&node.signed(&id(2), |_| {})).await.status, 202);
    assert_eq!(node.ended(&id(2)).await["state"], "succeeded");
}
