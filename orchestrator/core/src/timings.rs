//! How long what took, for a result (DESIGN section 8).

/// The stages of a task, µs. They overlap, so they need not add up to the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Checking the wrapper.
    pub verify: u64,
    /// Accepted → its function asked for (of the attempt that succeeded).
    pub queue: u64,
    /// Function asked for → its hello; of one that was awake before → its first word since it was taken, which is that it has
    /// its task and its broker.
    pub boot: u64,
    /// First query sent → last point at the broker: the longest of the operations, by the broker's clock.
    pub retrieve: u64,
    /// First → last chunk into the function, by its clock.
    pub transfer: u64,
    /// Inside the function's own code, by its clock.
    pub compute: u64,
    /// First piece of the result → the result handed over for storing.
    pub return_: u64,
    /// Received → the result handed over for storing.
    pub total: u64,
}
