//! A real influxd in a temporary folder, on a loopback port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Influxd {
    child: Child,
    folder: PathBuf,
    pub address: SocketAddrV4,
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Influxd {
    /// Starts one, or gives `None` where none is installed.
    pub fn start(name: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("fades-drb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (http, rpc) = (free_port(), free_port());
        let path = |part: &str| folder.join(part).display().to_string();
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n[meta]\ndir = {:?}\n[data]\ndir = {:?}\nwal-dir = {:?}\n\
             [http]\nbind-address = \"127.0.0.1:{http}\"\nlog-enabled = false\n[monitor]\nstore-enabled = false\n",
            path("meta"),
            path("data"),
            path("wal"),
        );
        std::fs::write(folder.join("influxd.conf"), config).unwrap();
        let started = Command::new("influxd")
            .args(["run", "-config", &path("influxd.conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            let _ = std::fs::remove_dir_all(&folder);
            return None;
        };
        let influxd = Self { child, folder, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, http) };
        let start = Instant::now();
        while influxd.try_request("GET /ping HTTP/1.0\r\n\r\n", &[]).is_none() {
            assert!(start.elapsed() < Duration::from_secs(30), "influxd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(influxd)
    }

    fn try_request(&self, head: &str, body: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn post(&self, path: &str, body: &[u8]) -> String {
        let head = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = self.try_request(&head, body).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{path}: {answer}");
        answer
    }

    pub fn create(&self, database: &str) {
        self.post(&format!("/query?q=CREATE+DATABASE+{database}"), b"");
    }

    pub fn write(&self, database: &str, lines: &str) {
        self.post(&format!("/write?db={database}"), lines.as_bytes());
    }

    /// Stops it without a word, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Influxd {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
