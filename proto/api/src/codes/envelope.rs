//! E11xx: the envelope (COSE_Sign1 in one strict profile), and keys.

catalogue! {
    CBOR_MALFORMED = 1100, 400, "envelope is not CBOR", "Sign with `fades task sign` or compare with examples/python.",
        "The bytes are not well-formed CBOR. A claimed length larger than the body counts as this, and allocates nothing.";
    NOT_SIGN1 = 1101, 400, "not a tagged COSE_Sign1", "Put tag 18 before an array of four: protected, unprotected, payload, signature.",
        "The outer form is not that of RFC 9052 section 4.2 with its tag. Without the tag the same bytes could be read as something else.";
    NOT_DETERMINISTIC = 1102, 400, "encoding is not deterministic", "Use shortest lengths, definite lengths and sorted, unique keys.",
        "Encoded again, the envelope does not come out as the bytes that were sent. One signed object has exactly one byte form here.";
    TRAILING_BYTES = 1103, 400, "bytes after the envelope", "Send one envelope and nothing after it.",
        "Something follows the envelope. It would not be covered by the signature; two envelopes in one body are refused likewise.";
    UNPROTECTED_NOT_EMPTY = 1104, 400, "unprotected headers are not empty", "Put algorithm, content type and key id into the protected headers.",
        "Unprotected headers are not covered by the signature, so nothing may stand in them.";
    PROTECTED_HEADERS_WRONG = 1105, 400, "protected headers are not those of the profile", "Use exactly {1: -8, 3: content type, 4: key id}.",
        "The protected map holds other keys than algorithm (1), content type (3) and key id (4), or lacks one.";
    ALGORITHM_REFUSED = 1106, 400, "algorithm refused", "Sign with EdDSA (-8) over Ed25519.",
        "The envelope names another algorithm than EdDSA. There is one, so that none can be chosen by who attacks.";
    CONTENT_TYPE_REFUSED = 1107, 400, "content type in the envelope refused", "Use the content type of what you send, e.g. application/vnd.fades.task.v1+json.",
        "The signed content type is not the one for this place: a receipt or a manifest is not a task, and neither is another version.";
    KEY_ID_MALFORMED = 1108, 400, "key id is malformed", "Use the 32 bytes of SHA-256 over the raw public key.",
        "The key id (label 4) is not 32 bytes.";
    PAYLOAD_DETACHED = 1109, 400, "payload is not attached", "Put the payload into the envelope.",
        "The payload is missing. Only envelopes that carry what they sign are taken.";
    SIGNATURE_LENGTH = 1110, 400, "signature has the wrong length", "An Ed25519 signature has 64 bytes.",
        "The signature is not 64 bytes long.";
    KEY_UNKNOWN = 1111, 401, "key id is unknown", "Have the node's operator add the key: `fades issuer add`.",
        "The node has no key of this id. Nothing was verified.";
    SIGNATURE_INVALID = 1112, 401, "signature does not hold", "Sign the exact bytes that you send, with the key that the key id names.",
        "The signature does not fit key, purpose and payload under strict verification. Any changed byte causes this, and so does a signature made for another purpose.";
    ENVELOPE_TOO_LARGE = 1113, 413, "envelope too large", "Keep it under 64 KiB.",
        "The envelope is larger than anything that the profile needs.";
    PURPOSE_WRONG = 1114, 400, "envelope was made for another purpose", "Sign it for what you use it for (fades/task/v1, fades/request/v1 ...).",
        "The external data of the signature names another purpose. A signature never serves elsewhere.";
    KEY_LENGTH = 1120, 400, "public key has the wrong length", "Give the 32 bytes of an Ed25519 public key, as 64 hexadecimal digits.",
        "An Ed25519 public key has 32 bytes.";
    KEY_NOT_CANONICAL = 1121, 400, "public key is not canonically encoded", "Make a new key with `fades key new`.",
        "The same point has another encoding. One key has one byte form, else it would have several ids.";
    KEY_SMALL_ORDER = 1122, 400, "public key is of small order", "Make a new key with `fades key new`.",
        "Signatures under such a key can be made without any private key.";
    KEY_MIXED_ORDER = 1123, 400, "public key is not torsion-free", "Make a new key with `fades key new`.",
        "A key with a part of small order lets verifiers disagree about the same signature.";
    POSSESSION_NOT_PROVEN = 1124, 400, "possession of the private key is not proven", "Give the proof that `fades key new` writes beside the key.",
        "A key is only taken with a statement that names it and is signed by it.";
    KEY_FILE_OPEN_TO_OTHERS = 1125, 400, "key file can be read by others", "Run `chmod 600` on it, and replace the key if others could have read it.",
        "A private key whose file is open to the group or to all is not used.";
    KEY_FILE_UNREADABLE = 1126, 400, "key file cannot be read", "Give the path of a PKCS#8 PEM file with an Ed25519 key.",
        "The file is missing, is not readable, or holds no Ed25519 private key in PKCS#8.";
    KEY_NOT_A_POINT = 1127, 400, "public key is not a point of the curve", "Check that all 64 digits of the key were copied.",
        "The 32 bytes do not decode to a point of Curve25519.";
}
