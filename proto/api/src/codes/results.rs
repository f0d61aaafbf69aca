//! E50xx: results, receipts, and ends of a task that are no failure.

catalogue! {
    RESULT_TOO_LARGE = 5000, 422, "result is too large", "Ask for fewer groups or windows, or for a larger allowance.",
        "The function returned more bytes than the task may send out. Results are bounded so that raw data cannot leave inside an aggregate.";
    RESULT_NOT_JSON = 5001, 500, "result is not JSON", "Correct the function.",
        "The function returned bytes that are not one JSON document.";
    RESULT_OFF_SCHEMA = 5002, 500, "result is not of its schema", "Correct the function.",
        "The function returned JSON that is not what its image says it returns.";
    RESULT_NOT_READY = 5003, 409, "task has not ended yet", "Wait: `fades task watch`, or GET /v1/tasks/{id}/events.",
        "There is no result before the task has ended.";
    RESULT_PARTS_WRONG = 5004, 500, "parts of the result do not fit together", "Use an image built with this version's kit.",
        "A part is missing, came twice or out of order, or the sum of their lengths is another than announced.";
    RESULT_BEFORE_INPUT = 5005, 500, "result came before the data", "Correct the function.",
        "The function returned its result before it had read the stream to its end.";
    RESULT_NONE = 5006, 404, "task ended without a result", "Read the task's state and reason.",
        "The task failed, was cancelled, expired or was refused, so that there is no result.";
    RECEIPT_INVALID = 5007, 400, "receipt does not hold", "Do not use the result; fetch both again from the node.",
        "The receipt's envelope or signature is not that of the node whose key was given.";
    RECEIPT_MISMATCH = 5008, 400, "receipt says something else", "Do not use the result; fetch both again from the node.",
        "The receipt is genuine, but the result, or a figure shown with it, or the wrapper given, is not the one that the node signed.";
    SINK_FAILED = 5009, 502, "result could not be delivered", "Fetch the result by GET; look at the sink.",
        "The sink did not take the result. It stays stored at the node.";
    TASK_EXPIRED = 5010, 410, "task expired before it could run", "Submit a new one with a later expires_at or a higher priority.",
        "The wrapper's time was over while the task waited.";
    TASK_CANCELLED = 5011, 410, "task was cancelled", "Nothing: this was asked for.",
        "The issuer or the operator cancelled the task.";
    TASK_ALREADY_ENDED = 5012, 409, "task has already ended", "Read its result or its reason.",
        "A task that has ended cannot be cancelled.";
    RESULT_GONE = 5013, 410, "result is no longer kept", "Submit the task again under a new id.",
        "Results are kept for a bounded time; the record that the task ran is kept longer.";
    STATE_PARTS_WRONG = 5014, 500, "parts of the state do not fit together", "Use an image built with this version's kit.",
        "A part of the state that a function wants kept is missing, came twice or out of order, or their sum is another than announced or allowed.";
    PERIOD_NOT_FOUND = 5015, 404, "no such period kept", "Look at `fades task periods ID`; the node's operator says how many are kept (`periods` under `[keep]`).",
        "The task is not persistent, the period is still to come or runs, or it is older than what is kept.";
    PERIOD_WITHOUT_RESULT = 5016, 404, "period gave no result", "Look at `fades task periods ID` for what became of it.",
        "The period failed or was missed.";
    PERIODS_WITHOUT_RESULT = 5017, 500, "no period gave a result", "Look at `fades task periods ID` for the reasons.",
        "All periods of the persistent task are over, and each of them failed or was missed.";
    RESULT_TOO_DETAILED = 5018, 422, "result has too many fields", "Ask for fewer groups or windows, or for a larger allowance.",
        "The function returned more members of objects and elements of arrays than the issuer's policy lets out (`result_fields`).";
    GROUP_TOO_SMALL = 5019, 422, "too little was read for a result to leave", "Ask for a longer time or for more series.",
        "The issuer's policy asks for a least number of points in every series (`group_points`), or of series in every operation (`group_series`), and the broker counted fewer.";
    RESULT_ABOVE_LEAK_BUDGET = 5020, 422, "result is too large for what was read", "Ask for fewer groups or windows, for a longer time, or for a larger allowance.",
        "The result has more bytes for 1,000 bytes read than the issuer's policy lets out (`result_per_mille`).";
}
