//! Proof of possession: a key enters by a statement that its own secret signed.

use crate::common::{Forge, bytes, key, reason};
use fades_envelope::{
    EnvelopeError, KeyRefusal, ProofRefusal, Purpose, SigningKey, check_proof, prove, sign,
};

fn statement(key: &str) -> Vec<u8> {
    format!(r#"{{"schema":"fades.key.v1","public_key":"{key}","name":"pollution.example"}}"#).into_bytes()
}

#[test]
fn a_proof_enrols_its_key() {
    let enrolment = check_proof(&prove(&key(), "pollution.example").unwrap()).unwrap();
    assert_eq!((enrolment.key, enrolment.name.as_str()), (key().public(), "pollution.example"));
    assert_eq!(
        prove(&key(), "pollution.example").unwrap(),
        sign(&key(), Purpose::Request, &statement(&key().public().to_string()))
    );
}

#[test]
fn another_ones_key_cannot_be_enrolled() {
    let thief = SigningKey::from_seed(&[9; 32]);
    let theirs = statement(&key().public().to_string());
    let refusal = check_proof(&sign(&thief, Purpose::Request, &theirs)).unwrap_err();
    assert!(matches!(refusal, ProofRefusal::Envelope(EnvelopeError::WrongKey { .. })), "{refusal:?}");
    // With the right key id in the header, and the thief's signature.
    let header = [
        crate::common::alg(),
        crate::common::content_type(Purpose::Request.content_type()),
        crate::common::key_id(),
    ];
    let stolen = Forge { payload: theirs, aad: Purpose::Request.aad(), ..Forge::with_header(&header) };
    assert!(check_proof(&stolen.build()).is_ok(), "the forge signs properly with the key itself");
    let forged = Forge { signature: Some(bytes(&[1; 64])), ..stolen }.build();
    match check_proof(&forged) {
        Err(ProofRefusal::Envelope(error)) => assert_eq!(reason(&error), "Signature"),
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn a_task_is_no_proof() {
    let task = sign(&key(), Purpose::Task, &statement(&key().public().to_string()));
    let refusal = check_proof(&task).unwrap_err();
    assert!(matches!(refusal, ProofRefusal::Envelope(EnvelopeError::Purpose { .. })), "{refusal:?}");
}

#[test]
fn statements_are_read_strictly() {
    let public = key().public().to_string();
    let good = String::from_utf8(statement(&public)).unwrap();
    let check =
        |payload: String| check_proof(&sign(&key(), Purpose::Request, payload.as_bytes())).unwrap_err();
    for other in ["fades.request.v1", "fades.key.v2", ""] {
        let refusal = check(good.replace("fades.key.v1", other));
        assert!(matches!(&refusal, ProofRefusal::Schema(found) if found == other), "{refusal:?}");
    }
    for broken in [
        String::new(),
        "{}".into(),
        good.replace('}', r#","more":1}"#),
        good.replace('}', r#","name":"b"}"#),
        format!("{good} x"),
        good.replace(&format!("\"{public}\""), "7"),
    ] {
        let refusal = check(broken.clone());
        assert!(matches!(refusal, ProofRefusal::Json(_)), "{broken}: {refusal:?}");
    }
    let refusal = check(good.replace(&public, &public.to_uppercase()));
    assert!(matches!(refusal, ProofRefusal::Key(KeyRefusal::Hex(_))), "{refusal:?}");
    let mut identity = "01".to_owned();
    identity.push_str(&"00".repeat(31));
    let refusal = check(good.replace(&public, &identity));
    assert!(matches!(refusal, ProofRefusal::Key(KeyRefusal::SmallOrder)), "{refusal:?}");
}

#[test]
fn names_are_plain() {
    let long = "a".repeat(254);
    for bad in ["", "../x", "a/b", "-rf", ".hidden", "a b", "a\n", "a\0", "a,b", "ä", &long] {
        assert!(matches!(prove(&key(), bad), Err(ProofRefusal::Name(_))), "{bad:?}");
        let payload = serde_json::json!({
            "schema": "fades.key.v1", "public_key": key().public().to_string(), "name": bad,
        });
        let envelope = sign(&key(), Purpose::Request, payload.to_string().as_bytes());
        assert!(matches!(check_proof(&envelope), Err(ProofRefusal::Name(_))), "{bad:?}");
    }
    assert!(prove(&key(), &long[1..]).is_ok());
}
