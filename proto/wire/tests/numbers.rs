//! Every number on the wire, pinned. A change here breaks guests that are built already: add, never edit.

use fades_wire::address::{Endpoint, Neighbour, Place};
use fades_wire::exit::ExitCode;
use fades_wire::failure::Code;
use fades_wire::frame::{HEADER_LEN, Kind, MAGIC, MAX_CONTROL_BODY, MAX_DATA_BODY, VERSION};
use fades_wire::ids::Role;

#[test]
fn kinds() {
    let pinned = [
        (Kind::Hello, 0x0101),
        (Kind::Heartbeat, 0x0102),
        (Kind::Log, 0x0103),
        (Kind::OperationProgress, 0x0110),
        (Kind::OperationEnded, 0x0111),
        (Kind::OperationFailed, 0x0112),
        (Kind::Started, 0x0120),
        (Kind::Progress, 0x0121),
        (Kind::ResultPart, 0x0122),
        (Kind::Finished, 0x0123),
        (Kind::Failed, 0x0124),
        (Kind::Keep, 0x0125),
        (Kind::Welcome, 0x0201),
        (Kind::Ping, 0x0202),
        (Kind::Shutdown, 0x0203),
        (Kind::Retrieve, 0x0210),
        (Kind::Abandon, 0x0211),
        (Kind::Run, 0x0220),
        (Kind::Recall, 0x0221),
        (Kind::Open, 0x0301),
        (Kind::Credit, 0x0302),
        (Kind::Series, 0x0401),
        (Kind::Chunk, 0x0402),
        (Kind::End, 0x0403),
        (Kind::Abort, 0x0404),
    ];
    assert_eq!(pinned.map(|(kind, _)| kind), Kind::ALL);
    for (kind, number) in pinned {
        assert_eq!(u16::from(kind), number, "{kind:?}");
    }
    for number in 0..=u16::MAX {
        let kind = Kind::from(number);
        assert_eq!(u16::from(kind), number);
        assert_eq!(kind == Kind::Unknown(number), !pinned.iter().any(|(_, known)| *known == number));
    }
}

#[test]
fn failure_codes() {
    let pinned = [
        (Code::SourceUnreachable, 101, "source-unreachable"),
        (Code::SourceStatus, 102, "source-status"),
        (Code::SourceMalformed, 103, "source-malformed"),
        (Code::SourceType, 104, "source-type"),
        (Code::SourceSilent, 105, "source-silent"),
        (Code::SourceClosedEarly, 106, "source-closed-early"),
        (Code::SourceTooLarge, 107, "source-too-large"),
        (Code::SourceDenied, 108, "source-denied"),
        (Code::SourceQuery, 109, "source-query"),
        (Code::Protocol, 201, "protocol"),
        (Code::Crc, 202, "crc"),
        (Code::Sequence, 203, "sequence"),
        (Code::Digest, 204, "digest"),
        (Code::TicketUnknown, 205, "ticket-unknown"),
        (Code::ClosedEarly, 206, "closed-early"),
        (Code::CreditExceeded, 207, "credit-exceeded"),
        (Code::PeerSilent, 208, "peer-silent"),
        (Code::Memory, 301, "memory"),
        (Code::Parameters, 302, "parameters"),
        (Code::Function, 303, "function"),
        (Code::ResultTooLarge, 304, "result-too-large"),
        (Code::Cancelled, 305, "cancelled"),
        (Code::Deadline, 306, "deadline"),
        (Code::Panic, 307, "panic"),
        (Code::Unsupported, 308, "unsupported"),
        (Code::State, 309, "state"),
    ];
    assert_eq!(pinned.map(|(code, _, _)| code), Code::ALL);
    for (code, number, name) in pinned {
        assert_eq!((u16::from(code), code.name()), (number, name));
    }
    for number in 0..=u16::MAX {
        let code = Code::from(number);
        assert_eq!(u16::from(code), number);
        assert_eq!(code == Code::Unknown(number), !pinned.iter().any(|(_, known, _)| *known == number));
    }
}

#[test]
fn roles() {
    let pinned = [(Role::Broker, 1, "drb"), (Role::Function, 2, "dmf"), (Role::Probe, 3, "probe")];
    for (role, number, name) in pinned {
        assert_eq!((u8::from(role), role.name()), (number, name));
        assert_eq!(Role::from_name(name), Some(role));
    }
    let known: Vec<u8> = (0..=u8::MAX).filter(|&number| Role::try_from(number).is_ok()).collect();
    assert_eq!(known, [1, 2, 3]);
    assert_eq!(Role::from_name("DRB"), None);
}

#[test]
fn exit_codes() {
    let pinned = [
        (ExitCode::Ok, 0, "ok"),
        (ExitCode::Failed, 1, "failed"),
        (ExitCode::Panic, 10, "panic"),
        (ExitCode::OutOfMemory, 11, "out-of-memory"),
        (ExitCode::Boot, 12, "boot"),
        (ExitCode::Unreachable, 13, "unreachable"),
        (ExitCode::ControlLost, 14, "control-lost"),
        (ExitCode::Protocol, 15, "protocol"),
    ];
    assert_eq!(pinned.map(|(code, _, _)| code), ExitCode::ALL);
    for (code, number, name) in pinned {
        assert_eq!((code as u8, code.name()), (number, name));
        assert!(number < 100, "{name} is taken by the kernel or the loader");
    }
    let known: Vec<i32> = (-300..300).filter(|&number| ExitCode::from_number(number).is_some()).collect();
    assert_eq!(known, [0, 1, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn sizes_and_constants() {
    assert_eq!((MAGIC, VERSION, HEADER_LEN), (*b"FDS1", 2, 28));
    assert_eq!((MAX_CONTROL_BODY, MAX_DATA_BODY), (1 << 20, 8 + (256 << 10)));
    assert_eq!(fades_wire::PROTOCOL, 6);
    assert_eq!((fades_wire::address::CONTROL_PORT, fades_wire::address::DATA_PORT), (7000, 7001));
    let endpoint = Endpoint::new([10, 77, 0, 9].into(), 7001);
    let network = fades_wire::message::to_body(&Place::Network(endpoint)).unwrap();
    assert_eq!(network, [0, 10, 77, 0, 9, 0xd9, 0x36]);
    let near = |neighbour| fades_wire::message::to_body(&Place::Near(neighbour)).unwrap();
    assert_eq!(near(Neighbour::Domain(300)), [1, 0, 0xac, 0x02]);
    assert_eq!(near(Neighbour::Region { number: 3, turn: 300 }), [1, 1, 3, 0xac, 0x02]);
}
