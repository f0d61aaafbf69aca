//! Messages: round trips in any pieces, limits, and no panic on any bytes.

use fades_xen_store::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn paths() -> impl Strategy<Value = Path> {
    "/?[A-Za-z0-9_@-]{1,12}(/[A-Za-z0-9_@-]{1,12}){0,6}".prop_map(|path| Path::new(&path).expect("a path"))
}

fn tokens() -> impl Strategy<Value = Token> {
    "[!-~]{1,40}".prop_map(|token| Token::new(&token).expect("a token"))
}

fn domains() -> impl Strategy<Value = DomainId> {
    (0..0x7ff0u16).prop_map(|number| DomainId::new(number).expect("below the reserved ones"))
}

fn permissions() -> impl Strategy<Value = Permissions> {
    let access = prop::sample::select(vec![Access::None, Access::Read, Access::Write, Access::Both]);
    vec((access, domains()), 1..6).prop_map(|list| {
        let list = list.into_iter().map(|(access, domain)| Permission { access, domain }).collect();
        Permissions::from_list(list).expect("not empty")
    })
}

fn requests() -> impl Strategy<Value = Request> {
    prop_oneof![
        paths().prop_map(|path| Request::Directory { path }),
        paths().prop_map(|path| Request::Read { path }),
        paths().prop_map(|path| Request::GetPermissions { path }),
        (paths(), tokens()).prop_map(|(path, token)| Request::Watch { path, token }),
        (paths(), tokens()).prop_map(|(path, token)| Request::Unwatch { path, token }),
        Just(Request::TransactionStart),
        any::<bool>().prop_map(|commit| Request::TransactionEnd { commit }),
        domains().prop_map(|domain| Request::GetDomainPath { domain }),
        (paths(), vec(any::<u8>(), 0..3000)).prop_map(|(path, value)| Request::Write { path, value }),
        paths().prop_map(|path| Request::MakeDirectory { path }),
        paths().prop_map(|path| Request::Remove { path }),
        (paths(), permissions())
            .prop_map(|(path, permissions)| Request::SetPermissions { path, permissions }),
        Just(Request::ResetWatches),
    ]
}

/// All messages of `bytes`, pushed in pieces of the given sizes, and whether it ends inside of one.
fn decode(bytes: &[u8], pieces: &[usize]) -> (Vec<Message>, Result<bool, TooLong>) {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    let (mut rest, mut sizes) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let (mut piece, tail) = rest.split_at((*sizes.next().unwrap_or(&usize::MAX)).min(rest.len()));
        rest = tail;
        loop {
            match decoder.push(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
        assert!(piece.is_empty(), "None means that all was taken");
    }
    (messages, Ok(decoder.is_inside()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn requests_survive_in_any_pieces(
        requests in vec((requests(), any::<u32>(), any::<u32>()), 0..8),
        pieces in vec(1..700usize, 0..6),
    ) {
        let sent: Vec<Message> =
            requests.iter().map(|(request, id, tx)| request.message(*id, *tx).expect("it fits")).collect();
        let bytes: Vec<u8> = sent.iter().flat_map(Message::encode).collect();
        let (came, end) = decode(&bytes, &pieces);
        prop_assert_eq!(end, Ok(false));
        prop_assert_eq!(&came, &sent);
        for (message, (request, id, tx)) in came.iter().zip(&requests) {
            prop_assert_eq!((message.header().request, message.header().transaction), (*id, *tx));
            prop_assert_eq!(&Request::decode(message).expect("a request"), request);
        }
    }

    #[test]
    fn events_survive(path in paths(), token in tokens()) {
        let event = WatchEvent { path, token };
        let message = event.message().expect("it fits");
        prop_assert_eq!(WatchEvent::decode(&message), Ok(event));
    }

    #[test]
    fn any_bytes_in_any_pieces(bytes in vec(any::<u8>(), 0..300), pieces in vec(1..40usize, 0..4)) {
        let (whole, pieced) = (decode(&bytes, &[]), decode(&bytes, &pieces));
        prop_assert_eq!(&whole, &pieced);
        let again: Vec<u8> = whole.0.iter().flat_map(Message::encode).collect();
        prop_assert_eq!(&bytes[..again.len()], &again[..]);
    }

    /// What is understood says the same when it is written again.
    #[test]
    fn any_payload(kind in 0..24u32, payload in vec(prop_oneof![Just(0u8), b'a'..b'e', b'/'..b'9', any::<u8>()], 0..80)) {
        let message = Message::new(Kind::from(kind), 1, 0, payload.clone()).expect("it fits");
        if let Ok(request) = Request::decode(&message) {
            prop_assert_eq!(request.message(1, 0).expect("it fits"), message.clone());
        }
        let _ = WatchEvent::decode(&message);
        if let Ok(permissions) = reply::permissions(&payload) {
            let text: String = permissions.list().iter().map(|one| format!("{one}\0")).collect();
            prop_assert_eq!(Ok(permissions), reply::permissions(text.as_bytes()));
        }
        if let Ok(names) = reply::names(&payload) {
            let text: String = names.iter().map(|name| format!("{name}\0")).collect();
            prop_assert_eq!(text.as_bytes(), payload.as_slice());
        }
        let _ = (reply::done(&payload), reply::path(&payload), reply::transaction(&payload), reply::domain(&payload));
    }
}

#[test]
fn a_length_over_the_limit_ends_the_connection() {
    let header = Header { kind: Kind::Read, request: 1, transaction: 0, length: 4097 };
    let error = TooLong { kind: Kind::Read, length: 4097 };
    let (mut decoder, bytes) = (Decoder::new(), header.encode());
    assert_eq!(decoder.push(&mut bytes.as_slice()), Err(error));
    assert_eq!(decoder.push(&mut &[0; 64][..]), Err(error));
    let longest = Header { length: 4096, ..header };
    assert_eq!(decode(&longest.encode(), &[]), (vec![], Ok(true)));
    assert_eq!(
        decode(&Header { length: u32::MAX, ..header }.encode(), &[3]).1.map_err(|e| e.length),
        Err(0xffff_ffff)
    );
}

#[test]
fn a_value_fits_beside_its_path() {
    let write = |length| {
        Request::Write { path: Path::new("/a").expect("a path"), value: vec![0; length] }.message(1, 0)
    };
    assert!(write(PAYLOAD_MAX - 3).is_ok());
    assert_eq!(write(PAYLOAD_MAX - 2), Err(TooLong { kind: Kind::Write, length: 4097 }));
    let event = WatchEvent {
        path: Path::new(&format!("/{}", "x".repeat(ABSOLUTE_MAX - 1))).expect("the longest"),
        token: Token::new(&"t".repeat(TOKEN_MAX)).expect("the longest"),
    };
    assert_eq!(event.message().expect("the longest event").payload().len(), PAYLOAD_MAX);
}

#[test]
fn paths_are_checked() {
    for good in ["/", "/a", "a", "a/b-c_d@e/0", "@releaseDomain"] {
        assert_eq!(Path::new(good).expect("a path").as_str(), good);
    }
    let too_long = |start: &str, max| Path::new(&format!("{start}{}", "x".repeat(max - start.len() + 1)));
    assert_eq!(too_long("/", 3072), Err(PathError::Length { length: 3073, max: 3072 }));
    assert_eq!(too_long("", 2048), Err(PathError::Length { length: 2049, max: 2048 }));
    assert_eq!(Path::new(""), Err(PathError::Empty));
    for empty in ["//", "/a//b", "a/", "/a/"] {
        assert_eq!(Path::new(empty), Err(PathError::EmptyName), "{empty}");
    }
    for foreign in ["a b", "a.b", "a\0", "ä", "a\n", "a:b", "$a"] {
        assert!(matches!(Path::new(foreign), Err(PathError::Character { .. })), "{foreign}");
    }
    assert_eq!(Path::from_bytes(b"ab\xff"), Err(PathError::Character { at: 2 }));
}

#[test]
fn paths_are_joined() {
    let home = DomainId::new(12).expect("a domain").home();
    assert_eq!(home.join("device/vif/0").expect("below").as_str(), "/local/domain/12/device/vif/0");
    assert_eq!(Path::new("/").and_then(|root| root.join("tool")).expect("below").as_str(), "/tool");
    for not_below in ["/a", "@releaseDomain", "", "a/", "a b"] {
        assert!(home.join(not_below).is_err(), "{not_below}");
    }
    assert!(home.join(&"x".repeat(2048)).is_ok());
    assert!(Path::new("a").and_then(|a| a.join(&"x".repeat(2047))).is_err());
}

#[test]
fn domains_are_checked() {
    assert_eq!(DomainId::parse("32751").map(DomainId::get), Ok(0x7fef));
    for bad in ["", "32752", "65536", "+1", "-1", " 1", "1 ", "0x1", "1\0"] {
        assert_eq!(DomainId::parse(bad), Err(DomainError), "{bad}");
    }
}

#[test]
fn replies_are_checked() {
    let message = |kind, payload: &[u8]| Message::new(kind, 1, 0, payload.to_vec()).expect("it fits");
    let read = |kind, payload| reply::payload(Kind::Read, &message(kind, payload)).map(<[u8]>::to_vec);
    assert_eq!(read(Kind::Read, b"any\0bytes"), Ok(b"any\0bytes".to_vec()));
    assert_eq!(read(Kind::Error, b"ENOENT\0"), Err(ReplyError::Refused(ErrorName::NotFound)));
    assert_eq!(read(Kind::Error, b""), Err(ReplyError::Refused(ErrorName::Other(String::new()))));
    assert_eq!(read(Kind::Write, b"OK\0"), Err(ReplyError::Kind { asked: Kind::Read, found: Kind::Write }));

    assert_eq!(reply::done(b"OK\0"), Ok(()));
    assert!(reply::done(b"OK").is_err() && reply::done(b"NO\0").is_err());
    assert_eq!(reply::names(b""), Ok(vec![]));
    assert_eq!(reply::names(b"a\0b\0"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert!(
        reply::names(b"a\0b").is_err() && reply::names(b"a\0\0").is_err() && reply::names(b"a/b\0").is_err()
    );
    assert_eq!(reply::transaction(b"42\0"), Ok(42));
    assert!(
        [&b"0\0"[..], b"\0", b"", b"+1\0", b"4294967296\0", b"1\0\x32\0"]
            .iter()
            .all(|bad| reply::transaction(bad).is_err())
    );
    assert_eq!(reply::path(b"/local/domain/3\0").expect("a path").as_str(), "/local/domain/3");
    assert!(reply::path(b"relative\0").is_err());
    assert!(
        [&b""[..], b"x0\0", b"r\0", b"r0", b"r0\0\0", b"r99999\0"]
            .iter()
            .all(|bad| reply::permissions(bad).is_err())
    );
}

#[test]
fn events_of_newer_stores_are_understood() {
    let payload = b"@releaseDomain/5\0t1\0\x35\0".to_vec();
    let event = WatchEvent::decode(&Message::new(Kind::WatchEvent, 0, 0, payload).expect("it fits"))
        .expect("an event");
    assert_eq!((event.path.as_str(), event.token.as_str()), ("@releaseDomain/5", "t1"));
    let bad = Message::new(Kind::WatchEvent, 0, 0, b"a\0".to_vec()).expect("it fits");
    assert!(WatchEvent::decode(&bad).is_err());
}
