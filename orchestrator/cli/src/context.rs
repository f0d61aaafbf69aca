//! What every command has: the options, where its node is, and a runtime of one thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, Args, ValueEnum};
use fades_api::client::{Client, NodeAddress, Signer, SignerError};
use fades_api::codes;
use fades_envelope::{Purpose, SigningKey, sign};

use crate::failure::{Failure, Result};
use crate::output::Output;

/// Where `fades init` makes nodes listen, and where a node is looked for when nothing is said.
pub(crate) const LISTEN: &str = "127.0.0.1:8470";
/// The local socket in a node's folder.
pub(crate) const SOCKET: &str = "fadesd.sock";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How data is printed on stdout.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table", help_heading = EVERYWHERE)]
    output: Format,
    /// The node: http://HOST:PORT, unix:/PATH/fadesd.sock, or its folder. Without it, what FADES_NODE says; without
    /// that, the node whose folder is the current one, else http://127.0.0.1:8470.
    #[arg(long, global = true, value_name = "NODE", value_parser = node_address, help_heading = EVERYWHERE)]
    node: Option<NodeAddress>,
}

/// Heading of the options of every command, below a command's own.
const EVERYWHERE: &str = "Options of every command";
/// Names a node where `--node` does not. Read when a node is needed, so that commands without one run whatever it says.
const VARIABLE: &str = "FADES_NODE";

/// `--node` of a command that asks no node: taken, as everywhere, and not shown.
pub(crate) fn without_node() -> Arg {
    Arg::new("node").long("node").global(true).hide(true).value_name("NODE").value_parser(node_address)
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs: one document, or one per line where there are many.
    Json,
}

/// Reads `--node`.
fn node_address(text: &str) -> std::result::Result<NodeAddress, String> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| error.to_string());
    if let Some(path) = text.strip_prefix("unix:")
        && !path.starts_with('/')
        && !path.is_empty()
    {
        return Ok(NodeAddress::Unix(absolute(Path::new(path))?));
    }
    let is_folder = || text.contains('/') || Path::new(text).is_dir();
    if !text.contains(':') && is_folder() {
        return Ok(NodeAddress::Unix(absolute(&Path::new(text).join(SOCKET))?));
    }
    text.parse::<NodeAddress>().map_err(|error| match text.contains(':') {
        true => error.to_string(),
        false => "no folder of this name, and no address; a node is http://HOST:PORT, unix:/PATH, or DIR/"
            .to_owned(),
    })
}

/// What every command has.
#[derive(Debug)]
pub(crate) struct Context {
    options: Options,
}

impl Context {
    pub(crate) fn new(options: Options) -> Self {
        Self { options }
    }

    /// Where answers go.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.options.output)
    }

    /// Where the node is.
    pub(crate) fn address(&self) -> Result<NodeAddress> {
        if let Some(address) = &self.options.node {
            return Ok(address.clone());
        }
        if let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) {
            let text = text.to_string_lossy();
            return node_address(&text).map_err(|error| {
                Failure::usage(format!("{VARIABLE}={text}: {error}"))
                    .hint(format!("Correct or unset {VARIABLE}, or give --node."))
            });
        }
        Ok(match std::env::current_dir().map(|folder| folder.join(SOCKET)) {
            Ok(socket) if socket.exists() => NodeAddress::Unix(socket),
            _ => {
                let (host, port) = LISTEN.split_once(':').unwrap_or((LISTEN, ""));
                NodeAddress::Tcp { host: host.to_owned(), port: port.parse().unwrap_or(0) }
            }
        })
    }

    /// The local socket of the node in a folder.
    pub(crate) fn address_in(&self, folder: &Path) -> Result<NodeAddress> {
        let socket = std::path::absolute(folder.join(SOCKET))
            .map_err(|error| Failure::system(folder.display(), &error))?;
        Ok(NodeAddress::Unix(socket))
    }

    /// The folder of the node, where the address tells it.
    pub(crate) fn folder(&self) -> Result<Option<PathBuf>> {
        Ok(match self.address()? {
            NodeAddress::Unix(socket) => socket.parent().map(Path::to_owned),
            NodeAddress::Tcp { .. } => None,
        })
    }

    /// A client that signs nothing.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(self.address()?))
    }

    /// A client that signs its requests where a key is given.
    pub(crate) fn signing_client(&self, key: Option<&Path>) -> Result<Client> {
        match key {
            Some(path) => Ok(self.client()?.with_signer(Arc::new(KeySigner(SigningKey::read(path)?)))),
            None => self.client(),
        }
    }

    /// A client for what the operator alone may: over the node's local socket.
    pub(crate) fn operator(&self) -> Result<Client> {
        match self.address()? {
            NodeAddress::Unix(_) => self.client(),
            address @ NodeAddress::Tcp { .. } => {
                let message = format!("{address} is not a local socket, and this is the operator's to do");
                let hint = "On the node itself, give its folder: --node DIR/ (or FADES_NODE), or run this inside it.";
                Err(Failure::new(codes::LOCAL_ONLY, message).hint(hint))
            }
        }
    }

    /// Runs a future to its end on this thread.
    pub(crate) fn run<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::system("the runtime could not be started", &error))?;
        runtime.block_on(future)
    }
}

/// Signs requests with a key from a file.
struct KeySigner(SigningKey);

impl Signer for KeySigner {
    fn sign_request(&self, payload: &[u8]) -> std::result::Result<Vec<u8>, SignerError> {
        Ok(sign(&self.0, Purpose::Request, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_by_address_or_folder() {
        let unix = |path: &str| Ok(NodeAddress::Unix(std::path::absolute(path).unwrap()));
        assert_eq!(node_address("unix:/a/b.sock"), unix("/a/b.sock"));
        assert_eq!(node_address("unix:n/fadesd.sock"), unix("n/fadesd.sock"));
        assert_eq!(node_address("/a/n"), unix("/a/n/fadesd.sock"));
        assert_eq!(node_address("./n"), unix("n/fadesd.sock"));
        assert_eq!(node_address("n/"), unix("n/fadesd.sock"));
        assert_eq!(node_address("http://[::1]:9").unwrap().to_string(), "http://[::1]:9");
        // tests run in the crate's folder
        assert_eq!(node_address("src"), unix("src/fadesd.sock"));
        for text in ["", "n", "unix:", "https://a:1", "edge-1:8470"] {
            assert!(node_address(text).is_err(), "{text:?}");
        }
        assert!(node_address("n").unwrap_err().contains("DIR/"));
    }

    #[test]
    fn the_operator_needs_the_local_socket() {
        let node = Some("http://127.0.0.1:1".parse().unwrap());
        let context = Context::new(Options { output: Format::Table, node });
        let failure = context.operator().unwrap_err();
        assert_eq!(failure.code, Some(codes::LOCAL_ONLY));
        assert_eq!(context.folder().unwrap(), None);
    }
}
