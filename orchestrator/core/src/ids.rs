//! Names of guests, tasks and roles, as the orchestrator uses them.

use std::fmt;

use fades_wire::ids::TaskKey;

/// What a guest is for; decides what the virtual network lets it reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The Data Resource Broker: talks to sources, serves functions.
    Broker,
    /// A Data Manipulation Function: reads from the broker only.
    Function,
}

impl Role {
    /// The word used in logs and image manifests.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Broker => "drb",
            Self::Function => "dmf",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl From<Role> for fades_wire::ids::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Broker => Self::Broker,
            Role::Function => Self::Function,
        }
    }
}

/// One guest of one run of the daemon. Given out by the engine, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestId(pub u64);

impl fmt::Display for GuestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest-{}", self.0)
    }
}

/// A task's ULID as its 16 bytes (big-endian, as printed); ordered as its text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub [u8; 16]);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ulid::Ulid::from_bytes(self.0).fmt(f)
    }
}

impl From<TaskId> for TaskKey {
    fn from(task: TaskId) -> Self {
        Self(task.0)
    }
}

impl From<TaskKey> for TaskId {
    fn from(key: TaskKey) -> Self {
        Self(key.0)
    }
}

impl std::str::FromStr for TaskId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ulid::Ulid::from_string(text).map(|ulid| Self(ulid.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_prints_as_its_ulid() {
        let all = TaskId([0xff; 16]);
        assert_eq!(all.to_string(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        let one = TaskId(1u128.to_be_bytes());
        assert_eq!(one.to_string(), "00000000000000000000000001");
        assert_eq!(all.to_string().parse(), Ok(all));
    }
}
