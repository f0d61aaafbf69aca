//! Every number and word on the wire, pinned to Xen's public headers.

use fades_xen_store::*;

#[test]
fn kinds() {
    let pinned = [
        (Kind::Control, 0),
        (Kind::Directory, 1),
        (Kind::Read, 2),
        (Kind::GetPermissions, 3),
        (Kind::Watch, 4),
        (Kind::Unwatch, 5),
        (Kind::TransactionStart, 6),
        (Kind::TransactionEnd, 7),
        (Kind::Introduce, 8),
        (Kind::Release, 9),
        (Kind::GetDomainPath, 10),
        (Kind::Write, 11),
        (Kind::MakeDirectory, 12),
        (Kind::Remove, 13),
        (Kind::SetPermissions, 14),
        (Kind::WatchEvent, 15),
        (Kind::Error, 16),
        (Kind::IsDomainIntroduced, 17),
        (Kind::Resume, 18),
        (Kind::SetTarget, 19),
        (Kind::ResetWatches, 21),
        (Kind::DirectoryPart, 22),
    ];
    assert_eq!(pinned.map(|(kind, _)| kind), Kind::ALL);
    for (kind, number) in pinned {
        assert_eq!(u32::from(kind), number, "{kind:?}");
    }
    for number in (0..=0x1_0000).chain([u32::MAX]) {
        let kind = Kind::from(number);
        assert_eq!(u32::from(kind), number);
        assert_eq!(kind == Kind::Unknown(number), !pinned.iter().any(|(_, known)| *known == number));
    }
}

#[test]
fn limits() {
    assert_eq!((HEADER_LEN, PAYLOAD_MAX, ABSOLUTE_MAX, RELATIVE_MAX), (16, 4096, 3072, 2048));
}

#[test]
fn error_names() {
    let pinned = [
        "EINVAL",
        "EACCES",
        "EEXIST",
        "EISDIR",
        "ENOENT",
        "ENOMEM",
        "ENOSPC",
        "EIO",
        "ENOTEMPTY",
        "ENOSYS",
        "EROFS",
        "EBUSY",
        "EAGAIN",
        "EISCONN",
        "E2BIG",
        "EPERM",
        "EQUOTA",
    ];
    assert_eq!(ErrorName::ALL.iter().map(ErrorName::name).collect::<Vec<_>>(), pinned);
    for name in ErrorName::ALL {
        assert_eq!(&ErrorName::of_bytes(name.name().as_bytes()), name);
    }
    assert_eq!(ErrorName::of_bytes(b"EN\x07EW"), ErrorName::Other("EN?EW".into()));
    assert_eq!(ErrorName::of_bytes(&[b'x'; 5000]).name().len(), 32);
}

#[test]
fn access_letters() {
    let letters = [Access::None, Access::Read, Access::Write, Access::Both].map(Access::letter);
    assert_eq!(&letters, b"nrwb");
}

/// Bytes written by hand from the specification.
#[test]
fn whole_messages() {
    let path = Path::new("/local/domain/3/data").expect("a path");
    let write = Request::Write { path: path.clone(), value: b"v".to_vec() }.message(1, 2).expect("short");
    let expected = b"\x0b\0\0\0\x01\0\0\0\x02\0\0\0\x16\0\0\0/local/domain/3/data\0v";
    assert_eq!(write.encode(), expected);

    let watch = Request::Watch { path, token: Token::new("t7").expect("a token") };
    assert_eq!(watch.message(0, 0).expect("short").payload(), b"/local/domain/3/data\0t7\0");
    assert_eq!(Request::TransactionStart.message(0, 0).expect("short").payload(), b"\0");
    assert_eq!(Request::TransactionEnd { commit: true }.message(0, 0).expect("short").payload(), b"T\0");
    assert_eq!(Request::TransactionEnd { commit: false }.message(0, 0).expect("short").payload(), b"F\0");
    assert_eq!(Request::ResetWatches.message(0, 0).expect("short").payload(), b"\0");
    let seven = DomainId::new(7).expect("a domain");
    assert_eq!(Request::GetDomainPath { domain: seven }.message(0, 0).expect("short").payload(), b"7\0");
    let permissions = Permissions::new(DomainId::ZERO, Access::None).with(seven, Access::Read);
    let set = Request::SetPermissions { path: Path::new("a/b").expect("a path"), permissions };
    assert_eq!(set.message(0, 0).expect("short").payload(), b"a/b\0n0\0r7\0");
}
