//! E70xx: the store.

catalogue! {
    STORE_WRITE_FAILED = 7000, 503, "store cannot be written", "Look at the disk, and make room on it; nothing was accepted that could not be stored.",
        "A transaction could not be written and synchronised to disk, or the disk has less room than is kept for tasks under way.";
    STORE_CORRUPT = 7001, 503, "store is damaged", "Move store.redb aside and start again: the node then takes a new epoch.",
        "The file does not read as it was written.";
    STORE_NEWER = 7002, 503, "store is of a newer version", "Run the version of fadesd that wrote it.",
        "An older program could misread a newer store, and does not try.";
    STORE_NOT_OPENED = 7003, 503, "store cannot be opened", "Check the folder's owner and permissions.",
        "The store's file exists but cannot be opened, or cannot be made.";
    STORE_RESTORED = 7004, 503, "store is older than what the node remembers", "Submit the task again, under a new id and for the node's new epoch.",
        "The store looks like a restored backup. Task ids used since then are forgotten, so the epoch is renewed, and tasks that the copy has not ended are ended: each may have run since.";
    STORE_LOCKED = 7005, 503, "store is in use", "End the other fadesd first.",
        "Another process has the store open.";
    STORE_RECORD_MALFORMED = 7006, 500, "record in the store is malformed", "Report it together with the task id.",
        "A record reads, but does not mean anything that this version knows.";
    STORE_READ_FAILED = 7007, 503, "store cannot be read", "Look at the disk.",
        "A record could not be read from disk.";
    STATE_DAMAGED = 7008, 500, "stored state of a function is damaged", "Look at the disk. The state stays as it is; cancel the task and submit a new one to begin without.",
        "The state that a function had kept is not what was stored: its length or checksum, its form's version or its image is another. It is never begun without, which would pass for a short baseline. The period fails.";
}
