//! Why tasks fail, by kind.

/// Why a task failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The node can never hold a guest of this size.
    NoRoom,
    /// The function's guest could not be started or did not get ready in time.
    Boot,
    /// The guest panicked.
    Panic,
    /// The guest ran out of memory.
    Memory,
    /// The guest ended in another way than it should.
    Exit,
    /// The guest broke the protocol, or its connection was lost.
    Protocol,
    /// The task's time was up.
    Timeout,
    /// The broker died under the task once too often.
    BrokerLost,
    /// The daemon ended under the task once too often.
    NodeLost,
    /// The function refused its parameters.
    Parameters,
    /// The function gave up with an error of its own.
    Function,
    /// No connection to the source came about.
    SourceUnreachable,
    /// The source answered with an error.
    SourceStatus,
    /// The source's answer could not be understood, or had values of a wrong type.
    SourceMalformed,
    /// The source said nothing for too long.
    SourceSilent,
    /// The source closed before its answer was whole.
    SourceClosedEarly,
    /// The source's answer is too large.
    SourceTooLarge,
    /// The source refused the credentials.
    SourceDenied,
    /// The operation cannot be expressed for this source.
    SourceQuery,
    /// The stream between broker and function broke.
    Stream,
    /// What the function read is not what the broker sent.
    Mismatch,
    /// The result is larger than the task allows.
    ResultTooLarge,
    /// The result is not JSON.
    ResultInvalid,
}
