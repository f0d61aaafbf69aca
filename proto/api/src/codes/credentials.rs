//! E12xx: credentials: replay, epoch, audience, time, the state of a key, and who may do what with a task.

catalogue! {
    EXPIRED = 1200, 403, "wrapper or request has expired", "Sign a new one with a later expires_at, and check both clocks.",
        "The time in expires_at has passed on the node. The node's time is shown by GET /v1/node.";
    ISSUED_IN_FUTURE = 1201, 403, "issued in the future", "Check both clocks; 30 seconds of difference are allowed.",
        "issued_at lies further ahead of the node's clock than the allowed difference.";
    AUDIENCE_WRONG = 1202, 403, "meant for another node", "Put this node's id (GET /v1/node) into audience and sign again.",
        "The signed audience is not this node. What was signed for one node is worth nothing at another.";
    TASK_ID_REUSED = 1203, 409, "task id was used with other contents", "Take a new task_id for a new task; send the same bytes again only to repeat.",
        "The node has a task of this id with another payload. The same id and payload gets the current state; the same id with anything else is refused, whoever signed it.";
    EPOCH_WRONG = 1204, 403, "node epoch has changed", "Read the epoch from GET /v1/node and sign again.",
        "The node renews its epoch whenever its memory of used task ids was lost or restored, so that captured wrappers are worthless then.";
    KEY_REVOKED = 1205, 403, "key is revoked", "Use a key that is in force; the node's operator can tell why.",
        "The operator has withdrawn this key. A revocation is never undone by an older trust file.";
    KEY_EXPIRED = 1206, 403, "key has expired", "Have a new key added: `fades issuer add`.",
        "The time until which the operator trusts this key has passed.";
    KEY_NOT_YET_VALID = 1207, 403, "key is not valid yet", "Wait until its time begins, or check the node's clock.",
        "The time from which the operator trusts this key has not come.";
    ISSUER_MISMATCH = 1208, 403, "key belongs to another issuer", "Put the issuer that the node knows for your key into credentials.issuer.",
        "The wrapper names an issuer for which the signing key was not admitted.";
    LIFE_TOO_LONG = 1209, 403, "life of the wrapper or request is too long", "Let expires_at lie nearer to issued_at.",
        "Used task ids are remembered until expiry, so policy bounds how far ahead that may lie. A request lives for 2 minutes at most.";
    REQUEST_MISMATCH = 1210, 403, "signature is for another request", "Sign the method and the path with its query exactly as you send them.",
        "The signed request names another method or path than the one that came.";
    NONCE_REUSED = 1211, 403, "request was seen before", "Sign each request anew, with a fresh nonce.",
        "A signed request serves once, so that who overhears it cannot repeat it.";
    AUTHORIZATION_MISSING = 1212, 401, "request is not signed", "Add `Authorization: Fades ENVELOPE`, or use the node's local socket.",
        "Reading and cancelling over the network need a signed request.";
    AUTHORIZATION_MALFORMED = 1213, 401, "Authorization header is malformed", "Write `Fades`, a space and the envelope in base64url without padding.",
        "The header is not of the one form that is understood.";
    READ_NOT_ALLOWED = 1214, 403, "may not read this", "Ask the node's operator for the right, or use the key that submitted the task.",
        "The policy of the issuer does not let it read what the request asks for.";
    CANCEL_NOT_ALLOWED = 1215, 403, "may not cancel this", "Use the key that submitted the task, or the node's local socket.",
        "Only the issuer of a task, and the operator, may cancel it.";
    TRUST_ROLLED_BACK = 1216, 403, "trust file is older than one already used", "Put the newest trust file back, or enrol the issuers again.",
        "The node has acted on a newer list of issuers. An older one could bring revoked keys back to life.";
    CLOCK_WENT_BACK = 1217, 503, "the node's clock went back", "Set the node's clock right and look at `fades doctor`.",
        "The clock shows an earlier time than the node has already recorded. Expired wrappers could come back to life, so none are taken.";
    LOCAL_ONLY = 1218, 403, "only over the local socket", "Do this on the node itself.",
        "This is for the node's operator and is not offered over the network.";
    REQUEST_MALFORMED_PAYLOAD = 1219, 400, "signed request is malformed", "Sign a payload of schema fades.request.v1 with exactly its keys.",
        "The payload of the Authorization envelope is not a request of schema fades.request.v1.";
}
