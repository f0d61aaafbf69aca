//! Key files: one format, for their owner alone; and THREATS B5, a world-readable key.

use fades_envelope::{KeyFileError, SigningKey, parse, sign};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// RFC 8410 §10.3.
const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
const RFC_8410_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_new_key_is_written_once_for_its_owner_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let key = SigningKey::generate().unwrap();
    key.create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let again = SigningKey::read(&path).unwrap();
    assert_eq!(again.public(), key.public());
    let other = SigningKey::generate().unwrap();
    assert_ne!(other.public(), key.public());
    match other.create(&path) {
        Err(KeyFileError::Io { action: "create", source, .. }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
        }
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(SigningKey::read(&path).unwrap().public(), key.public(), "the file is as it was");
}

#[test]
fn a_dangling_link_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(matches!(SigningKey::generate().unwrap().create(&link), Err(KeyFileError::Io { .. })));
    assert!(!target.exists());
}

#[test]
fn the_format_is_that_of_rfc_8410() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rfc.key");
    write(&path, RFC_8410.as_bytes(), 0o600);
    let key = SigningKey::read(&path).unwrap();
    assert_eq!(key.public().to_string(), RFC_8410_PUBLIC);
    let copy = folder.path().join("copy.key");
    key.create(&copy).unwrap();
    assert_eq!(fs::read_to_string(&copy).unwrap(), RFC_8410);
    assert!(parse(&sign(&key, fades_envelope::Purpose::Task, b"")).is_ok());
}

#[test]
fn b5_a_key_that_others_may_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    for mode in [0o644, 0o640, 0o604, 0o660, 0o620, 0o602, 0o610, 0o601, 0o777] {
        write(&path, RFC_8410.as_bytes(), mode);
        match SigningKey::read(&path) {
            Err(error @ KeyFileError::Exposed { .. }) => {
                let text = error.to_string();
                assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
                assert!(text.contains("a.key"), "{text}");
            }
            outcome => panic!("{mode:o}: {outcome:?}"),
        }
    }
    for mode in [0o600, 0o400, 0o700] {
        write(&path, RFC_8410.as_bytes(), mode);
        assert!(SigningKey::read(&path).is_ok(), "{mode:o}");
    }
}

#[test]
fn what_is_not_a_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(SigningKey::read(folder.path()), Err(KeyFileError::NotAKeyFile { .. })));
    assert!(matches!(
        SigningKey::read(&folder.path().join("none")),
        Err(KeyFileError::Io { action: "open", .. })
    ));
    let path = folder.path().join("a.key");
    write(&path, &[b'x'; 5000], 0o600);
    assert!(matches!(SigningKey::read(&path), Err(KeyFileError::NotAKeyFile { .. })));
    write(&path, &[0xff; 100], 0o600);
    assert!(matches!(SigningKey::read(&path), Err(KeyFileError::Io { action: "read", .. })));
    let public = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    // The same octets under the OID of X25519 (1.3.101.110).
    let x25519 = RFC_8410.replace("BQYDK2Vw", "BQYDK2Vu");
    let bad = RFC_8410.replace("MC4C", "MC8C");
    for content in
        ["", "not a key", public, &x25519, &bad, &RFC_8410[..60], &RFC_8410.replace("PRIVATE", "EC PRIVATE")]
    {
        write(&path, content.as_bytes(), 0o600);
        let outcome = SigningKey::read(&path);
        assert!(matches!(outcome, Err(KeyFileError::Format { .. })), "{content:?}: {outcome:?}");
    }
}

#[test]
fn a_secret_key_does_not_show() {
    let key = SigningKey::from_seed(&[7; 32]);
    assert_eq!(format!("{key:?}"), format!("SigningKey(of {})", key.public().id()));
}
