//! A lenient writer for envelopes that are not of the profile, and keys for signing them.
//!
//! What it makes is properly signed over its own odd header, so that nothing but the profile can refuse it.

use ed25519_dalek::Signer as _;
use fades_envelope::{EnvelopeError, Purpose, SigningKey};

pub(crate) const SEED: [u8; 32] = [7; 32];

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&SEED)
}

/// A wrapper as a service would send it.
pub(crate) fn wrapper(task: &str) -> Vec<u8> {
    format!(
        r#"{{"schema":"fades.task.v1","credentials":{{"task_id":"{task}","issuer":"pollution.example","audience":"node-1","node_epoch":"00ff","priority":5,"issued_at":"2026-11-21T00:00:00Z","expires_at":"2026-11-21T00:05:00Z"}},"drb":{{"operations":[{{"id":"temp","source":"edison","measurement":"temperature","field":"value","tags":{{"room":["r1","r2"]}},"from":"2026-11-20T00:00:00Z","to":"2026-11-21T00:00:00Z","group_by":["room"]}}]}},"dmf":{{"image":"stats@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","parameters":{{}},"resources":{{"memory_mib":64,"timeout_ms":30000}},"lifetime":"ephemeral"}}}}"#
    )
    .into_bytes()
}

/// A head with a chosen additional information: `width` bytes of argument, 0 for none.
pub(crate) fn head(major: u8, argument: u64, width: usize) -> Vec<u8> {
    let info = match width {
        0 => u8::try_from(argument).unwrap(),
        1 => 24,
        2 => 25,
        4 => 26,
        8 => 27,
        _ => unreachable!("no such head"),
    };
    let mut out = vec![major << 5 | info];
    out.extend(&argument.to_be_bytes()[8 - width..]);
    out
}

/// The shortest head.
pub(crate) fn short(major: u8, argument: u64) -> Vec<u8> {
    let width = match argument {
        0..24 => 0,
        24..0x100 => 1,
        0x100..0x1_0000 => 2,
        _ => 4,
    };
    head(major, argument, width)
}

pub(crate) fn bytes(content: &[u8]) -> Vec<u8> {
    [short(2, content.len() as u64), content.to_vec()].concat()
}

pub(crate) fn text(content: &[u8]) -> Vec<u8> {
    [short(3, content.len() as u64), content.to_vec()].concat()
}

/// The pieces of an envelope, each of which a test may replace. `signature` of `None` is computed.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) tag: Vec<u8>,
    pub(crate) array: Vec<u8>,
    pub(crate) protected: Vec<u8>,
    /// Encoding of the protected header in the envelope; what is signed is always its short form.
    pub(crate) protected_head: Option<Vec<u8>>,
    pub(crate) unprotected: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) payload_encoded: Option<Vec<u8>>,
    pub(crate) signature: Option<Vec<u8>>,
    pub(crate) after: Vec<u8>,
    pub(crate) aad: &'static str,
}

impl Forge {
    /// One that is of the profile.
    pub(crate) fn good() -> Forge {
        Forge {
            tag: vec![0xd2],
            array: vec![0x84],
            protected: protected(&[alg(), content_type(Purpose::Task.content_type()), key_id()]),
            protected_head: None,
            unprotected: vec![0xa0],
            payload: wrapper("01JD0000000000000000000000"),
            payload_encoded: None,
            signature: None,
            after: vec![],
            aad: Purpose::Task.aad(),
        }
    }

    /// With another protected header.
    pub(crate) fn with_header(entries: &[Vec<u8>]) -> Forge {
        Forge { protected: protected(entries), ..Forge::good() }
    }

    pub(crate) fn to_be_signed(&self) -> Vec<u8> {
        let parts =
            [text(b"Signature1"), bytes(&self.protected), bytes(self.aad.as_bytes()), bytes(&self.payload)];
        [vec![0x84], parts.concat()].concat()
    }

    pub(crate) fn sign(&self) -> [u8; 64] {
        ed25519_dalek::SigningKey::from_bytes(&SEED).sign(&self.to_be_signed()).to_bytes()
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let protected = match &self.protected_head {
            Some(head) => [head.clone(), self.protected.clone()].concat(),
            None => bytes(&self.protected),
        };
        [
            self.tag.clone(),
            self.array.clone(),
            protected,
            self.unprotected.clone(),
            self.payload_encoded.clone().unwrap_or_else(|| bytes(&self.payload)),
            self.signature.clone().unwrap_or_else(|| bytes(&self.sign())),
            self.after.clone(),
        ]
        .concat()
    }
}

pub(crate) fn protected(entries: &[Vec<u8>]) -> Vec<u8> {
    [short(5, entries.len() as u64), entries.concat()].concat()
}

pub(crate) fn alg() -> Vec<u8> {
    vec![0x01, 0x27]
}

pub(crate) fn content_type(name: &str) -> Vec<u8> {
    [vec![0x03], text(name.as_bytes())].concat()
}

pub(crate) fn task_type() -> Vec<u8> {
    content_type(Purpose::Task.content_type())
}

pub(crate) fn key_id() -> Vec<u8> {
    [vec![0x04], bytes(&key().public().id().0)].concat()
}

/// Parses and verifies as a daemon does for a task.
pub(crate) fn accept(envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let verified = fades_envelope::parse(envelope)?.verify(&key().public(), Purpose::Task)?;
    Ok(verified.payload().to_vec())
}

/// Name of the reason.
pub(crate) fn reason(error: &EnvelopeError) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}
