//! E14xx: what the policy of an issuer does not allow. Default: nothing is allowed.

catalogue! {
    NO_POLICY = 1400, 403, "issuer may do nothing here", "Have the node's operator give the issuer a policy.",
        "The issuer is known, but has no policy. By default nothing is allowed.";
    SOURCE_NOT_ALLOWED = 1401, 403, "source not allowed", "Use a source of your policy, or ask the operator to allow it.",
        "The policy does not name this source for this issuer. Whether the source exists is not told.";
    MEASUREMENT_NOT_ALLOWED = 1402, 403, "measurement not allowed", "Use a measurement of your policy, or ask the operator to allow it.",
        "The policy allows the source, but not this measurement of it.";
    IMAGE_NOT_ALLOWED = 1403, 403, "image not allowed", "Use an image of your policy, or ask the operator to allow it.",
        "The policy does not name this image for this issuer.";
    MEMORY_ABOVE_POLICY = 1404, 403, "more memory than allowed", "Ask for less in dmf.resources.memory_mib.",
        "The task asks for more memory than the issuer's policy allows.";
    TIMEOUT_ABOVE_POLICY = 1405, 403, "more time than allowed", "Ask for less in dmf.resources.timeout_ms.",
        "The task asks for more time than the issuer's policy allows.";
    PRIORITY_ABOVE_POLICY = 1406, 403, "priority higher than allowed", "Ask for a lower credentials.priority.",
        "The task asks for a higher priority than the issuer's policy allows.";
    RATE_ABOVE_POLICY = 1407, 429, "more tasks per time than allowed", "Wait as long as Retry-After says.",
        "The issuer has submitted as many tasks as its policy allows for now.";
    SINK_NOT_ALLOWED = 1408, 403, "sink not allowed", "Use a sink of your policy, or leave `result` out.",
        "Results go only where the operator registered a sink and the policy names it. A wrapper never brings addresses of its own.";
    CALLBACK_ADDRESS_REFUSED = 1409, 403, "callback address refused", "Register a sink at a public address by its operator.",
        "Addresses on loopback, link-local or private networks are refused as callbacks: a task must not reach into the node's own network.";
    PERSISTENT_NOT_SUPPORTED = 1410, 501, "persistent functions are not supported by this version", "Use \"lifetime\": \"ephemeral\" and submit a task per period, or ask a newer node.",
        "The lifetime is well-formed, but the node, of an older version, runs functions for one task only. It is refused rather than run once.";
    TIME_RANGE_ABOVE_POLICY = 1411, 403, "range of times longer than allowed", "Let `from` and `to` lie nearer together.",
        "The operation asks for a longer range than the issuer's policy allows.";
    TOO_MANY_OPERATIONS = 1412, 403, "more operations than allowed", "Split the task.",
        "The task has more operations than the issuer's policy allows.";
    TOO_MANY_TASKS = 1413, 429, "too many tasks under way", "Wait for some to end, or cancel some.",
        "The issuer has as many tasks waiting and running as its policy allows.";
    WRAPPER_LIFE_ABOVE_POLICY = 1414, 403, "wrapper lives longer than allowed", "Let expires_at lie nearer to issued_at.",
        "The policy bounds the life of a wrapper more tightly than the schema does.";
    MEMORY_BELOW_IMAGE = 1415, 403, "less memory than the image needs", "Ask for at least the image's minimum_memory_mib.",
        "The image's manifest names a minimum of memory, and the task asks for less.";
    FIELD_NOT_ALLOWED = 1416, 403, "field not allowed", "Use a field of your policy, or ask the operator to allow it.",
        "The policy allows the measurement, but not this field of it.";
    RESULT_BYTES_ABOVE_POLICY = 1417, 403, "result larger than allowed", "Ask for fewer groups or windows, or for a larger allowance.",
        "The size of results is bounded per issuer, so that raw data cannot leave inside an aggregate.";
    SOURCE_UNKNOWN = 1418, 404, "no such source", "Look at `fades source ls`.",
        "The policy names a source that is not registered on this node.";
    PERSISTENT_NOT_ALLOWED = 1419, 403, "persistent tasks not allowed", "Ask the operator for `fades issuer add … --periods N`, or submit a task per period.",
        "A persistent task runs its function again and again and keeps its state. The issuer's policy must allow it: by default nothing is allowed.";
    PERIODS_ABOVE_POLICY = 1420, 403, "more periods than allowed", "Let `until` lie earlier or `every_ms` be longer, or ask the operator for more.",
        "From the first period's due time to `until` there are more periods than the issuer's policy allows for one task.";
}
