//! The virtual network of a Xen host: control messages go by the post, everything else as it did.

use std::sync::Arc;

use fades_core::ids::Role;
use fades_core::network::{
    Network, NetworkCounters, NetworkError, Port, PortId, SourceAddress, SourceEndpoint,
};
use fades_wire::address::Control;

use super::mail::XenPost;

/// A virtual network whose guests are domains of this host, and reach the orchestrator through XenStore.
pub struct XenNetwork {
    network: Arc<dyn Network>,
    post: Arc<XenPost>,
}

impl XenNetwork {
    /// Puts `post` beside `network`. The backend opens the mailboxes; both tell the same sink of events.
    #[must_use]
    pub fn new(network: Arc<dyn Network>, post: Arc<XenPost>) -> Self {
        Self { network, post }
    }
}

impl Network for XenNetwork {
    fn attach(&self, role: Role) -> Result<Port, NetworkError> {
        Ok(Port { control: Control::Store, ..self.network.attach(role)? })
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
