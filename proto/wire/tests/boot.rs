//! Boot parameters: what the host writes is what the guest reads.

use fades_wire::address::{Control, Endpoint};
use fades_wire::boot::{BootError, BootParameters, GuestParameters};
use fades_wire::ids::Role;
use proptest::prelude::*;
use std::collections::HashMap;

fn parameters() -> impl Strategy<Value = BootParameters> {
    let role = prop_oneof![Just(Role::Broker), Just(Role::Function), Just(Role::Probe)];
    let network = any::<([u8; 4], [u8; 4], u16, u32)>();
    let endpoint = any::<([u8; 4], u16)>()
        .prop_map(|(address, port)| Control::Network(Endpoint::new(address.into(), port)));
    let control = prop_oneof![4 => endpoint, 1 => Just(Control::Store)];
    let guest =
        (role, control, any::<u8>()).prop_map(|(role, control, log)| GuestParameters { role, control, log });
    (network, 0..=40u8, any::<(Option<u32>, u64, [u8; 32])>(), guest).prop_map(
        |((address, gateway, mtu, tcp_buffer), mask_bits, (tsc_mhz, time_unix_us, seed), guest)| {
            let (address, gateway) = (address.into(), gateway.into());
            BootParameters {
                address,
                gateway,
                mask_bits,
                mtu,
                tcp_buffer,
                tsc_mhz,
                seed,
                time_unix_us,
                guest,
            }
        },
    )
}

/// What the kernel does with the line: words, of which `env=NAME=VALUE` become variables.
fn variables(line: &str) -> HashMap<String, String> {
    let variable = |word: &str| {
        let (name, value) = word.strip_prefix("env=")?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    line.split_ascii_whitespace().filter_map(variable).collect()
}

proptest! {
    #[test]
    fn the_guest_reads_what_the_host_wrote(parameters in parameters()) {
        let line = parameters.command_line();
        prop_assert!(line.bytes().all(|c| c.is_ascii_alphanumeric() || b" .:=_-".contains(&c)), "{}", line);
        prop_assert!(line.len() < 1024);
        let variables = variables(&line);
        let read = GuestParameters::from_env(|name| variables.get(name).cloned());
        prop_assert_eq!(read, Ok(parameters.guest));
    }

    #[test]
    fn no_values_panic(parameters in parameters(), which in 0..3usize, value in "\\PC{0,70}", there: bool) {
        let changed = ["FADES_ROLE", "FADES_CONTROL", "FADES_LOG"][which];
        let variables = variables(&parameters.command_line());
        let read = GuestParameters::from_env(|name| {
            if name != changed { variables.get(name).cloned() } else { there.then(|| value.clone()) }
        });
        match read {
            Ok(_) => prop_assert!(there && value.is_ascii()),
            Err(error) if there => prop_assert_eq!(error, BootError::Invalid { name: changed, value }),
            Err(error) => prop_assert_eq!(error, BootError::Missing(changed)),
        }
    }
}

#[test]
fn the_line_is_what_the_kernel_reads() {
    let control = Control::Network(Endpoint::new([10, 77, 0, 1].into(), 7000));
    let guest = GuestParameters { role: Role::Function, control, log: 3 };
    let mut parameters = BootParameters {
        address: [10, 77, 0, 9].into(),
        gateway: [10, 77, 0, 1].into(),
        mask_bits: 16,
        mtu: 9000,
        tcp_buffer: 65_536,
        tsc_mhz: Some(2300),
        seed: [0xab; 32],
        time_unix_us: 5,
        guest,
    };
    let seed = "ab".repeat(32);
    assert_eq!(
        parameters.command_line(),
        format!(
            "-ip 10.77.0.9 -gateway 10.77.0.1 -mask 255.255.0.0 -freq 2300 env=HERMIT_MTU=9014 \
             env=HERMIT_TCP_BUF=65536 env=FADES_SEED={seed} env=FADES_TIME=5 env=FADES_ROLE=dmf \
             env=FADES_CONTROL=10.77.0.1:7000 env=FADES_LOG=3"
        )
    );
    parameters.tsc_mhz = None;
    parameters.mask_bits = 0;
    assert!(parameters.command_line().contains(" -mask 0.0.0.0 env="));
    parameters.guest.control = Control::Store;
    assert!(parameters.command_line().ends_with(" env=FADES_CONTROL=xenstore env=FADES_LOG=3"));
}
