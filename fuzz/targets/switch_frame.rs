//! Any bytes as a frame from a function or a broker: there is a verdict, and what may pass is honest about who sent it.
#![no_main]

use std::net::Ipv4Addr;

use fades_core::Role;
use fades_core::network::PortId;
use fades_net::policy::{PortFacts, Table, Verdict, classify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let facts = |port, role, last, broker| PortFacts {
        port: PortId(port),
        role,
        address: Ipv4Addr::new(10, 77, 0, last),
        broker,
    };
    let broker = facts(1, Role::Broker, 2, None);
    let function = facts(2, Role::Function, 3, Some(PortId(1)));
    let other = facts(3, Role::Function, 4, None);
    let mut table = Table::new(1500);
    [broker, function, other].into_iter().for_each(|port| table.insert(port));
    table.open_source(9000);
    for from in [broker, function, other] {
        match fades_fuzz::parse(|| classify(frame, &from, &table)) {
            Verdict::Drop(_) => {}
            Verdict::Forward(to) | Verdict::Open(to) => {
                assert!([(1, 2), (2, 1)].contains(&(from.port.0, to.0)), "{from:?} to {to:?}");
                assert_eq!(frame[6..12], from.mac().0);
                assert_eq!(frame[26..30], from.address.octets());
            }
            Verdict::Gateway | Verdict::AnswerArp(_) => assert_eq!(frame[6..12], from.mac().0),
        }
    }
});
