//! The network that is a table.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fades_core::Role;
use fades_core::network::{
    NetEvent, NetEventSink, Network, NetworkCounters, NetworkError, Port, PortId, SourceAddress,
    SourceEndpoint,
};
use fades_wire::address::{CONTROL_PORT, Control, Endpoint, FIRST_SOURCE_PORT, GATEWAY};

use crate::line::Arrival;

struct Station {
    role: Role,
    mac: [u8; 6],
    connected: bool,
    arrivals: Option<Sender<Arrival>>,
    /// Our end of the link: open as long as the port is.
    _link: UnixStream,
}

#[derive(Default)]
struct Table {
    ports: BTreeMap<PortId, Station>,
    given: u16,
    sources: BTreeMap<String, (SourceEndpoint, u16)>,
    attaches_to_fail: u32,
    counters: NetworkCounters,
}

/// A network without frames: control connections lead straight to the scripted guests.
pub struct ScriptedNetwork {
    table: Mutex<Table>,
    sink: NetEventSink,
}

impl ScriptedNetwork {
    /// An empty network that tells its events to `sink`.
    #[must_use]
    pub fn new(sink: NetEventSink) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), sink })
    }

    /// The next so many attaches fail for want of an address.
    pub fn fail_attaches(&self, count: u32) {
        self.table().attaches_to_fail = count;
    }

    /// Closes the control connection of every guest of this role, as if the guests had.
    pub fn cut(&self, role: Role) {
        let cut: Vec<PortId> = self
            .table()
            .ports
            .iter()
            .filter(|(_, station)| station.role == role)
            .map(|(id, _)| *id)
            .collect();
        cut.into_iter().for_each(|port| self.close(port));
    }

    /// Ports that are given out.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.table().ports.len()
    }

    /// Where a registered source really is.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<SourceEndpoint> {
        self.table().sources.get(name).map(|(endpoint, _)| endpoint.clone())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A test that panics must not make every other thread panic as well.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest with this address boots: what comes for it goes there.
    pub(crate) fn plug(&self, mac: [u8; 6], arrivals: Sender<Arrival>) -> Option<PortId> {
        let mut table = self.table();
        let (port, station) = table.ports.iter_mut().find(|(_, station)| station.mac == mac)?;
        station.arrivals = Some(arrivals);
        Some(*port)
    }

    pub(crate) fn guest_connects(&self, port: PortId) {
        let mut table = self.table();
        let Some(station) = table.ports.get_mut(&port) else { return };
        station.connected = true;
        table.counters.control_connections += 1;
        drop(table);
        (self.sink)(NetEvent::ControlConnected(port));
    }

    pub(crate) fn guest_sends(&self, port: PortId, bytes: Vec<u8>) {
        let connected = self.table().ports.get(&port).is_some_and(|station| station.connected);
        if connected {
            (self.sink)(NetEvent::ControlData(port, bytes));
        }
    }

    pub(crate) fn close(&self, port: PortId) {
        let mut table = self.table();
        let was = table.ports.get_mut(&port).is_some_and(|station| std::mem::take(&mut station.connected));
        drop(table);
        if was {
            (self.sink)(NetEvent::ControlClosed(port));
        }
    }
}

impl Network for ScriptedNetwork {
    fn attach(&self, role: Role) -> Result<Port, NetworkError> {
        let mut table = self.table();
        if table.attaches_to_fail > 0 {
            table.attaches_to_fail -= 1;
            return Err(NetworkError::NoAddress);
        }
        let (ours, theirs) = UnixStream::pair()
            .map_err(|source| NetworkError::Io { action: "make a socket pair".into(), source })?;
        table.given += 1;
        let [high, low] = table.given.to_be_bytes();
        let id = PortId(table.given.into());
        let mac = [0x02, 0, 0, 0, high, low];
        let station = Station { role, mac, connected: false, arrivals: None, _link: ours };
        table.ports.insert(id, station);
        // Above the gateway's own .0.1 for as many guests as a test can start.
        let address = Ipv4Addr::new(10, 77, high + 1, low);
        let control = Control::Network(Endpoint::new(GATEWAY, CONTROL_PORT));
        Ok(Port { id, address, mac, mtu: 9000, link: theirs.into(), control })
    }

    fn detach(&self, port: PortId) {
        self.close(port);
        self.table().ports.remove(&port);
    }

    fn register_source(&self, name: &str, endpoint: SourceEndpoint) -> Result<SourceAddress, NetworkError> {
        let mut table = self.table();
        let next =
            u16::try_from(table.sources.len()).ok().and_then(|used| FIRST_SOURCE_PORT.checked_add(used));
        let known = table.sources.get(name).map(|(_, port)| *port);
        let Some(port) = known.or(next) else {
            return Err(NetworkError::NoSourcePort { name: name.into() });
        };
        table.sources.insert(name.into(), (endpoint, port));
        Ok(SourceAddress { address: GATEWAY, port })
    }

    /// Everywhere: what a name may mean is tested where it is judged.
    fn leads(&self, _: SourceEndpoint, _: IpAddr) -> Result<(), NetworkError> {
        Ok(())
    }

    fn unregister_source(&self, name: &str) {
        self.table().sources.remove(name);
    }

    fn send_control(&self, port: PortId, bytes: Vec<u8>) -> Result<(), NetworkError> {
        let table = self.table();
        let station = table.ports.get(&port).ok_or(NetworkError::UnknownPort(port))?;
        let arrivals = station.arrivals.as_ref().filter(|_| station.connected);
        // A guest that has just ended hears nothing, as on a real network.
        let sent = arrivals.map(|arrivals| arrivals.send(Arrival::Bytes(bytes)).is_ok());
        sent.map(|_| ()).ok_or(NetworkError::NotConnected(port))
    }

    fn close_control(&self, port: PortId) {
        self.close(port);
    }

    fn counters(&self) -> NetworkCounters {
        self.table().counters
    }
}
