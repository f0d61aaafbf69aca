//! What a guest's domain is to be. Pure: a specification in, a configuration for `xl` out, or the value that does not go.

use std::os::fd::RawFd;

use fades_core::backend::{BackendError, GuestSpec};
use fades_core::ids::Role;
use fades_wire::address::Control;
use fades_xen_toolstack::config::{CommandLine, ConfigError, FilePath, Mac, Memory, Network};
use fades_xen_toolstack::{DomainConfig, DomainName};

/// What libxl runs when the network device comes and goes: nothing is to be done, as this backend does it.
const SCRIPT: &str = "/bin/true";

/// The domain of `spec` on the node `instance`, in this run of its daemon.
pub(super) fn domain(
    instance: &str,
    run: u32,
    spec: &GuestSpec,
    kernel: RawFd,
    ramdisk: RawFd,
) -> Result<DomainConfig, BackendError> {
    let refused = |reason: String| BackendError::Spec { name: spec.name.clone(), reason };
    let value = |error: ConfigError| refused(error.to_string());
    // Task ids are in capitals, names of domains are not.
    let guest = spec.name.to_ascii_lowercase();
    Ok(DomainConfig {
        name: DomainName::of_guest(instance, &guest, run).map_err(|error| refused(error.to_string()))?,
        uuid: None,
        kernel: descriptor(kernel).map_err(value)?,
        ramdisk: Some(descriptor(ramdisk).map_err(value)?),
        command_line: CommandLine::new(&spec.command_line).map_err(value)?,
        memory: Memory::mib(spec.memory_mib).map_err(value)?,
        network: match (spec.role, spec.control) {
            (Role::Broker, _) | (Role::Function, Control::Network(_)) => Some(Network {
                mac: Mac::new(spec.mac).map_err(value)?,
                interface: None,
                script: FilePath::new(SCRIPT).map_err(value)?,
            }),
            // Control goes through XenStore, data through memory shared with the broker: nothing is left for a network.
            (Role::Function, Control::Store | Control::Region) => None,
        },
    })
}

/// An inherited descriptor as a file: not a name that could come to mean another one. libxl opens it, asks its size, and
/// maps it, which all goes with a sealed file in memory.
pub(super) fn descriptor(number: RawFd) -> Result<FilePath, ConfigError> {
    FilePath::new(&format!("/proc/self/fd/{number}"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use fades_core::backend::Architecture;
    use fades_core::network::PortId;
    use fades_wire::address::{CONTROL_PORT, Endpoint, GATEWAY};

    use super::*;

    fn spec() -> GuestSpec {
        let fd = || OwnedFd::from(UnixStream::pair().unwrap().0);
        GuestSpec {
            name: "dmf-01J7".to_owned(),
            role: Role::Function,
            image: [0; 32],
            architecture: Architecture::NATIVE,
            memory_mib: 64,
            command_line: "-ip 10.0.0.2 env=FADES_ROLE=dmf".to_owned(),
            seed: [0; 32],
            time_unix_us: 0,
            loader: fd(),
            application: fd(),
            port: PortId(1),
            control: Control::Store,
            link: fd(),
            mac: [2, 0, 0, 0, 0, 7],
            time_limit: None,
        }
    }

    #[test]
    fn a_specification_becomes_a_domain() {
        let text = domain("0f", 0x2a, &spec(), 5, 6).unwrap().text();
        for line in [
            "type=\"pvh\"",
            "name=\"fades-0f-dmf-01j7-2a\"",
            "kernel=\"/proc/self/fd/5\"",
            "ramdisk=\"/proc/self/fd/6\"",
            "cmdline=\"-ip 10.0.0.2 env=FADES_ROLE=dmf\"",
            "memory=64",
            "on_crash=\"destroy\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn only_who_needs_it_has_a_network_device() {
        let network = |role, control| {
            let spec = GuestSpec { role, control, ..spec() };
            let text = domain("0f", 0x2a, &spec, 5, 6).unwrap().text();
            text.lines().filter(|line| line.starts_with("vif")).map(str::to_owned).collect::<Vec<_>>()
        };
        let device = ["vif=[\"mac=02:00:00:00:00:07,script=/bin/true\"]"];
        let by_network = Control::Network(Endpoint::new(GATEWAY, CONTROL_PORT));
        assert_eq!(network(Role::Broker, Control::Store), device);
        assert_eq!(network(Role::Function, Control::Store), Vec::<String>::new());
        assert_eq!(network(Role::Function, by_network), device);
    }

    #[test]
    fn what_does_not_go_is_named() {
        let said = |change: fn(&mut GuestSpec)| {
            let mut spec = spec();
            change(&mut spec);
            domain("0f", 0x2a, &spec, 5, 6).unwrap_err().to_string()
        };
        assert!(said(|spec| spec.name = "a b".to_owned()).contains("\"fades-0f-a b-2a\""));
        assert!(said(|spec| spec.command_line = "\"".to_owned()).contains("command line"));
        assert!(said(|spec| spec.memory_mib = 1).contains("memory of 1"));
        assert!(said(|spec| (spec.role, spec.mac) = (Role::Broker, [0xff; 6])).contains("ff:ff:ff:ff:ff:ff"));
    }
}
