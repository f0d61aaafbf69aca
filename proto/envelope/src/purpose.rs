//! What a signature is for. The purpose is part of what is signed, so that no signature serves elsewhere.

/// The four uses of the envelope. Each has its own `external_aad` and content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A task wrapper, signed by an issuer.
    Task,
    /// An image manifest, signed by whoever packs images for a node.
    Image,
    /// A receipt, signed by a node.
    Receipt,
    /// A request to read or cancel, and proofs of possession; signed by an issuer.
    Request,
}

impl Purpose {
    /// All purposes, for tables and for looking one up.
    pub const ALL: [Purpose; 4] = [Purpose::Task, Purpose::Image, Purpose::Receipt, Purpose::Request];

    /// `external_aad` of the signature (RFC 9052 §4.3): the UTF-8 bytes of this text.
    pub const fn aad(self) -> &'static str {
        match self {
            Purpose::Task => "fades/task/v1",
            Purpose::Image => "fades/image/v1",
            Purpose::Receipt => "fades/receipt/v1",
            Purpose::Request => "fades/request/v1",
        }
    }

    /// Content type in the protected header (label 3).
    pub const fn content_type(self) -> &'static str {
        match self {
            Purpose::Task => "application/vnd.fades.task.v1+json",
            Purpose::Image => "application/vnd.fades.image.v1+json",
            Purpose::Receipt => "application/vnd.fades.receipt.v1+json",
            Purpose::Request => "application/vnd.fades.request.v1+json",
        }
    }

    /// The purpose that this content type names, if it is one of ours.
    pub(crate) fn from_content_type(text: &[u8]) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|purpose| purpose.content_type().as_bytes() == text)
    }
}
