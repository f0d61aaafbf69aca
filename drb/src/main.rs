//! The broker as a unikernel; on the host, the same as a process. Everything it decides is decided in the library.

#![forbid(unsafe_code)]

mod drive;

use drive::Driver;
use fades_guest::{Identity, boot, exit};
use fades_wire::address::{Control, DATA_PORT};
use fades_wire::exit::ExitCode;
use fades_wire::ids::Role;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

const IDENTITY: Identity = Identity { role: Role::Broker, image: concat!("drb ", env!("CARGO_PKG_VERSION")) };

fn main() {
    let guest = boot(IDENTITY);
    let by_network = matches!(guest.parameters.control, Control::Network(_));
    let data = if by_network { data_address().map(Some) } else { Ok(None) };
    let driver = data.and_then(|data| Driver::new(guest.control, data));
    let Err(error) = driver.and_then(|mut driver| driver.run());
    exit::end(ExitCode::Failed, &exit::words(&error));
}

/// Where functions connect to. On the host `FADES_DATA` says otherwise, as several brokers may run there.
fn data_address() -> std::io::Result<SocketAddr> {
    let usual = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, DATA_PORT));
    match std::env::var("FADES_DATA") {
        Ok(text) if cfg!(not(target_os = "hermit")) => text.parse().map_err(std::io::Error::other),
        _ => Ok(usual),
    }
}
