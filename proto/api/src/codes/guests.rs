//! E30xx: guests: the broker and the functions.

catalogue! {
    GUEST_PANICKED = 3000, 500, "guest panicked", "Correct the function at that place; on the node `fades task debug ID` shows the way to it and the last data.",
        "The program in the guest stopped at a fault that it found itself. Its message and its place in the source are in the detail.";
    GUEST_OUT_OF_MEMORY = 3001, 500, "guest ran out of memory", "Ask for more in dmf.resources.memory_mib, or hold less state.",
        "An allocation failed inside the guest. Memory should follow the function's state, never the amount of data.";
    GUEST_TIMED_OUT = 3002, 504, "task took longer than its timeout", "Ask for more in dmf.resources.timeout_ms, or for less data.",
        "The time that the task allowed has passed; its guest was ended.";
    GUEST_BOOT_TIMED_OUT = 3003, 500, "guest was not ready in time", "Look at the guest's console in the detail, and at `fades doctor`.",
        "The guest was started, but did not report within the time that the node allows for a boot.";
    GUEST_LOADER_FAILED = 3004, 500, "guest could not be loaded", "Build the image again; the loader's own words are in the detail.",
        "The boot loader refused the program or found too little memory for it.";
    GUEST_PROTOCOL = 3005, 500, "guest broke the protocol", "Use an image built with this version's kit.",
        "A message came that does not decode, or that does not belong there. The guest was ended.";
    GUEST_PROTOCOL_VERSION = 3006, 500, "guest speaks another protocol version", "Build the image with the kit of this node's version.",
        "Guest and node do not share a version of their protocol.";
    GUEST_EXITED = 3007, 500, "guest ended too early", "Look at the exit code and the console in the detail.",
        "The guest ended by itself before it had done its work.";
    GUEST_KILLED_BY_SIGNAL = 3008, 500, "guest's process was killed", "Look at the host's log for a lack of memory, or for who killed it.",
        "The process that runs the guest ended by a signal that the node did not send.";
    GUEST_SILENT = 3009, 500, "guest stopped answering", "Look at the console in the detail.",
        "Heartbeats stayed out for longer than allowed. A guest with a dead network counts as dead.";
    GUEST_CONTROL_LOST = 3010, 500, "connection to the guest was lost", "Look at the console in the detail.",
        "The guest's control connection ended while work was under way.";
    FUNCTION_FAILED = 3011, 422, "function reported an error", "Read the function's own words in the detail.",
        "The function ended with an error of its own.";
    FUNCTION_PARAMETERS = 3012, 422, "function refused its parameters", "Correct dmf.parameters; the function's own words are in the detail.",
        "The parameters are not what this function reads.";
    GUEST_START_FAILED = 3013, 500, "guest could not be started", "Run `fades doctor`; the monitor's own words are in the detail.",
        "The host could not start the process that runs the guest.";
    SUMMARIES_DIFFER = 3014, 500, "broker and function disagree about the data", "Submit it again, and report it if it comes back.",
        "Counts or digests of the stream differ between its two ends. A result over other data than was read is never published.";
    STREAM_CRC = 3015, 500, "frame arrived damaged", "Submit it again, and report it if it comes back.",
        "The check sum of a frame does not fit. The stream was ended.";
    STREAM_SEQUENCE = 3016, 500, "frame is missing or repeated", "Submit it again, and report it if it comes back.",
        "Frames are numbered; one was skipped or came twice. The stream was ended.";
    TICKET_UNKNOWN = 3017, 500, "function showed a ticket that the broker does not know", "Submit it again, and report it if it comes back.",
        "A function gets the data of its own task only, against the ticket of that task.";
    BROKER_DIED = 3018, 500, "broker died while it served the task", "Submit it again; `fades status` shows what befell the broker.",
        "The broker ended while streaming, and the task's retries are used up.";
    BROKER_GIVEN_UP = 3019, 503, "broker keeps dying", "Look at its last console in `fades status`.",
        "The broker was started again and again and does not stay up. The node goes on trying, more and more slowly.";
    RETRIES_EXHAUSTED = 3020, 500, "task failed too often", "Look at the reasons of its attempts in its events.",
        "The task was begun anew as often as the node allows.";
    NODE_RESTARTED = 3021, 500, "node ended while the task ran", "Submit it again as a new task.",
        "The node was ended in the middle of the task, and its record says that it is not to be begun anew.";
    GUEST_TRIPLE_FAULT = 3022, 500, "guest crashed its processor", "Build the image again; look at the console in the detail.",
        "The guest reset itself by a fault that nothing in it could handle.";
    GUEST_ABORTED = 3023, 500, "guest aborted", "Look at the console in the detail.",
        "The program in the guest ended itself without unwinding.";
    FLOW_CONTROL_BROKEN = 3024, 500, "guest sent more than it was granted", "Use an image built with this version's kit.",
        "One end of the stream did not keep to the credit that the other granted.";
    GUEST_CANCELLED = 3025, 409, "guest was ended because the task was cancelled", "Nothing: this was asked for.",
        "The task was cancelled, and its guest was ended.";
    BROKER_MEMORY = 3026, 503, "broker has no memory left for the operation", "Submit it again when fewer tasks run.",
        "The broker keeps to a fixed budget of memory per operation and refuses what does not fit.";
    GUEST_NETWORK_VIOLATION = 3027, 500, "guest tried to reach what it may not", "Use an image that you trust; look at the counters in `fades status`.",
        "The guest sent frames that its place on the network does not allow, beyond what a mistake explains.";
    STREAM_DIGEST = 3028, 500, "digest of the stream differs", "Submit it again, and report it if it comes back.",
        "The digest over what was sent differs from the one over what arrived.";
    GUEST_FAILURE_UNKNOWN = 3029, 500, "guest failed for a reason this node does not know", "Use an image of the same version as the node.",
        "The guest named a failure number that this version has no words for; its own words are in the detail.";
    DOMAIN_MEMORY = 3030, 503, "no memory for the guest's domain", "Submit it again when fewer tasks run; lower `memory_mib` under `[limits]` in fades.toml, or give dom0 less.",
        "A domain of Xen has memory of its own, all of it from its start. The host had not that much left, as the detail tells.";
    DOMAIN_DIED = 3031, 500, "guest's domain died", "Look at the reason and the console in the detail.",
        "The guest's domain of Xen ended otherwise than by powering off, as when it crashes or a fault resets it. Xen's reason is in the detail.";
    STATE_REFUSED = 3032, 500, "function cannot go on from its state, or keep it", "Read the function's words in the detail. The state stays as it was; cancel the task and submit a new one to begin without.",
        "The function refused what it had kept in an earlier period, as of another version, or made a state that is too large. The period fails, the state of the last good one stays, and the next period is tried.";
}
