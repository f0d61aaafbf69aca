//! What we write is what an independent implementation of COSE reads and writes, and it stays what it is.

use crate::common::{key, wrapper};
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana,
};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use fades_envelope::{Digest, Purpose, sign};

#[test]
fn coset_writes_the_same_bytes() {
    let secret = ed25519_dalek::SigningKey::from_bytes(&crate::common::SEED);
    for purpose in Purpose::ALL {
        for size in [0, 1, 23, 24, 255, 256, 814, 60_000] {
            let payload = vec![b'x'; size];
            let header = HeaderBuilder::new()
                .algorithm(iana::Algorithm::EdDSA)
                .content_type(purpose.content_type().into())
                .key_id(key().public().id().0.to_vec())
                .build();
            let theirs = CoseSign1Builder::new()
                .protected(header)
                .payload(payload.clone())
                .create_signature(purpose.aad().as_bytes(), |message| secret.sign(message).to_vec())
                .build()
                .to_tagged_vec()
                .unwrap();
            assert_eq!(theirs, sign(&key(), purpose, &payload), "{purpose:?} of {size} bytes");
        }
    }
}

#[test]
fn coset_reads_and_verifies_ours() {
    let payload = wrapper("01JD0000000000000000000000");
    let ours = sign(&key(), Purpose::Task, &payload);
    let read = CoseSign1::from_tagged_slice(&ours).unwrap();
    assert!(CoseSign1::from_slice(&ours).is_err(), "the tag is there");
    assert_eq!(read.payload.as_deref(), Some(&payload[..]));
    let public = VerifyingKey::from_bytes(&key().public().to_bytes()).unwrap();
    let verify = |aad: &[u8]| {
        read.verify_signature(aad, |signature, message| {
            public.verify_strict(message, &Signature::from_slice(signature)?)
        })
    };
    assert!(verify(Purpose::Task.aad().as_bytes()).is_ok());
    assert!(verify(Purpose::Image.aad().as_bytes()).is_err());
}

#[test]
fn the_form_is_pinned() {
    // Key of thirty-two sevens; a change of any of these is a new version of the envelope.
    let pinned = [
        (Purpose::Task, "fades/task/v1", "application/vnd.fades.task.v1+json"),
        (Purpose::Image, "fades/image/v1", "application/vnd.fades.image.v1+json"),
        (Purpose::Receipt, "fades/receipt/v1", "application/vnd.fades.receipt.v1+json"),
        (Purpose::Request, "fades/request/v1", "application/vnd.fades.request.v1+json"),
    ];
    assert_eq!(pinned.len(), Purpose::ALL.len());
    for (purpose, aad, content_type) in pinned {
        assert_eq!((purpose.aad(), purpose.content_type()), (aad, content_type));
    }
    let envelope = sign(&key(), Purpose::Task, b"{}");
    assert_eq!(
        Digest::of(&envelope).to_string(),
        "4774610da1f5e95b3fbc614d1881e42469a786233c9ae11487e04582206ed7fa"
    );
}
