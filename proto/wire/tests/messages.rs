//! Messages: round trips, one byte form each, caps, and no panic on any bytes.

mod common;

use fades_wire::control::*;
use fades_wire::data::{Credit, End, FromBroker, Series, StreamSummary, ToBroker};
use fades_wire::failure::{Code, Failure, MAX_MESSAGE};
use fades_wire::frame::Kind;
use fades_wire::ids::{Role, TaskKey, Ticket};
use fades_wire::message::{MessageError, from_body, to_body};
use proptest::collection::vec;
use proptest::prelude::*;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![proptest::sample::select(Kind::ALL), any::<u16>().prop_map(Kind::from)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn from_guest_round_trip(message in common::from_guest()) {
        let body = message.to_body().unwrap();
        prop_assert_eq!(FromGuest::from_frame(message.kind(), &body), Ok(message));
    }

    #[test]
    fn to_guest_round_trip(message in common::to_guest()) {
        let body = message.to_body().unwrap();
        prop_assert_eq!(ToGuest::from_frame(message.kind(), &body), Ok(message));
    }

    #[test]
    fn to_broker_round_trip(message in common::to_broker()) {
        let body = message.to_body().unwrap();
        prop_assert_eq!(ToBroker::from_frame(message.kind(), &body), Ok(message));
    }

    #[test]
    fn from_broker_round_trip(series in common::series(), end in common::end(), abort in common::abort()) {
        let body = to_body(&series).unwrap();
        prop_assert_eq!(FromBroker::from_frame(Kind::Series, &body), Ok(FromBroker::Series(series)));
        let body = to_body(&end).unwrap();
        prop_assert_eq!(FromBroker::from_frame(Kind::End, &body), Ok(FromBroker::End(end)));
        let body = to_body(&abort).unwrap();
        prop_assert_eq!(FromBroker::from_frame(Kind::Abort, &body), Ok(FromBroker::Abort(abort)));
    }

    /// Whatever decodes has the byte form that its value encodes to, so no two inputs mean the same.
    #[test]
    fn a_message_has_one_byte_form(
        message in common::to_guest(), at: prop::sample::Index, cut: bool, insert in vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = message.to_body().unwrap();
        let at = at.index(bytes.len() + 1);
        let end = bytes.len().min(at + usize::from(cut));
        bytes.splice(at..end, insert);
        if let Ok(other) = ToGuest::from_frame(message.kind(), &bytes) {
            prop_assert_eq!(other == message, bytes == message.to_body().unwrap());
        }
    }

    #[test]
    fn no_bytes_panic(kind in kind(), body in vec(any::<u8>(), 0..400)) {
        if let Ok(message) = FromGuest::from_frame(kind, &body) {
            prop_assert_eq!((message.kind(), message.to_body().unwrap()), (kind, body.clone()));
        }
        if let Ok(message) = ToGuest::from_frame(kind, &body) {
            prop_assert_eq!((message.kind(), message.to_body().unwrap()), (kind, body.clone()));
        }
        let _ = ToBroker::from_frame(kind, &body);
        let _ = FromBroker::from_frame(kind, &body);
    }
}

/// The exact bytes of messages that hold an enumeration, an option, addresses and big numbers.
#[test]
fn byte_forms_are_pinned() {
    let hello = Hello { protocol: 300, role: Role::Function, image: "ab".into() };
    assert_eq!(to_body(&hello).unwrap(), [0xac, 0x02, 2, 2, b'a', b'b']);

    let operation = Operation {
        index: 1,
        source: SourceKind::InfluxDb1 { database: "d".into(), retention: None, credentials: None },
        endpoint: "10.77.0.1:20000".parse::<std::net::SocketAddrV4>().unwrap().into(),
        measurement: "m".into(),
        field: "f".into(),
        tags: vec![TagSelection { tag: "t".into(), values: vec!["v".into()] }],
        from_ns: -1,
        to_ns: 64,
        group_by: vec!["g".into()],
        timeout_ms: 128,
    };
    let bytes = [
        1, 0, 1, b'd', 0, 0, 10, 77, 0, 1, 0xa0, 0x9c, 0x01, 1, b'm', 1, b'f', 1, 1, b't', 1, 1, b'v', 1,
        0x80, 0x01, 1, 1, b'g', 0x80, 0x01,
    ];
    assert_eq!(to_body(&operation).unwrap(), bytes);

    let retrieve = Retrieve {
        task: TaskKey([1; 16]),
        ticket: Ticket([2; 32]),
        near: None,
        together: true,
        priority: 9,
        deadline_us: 128,
        operations: vec![],
        budget_bytes: 3,
    };
    let bytes = [[1; 16].as_slice(), &[2; 32], &[0, 1, 9, 0x80, 0x01, 0, 3]].concat();
    assert_eq!(to_body(&retrieve).unwrap(), bytes);

    let failure = Failed(Failure::new(Code::Panic, "x"));
    assert_eq!(to_body(&failure).unwrap(), [0xb3, 0x02, 1, b'x']);

    let summary = StreamSummary {
        operation: 2,
        points: 1,
        bytes: 16,
        chunks: 1,
        series: 1,
        first_ns: Some(1),
        last_ns: Some(-1),
        digest: [7; 32],
    };
    let mut bytes = vec![2, 1, 16, 1, 1, 1, 2, 1, 1];
    bytes.extend([7; 32]);
    assert_eq!(to_body(&End(summary)).unwrap(), bytes);
    assert_eq!(to_body(&Shutdown).unwrap(), []);
    let memory = Memory { state: Some(StateHead { version: 1, len: 300 }), limit: 128 };
    assert_eq!(to_body(&memory).unwrap(), [1, 1, 0xac, 0x02, 0x80, 0x01]);
    assert_eq!(to_body(&Keep { index: 1, bytes: vec![9] }).unwrap(), [1, 1, 9]);
    assert_eq!(to_body(&Recall { index: 0, bytes: vec![] }).unwrap(), [0, 0]);
    assert_eq!(to_body(&Abandon { task: TaskKey([3; 16]) }).unwrap(), [3; 16]);
}

#[test]
fn strictness() {
    assert_eq!(from_body::<Ping>(&[5]), Ok(Ping { nonce: 5 }));
    assert_eq!(from_body::<Ping>(&[5, 0]), Err(MessageError::LeftOver(1)));
    assert_eq!(from_body::<Ping>(&[0x85, 0x00]), Err(MessageError::NotCanonical));
    assert!(matches!(from_body::<Ping>(&[0x85]), Err(MessageError::Decode { length: 1, .. })));
    assert_eq!(from_body::<Shutdown>(&[0]), Err(MessageError::LeftOver(1)));
    assert_eq!(ToGuest::from_frame(Kind::Hello, &[]), Err(MessageError::UnexpectedKind(0x0101)));
    assert_eq!(ToBroker::from_frame(Kind::Unknown(9), &[]), Err(MessageError::UnexpectedKind(9)));
    // A boolean of 2, a role of 9, text that is not UTF-8.
    assert!(matches!(from_body::<ResultPart>(&[0, 2, 0]), Err(MessageError::Decode { .. })));
    assert!(matches!(from_body::<Hello>(&[1, 9, 0]), Err(MessageError::Decode { .. })));
    assert!(matches!(from_body::<Hello>(&[1, 1, 1, 0xff]), Err(MessageError::Decode { .. })));
}

/// A claimed count over its cap is refused for the claim alone: behind it lies nothing that would decode, and
/// postcard's own reading would have tripped over that first.
#[test]
fn caps_are_checked_before_elements_are_read() {
    let refusal = |count: &[u8], behind: usize| {
        let mut body = vec![0; 16 + 32 + 1 + 1 + 2];
        body.extend(count);
        body.extend(vec![0xff; behind]);
        match from_body::<Retrieve>(&body) {
            Err(MessageError::Decode { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    };
    let (bad, custom) = (postcard::Error::DeserializeBadVarint, postcard::Error::SerdeDeCustom);
    assert_eq!(refusal(&[64], 100), bad);
    assert_eq!(refusal(&[65], 100), custom);
    assert_eq!(refusal(&[0xff, 0xff, 0x03], 0x10000), custom);
    // postcard itself does not pass on a claim that is larger than the rest of the body.
    assert_eq!(refusal(&[0xff, 0xff, 0xff, 0xff, 0x0f], 0), postcard::Error::DeserializeUnexpectedEnd);
}

#[test]
fn what_is_over_its_cap_neither_encodes_nor_decodes() {
    let long = "x".repeat(MAX_NAME + 1);
    let series = |field: &str| Series { id: 0, tags: vec![], measurement: "m".into(), field: field.into() };
    assert!(to_body(&series(&long[1..])).is_ok());
    assert!(matches!(to_body(&series(&long)), Err(MessageError::Encode(_))));
    let mut body = vec![0, 0, 1, b'm', 0x81, 0x02];
    body.extend(long.as_bytes());
    assert!(matches!(from_body::<Series>(&body), Err(MessageError::Decode { .. })));

    let part = |length| ResultPart { index: 0, last: true, bytes: vec![0; length] };
    assert!(to_body(&part(MAX_RESULT_PART)).is_ok());
    assert!(matches!(to_body(&part(MAX_RESULT_PART + 1)), Err(MessageError::Encode(_))));
    let mut body = vec![0, 1, 0x81, 0x80, 0x04];
    body.extend(vec![0; MAX_RESULT_PART + 1]);
    assert!(matches!(from_body::<ResultPart>(&body), Err(MessageError::Decode { .. })));
}

#[test]
fn words_for_people_are_cut_at_a_character() {
    let failure = Failure::new(Code::Function, "é".repeat(MAX_MESSAGE));
    assert_eq!(failure.message.len(), MAX_MESSAGE);
    let log = Log::new(1, format!("a{}", "é".repeat(MAX_LOG)));
    assert_eq!(log.text.len(), MAX_LOG - 1);
    assert!(to_body(&log).is_ok() && to_body(&failure).is_ok());
}

#[test]
fn secrets_are_not_shown() {
    let credentials = Credentials { user: "ann".into(), password: "hunter2".into() };
    let shown = format!("{credentials:?} {:?} {:?}", Ticket([0xab; 32]), Credit { bytes: 1 });
    assert!(shown.contains("ann") && shown.contains("abab.."), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("ababab"), "{shown}");
}
