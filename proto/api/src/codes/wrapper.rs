//! E13xx: the contents of a task wrapper.

catalogue! {
    NOT_UTF8 = 1300, 400, "not UTF-8", "Encode the document as UTF-8.",
        "A wrapper is JSON in UTF-8, without exceptions.";
    JSON_SYNTAX = 1301, 400, "not JSON", "Correct the place that the message names.",
        "The payload is not one JSON document by RFC 8259. NaN and infinities are no JSON either, and neither is a number beyond what a double holds.";
    KEY_DUPLICATE = 1302, 400, "key given twice", "Give each key once.",
        "Readers differ in which of two equal keys they keep, so what was signed and what would run could differ.";
    KEY_NOT_KNOWN = 1303, 400, "unknown key", "Correct or remove the key that the message names.",
        "A key that the schema does not have could be a misspelt limit, which must not be ignored silently.";
    KEY_MISSING = 1304, 400, "key is missing", "Add the key that the message names.",
        "The schema requires this key: nothing of weight has a silent default in what is signed.";
    TYPE_WRONG = 1305, 400, "value has the wrong type", "Give a value of the type that the message names.",
        "The value is a string where a number belongs, a list where an object belongs, or the like. Nothing is converted.";
    TOO_DEEP = 1306, 400, "nested too deeply", "Nest at most 16 levels.",
        "Depth is capped before the document is built, so that it costs no stack.";
    TOO_MANY_VALUES = 1307, 400, "too many values", "Keep the document under 8,192 values.",
        "The number of values is capped while reading, so that it costs no memory.";
    STRING_TOO_LONG = 1308, 400, "string too long", "Shorten the string that the message names.",
        "Strings and keys have caps: 64 bytes for names, 128 for labels, 4,096 for anything else.";
    NUMBER_OUT_OF_RANGE = 1309, 400, "number out of range", "Give a whole number within the bounds that the message names.",
        "A number is too small, too large, negative or not whole where the schema sets bounds. Zero memory and zero time count.";
    NOT_FINITE = 1310, 400, "NaN or infinite", "Give a finite number.",
        "TOML can write nan and inf; a wrapper cannot carry them.";
    TIME_MALFORMED = 1311, 400, "not a time", "Write RFC 3339 with an offset, e.g. 2026-11-20T08:00:00Z.",
        "Times carry their offset, so that they mean the same everywhere.";
    TIME_RANGE_WRONG = 1312, 400, "range of times is empty, reversed or absurd", "Let `from` lie before `to`, both between 1970 and 2262.",
        "Points have timestamps in nanoseconds in 64 bits; what lies outside cannot be asked for. `to` is exclusive.";
    NAME_REFUSED = 1313, 400, "name refused", "Use letters, digits, `.`, `_` and `-`, beginning with a letter or digit, without `..`.",
        "Names end up in queries, files and options of programs. Slashes, commas, quotes, control characters, a leading dash and `..` are refused for all of them. Labels (measurements, fields, tags) may also hold inner spaces and a few signs.";
    IMAGE_REFERENCE_MALFORMED = 1314, 400, "image reference is malformed", "Write NAME@sha256: and 64 lower-case hexadecimal digits.",
        "An image is named by its digest, so that what runs is what was meant.";
    TASK_ID_MALFORMED = 1315, 400, "task id is malformed", "Use a ULID: 26 characters, upper case.",
        "A ULID has one byte form here: 26 digits and upper-case letters without I, L, O and U, not above 128 bits.";
    SCHEMA_WRONG = 1316, 400, "not of this schema", "Write \"schema\": \"fades.task.v1\".",
        "The document says that it is of another schema or version, or does not say.";
    LIFETIME_MALFORMED = 1317, 400, "lifetime is malformed", "Write \"ephemeral\", or {\"persistent\": {\"every_ms\": ..., \"until\": ...}}.",
        "The two forms of a lifetime are the only ones. Beside these two keys there may be \"missed\": \"skip\" or \"catch_up\".";
    EPOCH_MALFORMED = 1318, 400, "node epoch is malformed", "Copy the 32 hexadecimal digits from GET /v1/node.",
        "An epoch has 16 bytes, written as 32 lower-case hexadecimal digits.";
    TOO_MANY_ITEMS = 1319, 400, "list too long", "Shorten the list that the message names, or split the task.",
        "Lists have caps: 64 operations, 32 tags with 256 values each, 16 groups, 8 sinks.";
    LIST_EMPTY = 1320, 400, "list is empty", "Put at least one item into the list, or leave the key out where it is optional.",
        "An empty list here would mean nothing, or everything, and it is not for the node to guess which.";
    ITEM_DUPLICATE = 1321, 400, "item given twice", "Give each item once.",
        "Operation ids, groups, tag values and sinks are sets.";
    TOML_SYNTAX = 1322, 400, "not TOML", "Correct the place that the message names.",
        "The file is not one TOML document.";
    DOCUMENT_TOO_LARGE = 1323, 413, "document too large", "Keep it under 64 KiB.",
        "A wrapper describes work; it carries no data.";
    VALIDITY_WRONG = 1324, 400, "expires before it is issued", "Let expires_at lie after issued_at, by at most 366 days.",
        "A wrapper that is never valid, or for ever, is a mistake.";
    NONCE_MALFORMED = 1325, 400, "nonce is malformed", "Use 16 fresh random bytes as 32 lower-case hexadecimal digits.",
        "The nonce makes each signed request unique.";
    DRAFT_INCOMPLETE = 1326, 400, "draft lacks something that nobody filled in", "Write the key into the file, or give it on the command line.",
        "A file written by people may leave out what the tool knows, but only that.";
    PARAMETERS_REFUSED = 1327, 400, "parameters of the function refused", "Compare with what `fades image inspect` says of the function's parameters.",
        "The image's own description of its parameters does not admit these.";
    PERIODS_WRONG = 1328, 400, "periods do not fit together", "Let `until` lie after the latest `to` of the operations and before expires_at, with at most 1,000,000 periods between.",
        "Period k reads what the operations name, k times every_ms later, and is due at the end of that. A task without any period, with more than a million, or with periods when its wrapper has expired, is a mistake.";
}
