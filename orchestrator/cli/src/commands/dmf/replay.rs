//! A source for one run: a fixture behind a port of the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use fades_points::{Fixture, Replay};

use crate::failure::{Failure, Result};

/// Longest silence of a broker.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves the fixture until this program ends; where.
pub(super) fn serve(fixture: Fixture) -> Result<SocketAddr> {
    let failed = |error: std::io::Error| Failure::system("a port for the readings", &error);
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let replay = Replay::new(fixture);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let replay = replay.clone();
            // One that breaks off is the broker's to report.
            std::thread::spawn(move || drop(answer(&replay, stream)));
        }
    });
    Ok(address)
}

fn answer(replay: &Replay, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    let answer = loop {
        let count = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..count]);
        match replay.answer(&request) {
            Some(answer) => break answer,
            None if count == 0 => return Ok(()),
            None => {}
        }
    };
    for piece in answer {
        stream.write_all(&piece)?;
    }
    stream.flush()
}
