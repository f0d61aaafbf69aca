//! E20xx: the node has not enough of something.

catalogue! {
    QUEUE_FULL = 2000, 503, "queue is full", "Try again later with the same bytes.",
        "The node holds as many waiting tasks as it allows. Nothing of this task was stored.";
    MEMORY_EXHAUSTED = 2001, 503, "no memory for another guest", "Wait for tasks to end, or ask for less memory.",
        "All memory that the node gives to guests is taken.";
    GUEST_LIMIT = 2002, 503, "no room for another guest", "Wait for tasks to end.",
        "The node runs as many guests as it allows.";
    DISK_FULL = 2003, 503, "disk is full", "Make room on the node's disk.",
        "Nothing can be stored durably, so nothing is accepted.";
    FILES_EXHAUSTED = 2004, 503, "no file descriptors left", "Raise the limit of open files for fadesd.",
        "Every guest and every connection needs some.";
    ADDRESSES_EXHAUSTED = 2005, 503, "no guest address left", "Wait for guests to end.",
        "The virtual network has given out all of its addresses.";
    BROKER_NOT_READY = 2006, 503, "broker is not ready", "Wait for it; `fades status` shows its state and reason.",
        "The broker is starting, or has died and is being started again. Accepted tasks wait for it.";
    TASK_ABOVE_NODE = 2007, 422, "task needs more than the node has", "Ask for less, or send it to a larger node.",
        "The task could never run here, even on an idle node.";
    RECORDS_FULL = 2008, 503, "too many tasks on record", "Wait for older records to be cleared, or let the operator raise the limit.",
        "Task ids are remembered until their expiry, and their number is bounded.";
}
