//! A real OCI registry on loopback: the program of Debian's package `docker-registry`, with a configuration and a folder of
//! its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where Debian puts it.
const PROGRAM: &str = "/usr/bin/docker-registry";

/// A running registry; ended when dropped.
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    folder: PathBuf,
    child: Child,
}

impl Registry {
    /// Starts one with its data below `folder`; none where it is not installed.
    pub(crate) fn start(folder: PathBuf) -> Option<Self> {
        Self::run(folder, "")
    }

    /// The same for `edge` with the password `secret` alone.
    pub(crate) fn with_password(folder: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("users");
        // bcrypt is all that the registry reads
        std::fs::write(&file, "edge:$2b$04$ZjOaucTCySMBo2uj1XEaOuGjlqxln8Vuok7p/zpxFnNWVKKd1kJvO\n").unwrap();
        let settings = format!("auth:\n  htpasswd:\n    realm: tests\n    path: {}\n", file.display());
        Self::run(folder, &settings)
    }

    fn run(folder: PathBuf, settings: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            eprintln!(
                "SKIPPED: a real registry is needed (apt-get install docker-registry, or cargo xtask setup)"
            );
            return None;
        }
        std::fs::create_dir_all(&folder).unwrap();
        // free now; who takes it in between makes the registry end, and the test with it
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let configuration = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: {address}\n{settings}",
            folder.join("data").display()
        );
        std::fs::write(&configuration, text).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(PROGRAM)
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut registry = Self { address, folder, child };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&registry.address).is_err() {
            let log = || std::fs::read_to_string(registry.folder.join("log")).unwrap_or_default();
            assert!(registry.child.try_wait().unwrap().is_none(), "the registry ended: {}", log());
            assert!(Instant::now() < deadline, "the registry does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    fn curl(&self, words: &[&str], path: &str) -> Vec<u8> {
        let url = format!("http://{}/v2/{path}", self.address);
        let output =
            Command::new("curl").args(["-sSf", "--noproxy", "*"]).args(words).arg(url).output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The tags of a repository, as the registry has them.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let list: Value =
            serde_json::from_slice(&self.curl(&[], &format!("{repository}/tags/list"))).unwrap();
        list["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    /// What the registry has for a tag.
    pub(crate) fn manifest(&self, repository: &str, tag: &str) -> Value {
        let accept = ["-H", "Accept: application/vnd.oci.image.manifest.v1+json"];
        serde_json::from_slice(&self.curl(&accept, &format!("{repository}/manifests/{tag}"))).unwrap()
    }

    /// Puts somebody's manifest.
    pub(crate) fn put_manifest(&self, repository: &str, tag: &str, text: &str) {
        let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json";
        self.curl(
            &["-X", "PUT", "-H", kind, "--data-binary", text],
            &format!("{repository}/manifests/{tag}"),
        );
    }

    /// Changes a blob on the registry's disk.
    pub(crate) fn tamper(&self, digest: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let digits = digest.strip_prefix("sha256:").unwrap();
        let folder = self.folder.join("data/docker/registry/v2/blobs/sha256");
        let file = folder.join(&digits[..2]).join(digits).join("data");
        let mut bytes = std::fs::read(&file).unwrap();
        change(&mut bytes);
        std::fs::write(&file, bytes).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
