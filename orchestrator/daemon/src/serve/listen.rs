//! Where connections come from: TCP addresses and the node's local socket.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::Peer;

/// A place to listen at.
pub enum Listener {
    /// Services on the network.
    Tcp(TcpListener),
    /// The operator on this machine. The socket file goes when the listener does.
    Local(UnixListener, SocketFile),
}

/// Removes the socket's file in the end.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the socket file was gone already");
        }
    }
}

/// Why it cannot be listened there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// TCP.
    #[error("cannot listen on {address}")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The local socket.
    #[error("cannot listen on {}", path.display())]
    Local {
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener {
    /// Listens on a TCP address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(address).await;
        listener.map(Self::Tcp).map_err(|source| ListenError::Tcp { address, source })
    }

    /// Listens on a local socket of mode 0600. A file left there is taken for a dead daemon's: the caller holds the
    /// folder's lock.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn local(path: &Path) -> Result<Self, ListenError> {
        let refused = |source| ListenError::Local { path: path.to_owned(), source };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(refused)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
        Ok(Self::Local(listener, SocketFile(path.to_owned())))
    }

    /// The TCP address, as the system gave it.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Local(..) => None,
        }
    }

    pub(crate) async fn accept(&self) -> std::io::Result<(Box<dyn Stream>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Peer::Remote(address.ip())))
            }
            Self::Local(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Box::new(stream), Peer::Local { uid }))
            }
        }
    }
}
