//! Somebody between a service and its node, who changes what the node answers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// Serves at the address that it gives until the process ends: what the node at `url` says, with every `change.0` made
/// a `change.1` of the same length.
pub(crate) fn between(url: &str, change: (&'static str, &'static str)) -> String {
    assert_eq!(change.0.len(), change.1.len());
    let node = url.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for service in listener.incoming() {
            relay(&mut service.unwrap(), &mut TcpStream::connect(&node).unwrap(), change);
        }
    });
    address
}

/// One request and its answer, which the node ends by closing, as the request asks it to.
fn relay(service: &mut TcpStream, node: &mut TcpStream, change: (&str, &str)) {
    // a request is at its end when no more of it comes: a service that waits is one that has said all
    service.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut bytes = [0; 64 * 1024];
    loop {
        match service.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => node.write_all(&bytes[..count]).unwrap(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let mut answer = Vec::new();
    node.read_to_end(&mut answer).unwrap();
    let (from, to) = (change.0.as_bytes(), change.1.as_bytes());
    while let Some(at) = answer.windows(from.len()).position(|window| window == from) {
        answer[at..at + to.len()].copy_from_slice(to);
    }
    service.write_all(&answer).unwrap();
    // gone already, where it has read enough
    let _ = service.shutdown(Shutdown::Both);
}
