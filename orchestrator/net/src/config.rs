//! What can be set, with the defaults and why they are what they are.

use std::time::Duration;

/// Settings of the virtual network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetConfig {
    /// Largest IP packet on every link, in bytes. 9000: jumbo frames, as each frame costs more than its bytes do.
    pub mtu: u16,
    /// Bytes on their way to one port. One sender gets half, which is more than the TCP windows of a function's two connections.
    pub queue_bytes: usize,
    /// How long a sender waits for a full receiver before frames are dropped instead.
    pub patience: Duration,
    /// Buffer per direction of a control connection at the gateway, in bytes.
    pub control_buffer: usize,
    /// Bytes handed to the event sink and not yet reported by `consumed`; then the guest's window closes.
    pub control_unread: usize,
    /// Bytes accepted by `send_control` and not yet in the connection's buffer.
    pub control_unsent: usize,
    /// Buffer per direction of a source connection at the gateway, in bytes.
    pub source_buffer: usize,
    /// From a guest's SYN to the connection with the source, resolving included.
    pub connect_deadline: Duration,
    /// Source connections at one time, over all ports.
    pub source_connections: usize,
    /// How long a peer may be silent though it was asked (by data or keep-alives) before its connection is given up.
    pub silence: Duration,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            mtu: 9000,
            queue_bytes: 4 << 20,
            patience: Duration::from_millis(20),
            control_buffer: 128 << 10,
            control_unread: 1 << 20,
            control_unsent: 1 << 20,
            source_buffer: 512 << 10,
            connect_deadline: Duration::from_secs(5),
            source_connections: 256,
            silence: Duration::from_secs(60),
        }
    }
}

/// Smallest MTU: what IPv4 asks of every link, with room for TCP's headers.
pub const SMALLEST_MTU: u16 = 576;
