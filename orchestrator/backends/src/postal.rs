//! A virtual network whose guests do not reach the orchestrator through it: control messages go by a post, everything else as it
//! did.

use std::net::IpAddr;
use std::sync::Arc;

use fades_core::ids::Role;
use fades_core::network::{
    Network, NetworkCounters, NetworkError, Port, PortId, SourceAddress, SourceEndpoint,
};
use fades_wire::address::Control;

/// Carries control messages between this process and its guests. The backend opens a box for each; both tell the same sink of
/// events as the network.
pub trait Post: Send + Sync {
    /// How a guest is told to reach it.
    fn control(&self) -> Control;

    /// [`Network::send_control`].
    ///
    /// # Errors
    /// As there.
    fn send(&self, port: PortId, bytes: &[u8]) -> Result<(), NetworkError>;

    /// [`Network::close_control`].
    fn close(&self, port: PortId);

    /// Tells that a [`fades_core::network::NetEvent::ControlData`] of so many bytes has been dealt with; once for each. Without
    /// it, what a guest that has sent 1 MiB writes is left where it is, and that of one whose events are small somewhat sooner.
    fn consumed(&self, port: PortId, bytes: usize);

    /// Connections since the start.
    fn connections(&self) -> u64;
}

/// A virtual network with a post beside it.
pub struct PostalNetwork {
    network: Arc<dyn Network>,
    post: Arc<dyn Post>,
}

impl PostalNetwork {
    /// Puts `post` beside `network`.
    #[must_use]
    pub fn new(network: Arc<dyn Network>, post: Arc<dyn Post>) -> Self {
        Self { network, post }
    }
}

impl Network for PostalNetwork {
    fn attach(&self, role: Role) -> Result<Port, NetworkError> {
        Ok(Port { control: self.post.control(), ..self.network.attach(role)? })
    }

    fn detach(&self, port: PortId) {
        self.post.close(port);
        self.network.detach(port);
    }

    fn register_source(&self, name: &str, endpoint: SourceEndpoint) -> Result<SourceAddress, NetworkError> {
        self.network.register_source(name, endpoint)
    }

    fn unregister_source(&self, name: &str) {
        self.network.unregister_source(name);
    }

    fn leads(&self, endpoint: SourceEndpoint, address: IpAddr) -> Result<(), NetworkError> {
        self.network.leads(endpoint, address)
    }

    fn send_control(&self, port: PortId, bytes: Vec<u8>) -> Result<(), NetworkError> {
        self.post.send(port, &bytes)
    }

    fn close_control(&self, port: PortId) {
        self.post.close(port);
    }

    fn counters(&self) -> NetworkCounters {
        let counters = self.network.counters();
        let control_connections = counters.control_connections + self.post.connections();
        NetworkCounters { control_connections, ..counters }
    }
}
