//! E40xx: data sources. The task fails with the reason; other tasks go on, and no partial aggregate is published.
//!
//! 4009 was given to redirects, which are told as any other status (4001); it is not used again.

catalogue! {
    SOURCE_UNREACHABLE = 4000, 502, "source cannot be reached", "Check that it runs: `fades source test NAME`.",
        "No connection to the source could be made, or it was refused.";
    SOURCE_STATUS = 4001, 502, "source answered with an error", "Read the source's own words in the detail.",
        "The source answered with another HTTP status than success.";
    SOURCE_MALFORMED = 4002, 502, "source's answer is malformed", "Check the source's version and what stands between.",
        "The answer is not of the form that this kind of source gives.";
    SOURCE_TYPE = 4003, 502, "source's values are not numbers", "Ask for a field that holds numbers.",
        "A value is text or a truth value where a number is needed.";
    SOURCE_SILENT = 4004, 504, "source stopped answering", "Check its load: `fades source test NAME`.",
        "The connection is open, but nothing came for longer than allowed.";
    SOURCE_CLOSED_EARLY = 4005, 502, "source closed in the middle", "Look at the source's log, then submit again.",
        "The answer ended before it was complete.";
    SOURCE_ENDLESS = 4006, 502, "source's answer does not end", "Ask for less, or look at what answers there.",
        "The answer is larger than the task's budget, or has a line or row without end.";
    SOURCE_CREDENTIALS = 4007, 502, "source refused the node's credentials", "Correct them with `fades source add`.",
        "The source wants a user or token that the node does not have right.";
    SOURCE_DATABASE = 4008, 502, "source has no such database", "Correct the source's database or retention policy.",
        "The source answers, but does not know the database or retention policy that was registered.";
    SOURCE_NOT_RESOLVED = 4010, 502, "source's name does not resolve", "Correct the host, or the node's name service.",
        "No address was found for the source's host.";
    SOURCE_ADDRESS_REFUSED = 4011, 502, "source's address is refused", "Register an address that the node's settings allow.",
        "The host resolves to an address that the operator does not let the broker reach.";
    SOURCE_NUMBER = 4013, 502, "number from the source cannot be held", "Look at the values in the source.",
        "A number or a timestamp from the source is beyond what 64 bits hold.";
    SOURCE_QUERY_REFUSED = 4014, 502, "source refused the query", "Read the source's own words in the detail.",
        "The source understood the request and refused the query in it.";
    SOURCE_TOO_MANY_SERIES = 4015, 422, "too many series", "Group by fewer tags, or ask for fewer values.",
        "The answer has more series than one operation may have.";
    SOURCE_REMOVED = 4016, 409, "source was removed", "Register it again, or submit for another.",
        "The source was taken out of the node while the task waited or ran.";
    SOURCE_KIND_UNKNOWN = 4017, 400, "kind of source is unknown", "Use a kind that `fades source add --help` names.",
        "This version has no driver for this kind of source.";
    SOURCE_FAILED = 4018, 502, "source failed", "Read the reason in the detail.",
        "The source failed in a way that has no code of its own.";
}
