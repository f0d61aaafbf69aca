//! What every command has: the options, where its node is, and a runtime of one thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
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
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// The node: http://HOST:PORT, unix:/PATH/fadesd.sock, or its folder (a path with a slash). Without it, the node
    /// whose folder is the current one, else http://127.0.0.1:8470.
    #[arg(long, global = true, env = "FADES_NODE", value_name = "URL", value_parser = node_address)]
    node: Option<NodeAddress>,
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
    if text.contains('/') && !text.contains(':') {
        return Ok(NodeAddress::Unix(absolute(&Path::new(text).join(SOCKET))?));
    }
    text.parse::<NodeAddress>().map_err(|error| error.to_string())
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
    pub(crate) fn address(&self) -> NodeAddress {
        if let Some(address) = &self.options.node {
            return address.clone();
        }
        match std::env::current_dir().map(|folder| folder.join(SOCKET)) {
            Ok(socket) if socket.exists() => NodeAddress::Unix(socket),
            _ => {
                let (host, port) = LISTEN.split_once(':').unwrap_or((LISTEN, ""));
                NodeAddress::Tcp { host: host.to_owned(), port: port.parse().unwrap_or(0) }
            }
        }
    }

    /// The local socket of the node in a folder.
    pub(crate) fn address_in(&self, folder: &Path) -> Result<NodeAddress> {
        let socket = std::path::absolute(folder.join(SOCKET))
            .map_err(|error| Failure::system(folder.display(), &error))?;
        Ok(NodeAddress::Unix(socket))
    }

    /// The folder of the node, where the address tells it.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        match self.address() {
            NodeAddress::Unix(socket) => socket.parent().map(Path::to_owned),
            NodeAddress::Tcp { .. } => None,
        }
    }

    /// A client that signs nothing.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// A client that signs its requests where a key is given.
    pub(crate) fn signing_client(&self, key: Option<&Path>) -> Result<Client> {
        match key {
            Some(path) => Ok(self.client().with_signer(Arc::new(KeySigner(SigningKey::read(path)?)))),
            None => Ok(self.client()),
        }
    }

    /// A client for what the operator alone may: over the node's local socket.
    pub(crate) fn operator(&self) -> Result<Client> {
        match self.address() {
            NodeAddress::Unix(_) => Ok(self.client()),
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
        for text in ["", "n", "unix:", "https://a:1", "edge-1:8470"] {
            assert!(node_address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_operator_needs_the_local_socket() {
        let node = Some("http://127.0.0.1:1".parse().unwrap());
        let context = Context::new(Options { output: Format::Table, node });
        let failure = context.operator().unwrap_err();
        assert_eq!(failure.code, Some(codes::LOCAL_ONLY));
        assert_eq!(context.folder(), None);
    }
}
