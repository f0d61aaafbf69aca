//! E10xx: transport and HTTP, and what a client says when it gets no answer.

catalogue! {
    ROUTE_NOT_FOUND = 1000, 404, "no such path", "Look at /openapi.json for the paths that this node answers.",
        "The path of the request is none of the node's. Paths begin with /v1, but for /openapi.json, /livez, /readyz and /metrics.";
    METHOD_NOT_ALLOWED = 1001, 405, "method not allowed here", "Use one of the methods that the Allow header names.",
        "The path exists, but not with this method. The node never guesses what was meant.";
    BODY_TOO_LARGE = 1002, 413, "body too large", "Send at most 64 KiB; a wrapper describes work, it carries no data.",
        "The body, or the length that was announced for it, is above the node's cap. It is refused before it is read to its end, so that memory stays bounded.";
    MEDIA_TYPE_REFUSED = 1003, 415, "media type refused", "Send the envelope as `application/cose; cose-type=\"cose-sign1\"`.",
        "The Content-Type is not that of a COSE_Sign1 envelope. Signed tasks come in this one form.";
    CONTENT_ENCODING_REFUSED = 1004, 415, "compressed bodies are refused", "Send the body as it is, without Content-Encoding.",
        "A compressed body is refused unread: a few bytes could unpack to any size, and a signature covers the bytes as they are.";
    HEADERS_TOO_SLOW = 1005, 408, "headers came too slowly", "Send the whole head of the request at once.",
        "The head of the request was not complete within the node's deadline. Slow connections are closed so that others find room.";
    BODY_TOO_SLOW = 1006, 408, "body came too slowly", "Send the whole body at once; look at the link if it is slow by itself.",
        "The body was not complete within the node's deadline.";
    BODY_LENGTH_WRONG = 1007, 400, "body length differs from what was announced", "Send exactly as many bytes as Content-Length says.",
        "Fewer or more bytes came than announced, or the length was announced twice in different ways, which is a known way to smuggle requests.";
    TOO_MANY_CONNECTIONS = 1008, 503, "too many connections", "Try again a little later, and keep fewer connections open.",
        "The node has as many connections open as it allows, in all or from this address.";
    ADDRESS_RATE_LIMITED = 1009, 429, "too many requests from this address", "Wait as long as Retry-After says.",
        "Requests from one address are limited before any signature is looked at, since a bad signature costs as much as a good one.";
    KEY_RATE_LIMITED = 1010, 429, "too many requests under this key", "Wait as long as Retry-After says.",
        "Requests that name one key id are limited before their signature is looked at. Someone who only knows your key id can cause this; it ends by itself.";
    QUERY_MALFORMED = 1011, 400, "query of the path is malformed", "Use the query parameters that /openapi.json names, with values of their types.",
        "A query parameter is unknown, given twice, or has a value that it cannot have.";
    CURSOR_MALFORMED = 1012, 400, "cursor is not one of this node's", "Start the list again without a cursor.",
        "A cursor is what the node itself gave with the previous page. It cannot be made up, and does not serve for another query.";
    TASK_NOT_FOUND = 1013, 404, "no such task", "Check the task id and the node; `fades task ls` lists what you may see.",
        "The node knows no task of this id, or none that you may read: the answer is the same, so that ids of others are not told.";
    HEADERS_TOO_LARGE = 1014, 431, "headers too large", "Send fewer or shorter headers.",
        "The head of the request is larger than the node reads.";
    EVENT_ID_MALFORMED = 1015, 400, "Last-Event-ID is not a number", "Send the last `id` that you received, or leave the header out.",
        "Events have increasing whole numbers for ids. A stream resumes right behind the id that the header names.";
    EVENTS_GONE = 1016, 410, "events that old are gone", "Read the task's state afresh, then follow events without Last-Event-ID.",
        "Events are kept for a bounded time. To resume behind a gap would hide that some are missing, so it is refused.";
    TOO_MANY_STREAMS = 1017, 503, "too many event streams", "Close other event streams, or ask for the state now and then.",
        "Every event stream holds a connection and memory for as long as it is open, so their number is limited.";
    INTERNAL = 1018, 500, "the node failed inside", "Report it together with the node's log around this time.",
        "Something went wrong in the node that has no code of its own. That is a defect of the project.";
    SHUTTING_DOWN = 1019, 503, "the node is shutting down", "Try again when it is back; accepted tasks are kept.",
        "The node takes no new work while it ends. What it accepted is stored and goes on after the start.";
    TASK_ID_IN_PATH_MALFORMED = 1020, 400, "task id in the path is malformed", "Use the 26 characters of the ULID as the node showed it.",
        "A task id is a ULID: 26 characters, digits and upper-case letters without I, L, O and U.";
    BODY_MISSING = 1021, 400, "body is missing", "Send the signed envelope as the body.",
        "The request needs a body and came without one.";
    BODY_UNEXPECTED = 1022, 400, "body where none belongs", "Send this request without a body.",
        "This request has no body by its definition; one that is there nevertheless is not covered by the request's signature.";
    HEADER_MALFORMED = 1023, 400, "header is malformed", "Send the header as /openapi.json describes it.",
        "A header that the node must understand is given twice, is not text, or has a value that it cannot have.";
    REQUEST_MALFORMED = 1024, 400, "not a request in HTTP/1.1", "Talk HTTP/1.1 to this port.",
        "The bytes on the connection are not a request that the node understands.";
    NODE_UNREACHABLE = 1030, 502, "node cannot be reached", "Check the address (`--node` or FADES_NODE), and that `fades up` runs there.",
        "No connection could be made, or it ended before the answer was complete. The request may or may not have arrived; to submit the same bytes again is safe.";
    CLIENT_TIMED_OUT = 1031, 504, "no answer in time", "Ask again, or allow more time; to submit the same bytes again is safe.",
        "The node did not answer within the time that the caller allowed.";
    ANSWER_MALFORMED = 1032, 502, "answer is not one of a Fades node", "Check that the address is a Fades node's and not another service's.",
        "The answer could not be read as what the interface promises.";
    NODE_ADDRESS_MALFORMED = 1033, 400, "node address is malformed", "Write http://HOST:PORT or unix:/PATH.",
        "A node is addressed over TCP as http://HOST:PORT or over its local socket as unix:/PATH.";
}
