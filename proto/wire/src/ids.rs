//! Names of tasks and the secrets that admit to their streams; roles of guests.

use core::fmt;
use serde::{Deserialize, Serialize};

/// What a task is called by guests: the 16 bytes of its ULID, or random ones when it was begun anew while the broker may still
/// speak of the time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey(pub [u8; 16]);

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Random bytes that admit one function to one task's streams at the broker, once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub [u8; 32]);

impl fmt::Debug for Ticket {
    /// A ticket is a secret: only its first two bytes are shown, which tells tickets apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// What a guest is for. Numbers on the wire: broker 1, function 2, probe 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Role {
    /// DRB, the data resource broker.
    Broker,
    /// DMF, a data manipulation function.
    Function,
    /// A probe: answers one question, then ends. Never gets a task.
    Probe,
}

/// A role number that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("role {0} is unknown")]
pub struct UnknownRole(pub u8);

impl From<Role> for u8 {
    fn from(role: Role) -> Self {
        match role {
            Role::Broker => 1,
            Role::Function => 2,
            Role::Probe => 3,
        }
    }
}

impl TryFrom<u8> for Role {
    type Error = UnknownRole;
    fn try_from(number: u8) -> Result<Self, UnknownRole> {
        match number {
            1 => Ok(Self::Broker),
            2 => Ok(Self::Function),
            3 => Ok(Self::Probe),
            other => Err(UnknownRole(other)),
        }
    }
}

impl Role {
    /// Short name, as in boot parameters and image manifests: `drb`, `dmf`, `probe`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "drb",
            Self::Function => "dmf",
            Self::Probe => "probe",
        }
    }

    /// The role of this short name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Broker, Self::Function, Self::Probe].into_iter().find(|role| role.name() == name)
    }
}
