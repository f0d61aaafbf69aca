//! Exit codes, and the one place that says which reason means which.

use std::process::ExitCode;

use fades_api::codes::{self, Code};
use fades_api::http::{TaskState, TaskView};

/// Shown under `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused (signature or policy), \
    5 node or registry unreachable, 6 timed out, 7 host not ready, 8 guest crashed.";

/// What came of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed for another reason than those below.
    Failed = 1,
    /// The arguments, a file that they name, or a document that a person wrote, are wrong. clap ends with the same
    /// number.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// Refused: signature or policy.
    Refused = 4,
    /// No node, or place of images, answers there.
    Unreachable = 5,
    /// It took too long.
    TimedOut = 6,
    /// The host lacks something.
    NotReady = 7,
    /// A guest crashed.
    GuestCrashed = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// What a reason means for whoever waits for the exit code. Single codes first, then what their range is about.
    pub(crate) fn of(code: Code) -> Self {
        match code {
            codes::ROUTE_NOT_FOUND
            | codes::TASK_NOT_FOUND
            | codes::EVENTS_GONE
            | codes::SOURCE_UNKNOWN
            | codes::IMAGE_UNKNOWN
            | codes::IMAGE_NOT_THERE
            | codes::NO_POINTS
            | codes::RESULT_NONE
            | codes::PERIOD_NOT_FOUND
            | codes::PERIOD_WITHOUT_RESULT
            | codes::RESULT_GONE => Self::NotFound,
            codes::NODE_UNREACHABLE
            | codes::ANSWER_MALFORMED
            | codes::SHUTTING_DOWN
            | codes::PLACE_UNREACHABLE
            | codes::PLACE_ANSWER_MALFORMED
            | codes::TOO_MANY_CONNECTIONS => Self::Unreachable,
            codes::NODE_ADDRESS_MALFORMED
            | codes::QUERY_MALFORMED
            | codes::CURSOR_MALFORMED
            | codes::EVENT_ID_MALFORMED
            | codes::TASK_ID_IN_PATH_MALFORMED
            | codes::KEY_FILE_UNREADABLE
            | codes::PLACE_PLAIN_HTTP
            | codes::NOT_A_NODE_FOLDER => Self::Usage,
            codes::ADDRESS_RATE_LIMITED
            | codes::KEY_RATE_LIMITED
            | codes::TASK_ABOVE_NODE
            | codes::RECEIPT_INVALID
            | codes::RECEIPT_MISMATCH => Self::Refused,
            codes::CLIENT_TIMED_OUT
            | codes::HEADERS_TOO_SLOW
            | codes::BODY_TOO_SLOW
            | codes::GUEST_TIMED_OUT
            | codes::SOURCE_SILENT
            | codes::TASK_EXPIRED => Self::TimedOut,
            codes::GUEST_PANICKED
            | codes::GUEST_OUT_OF_MEMORY
            | codes::GUEST_LOADER_FAILED
            | codes::GUEST_EXITED
            | codes::GUEST_KILLED_BY_SIGNAL
            | codes::GUEST_SILENT
            | codes::GUEST_CONTROL_LOST
            | codes::GUEST_TRIPLE_FAULT
            | codes::GUEST_ABORTED
            | codes::DOMAIN_DIED
            | codes::BROKER_DIED
            | codes::BROKER_GIVEN_UP => Self::GuestCrashed,
            codes::KIT_MISSING | codes::TOOLCHAIN_MISSING | codes::TRIAL_NODE_FAILED => Self::NotReady,
            codes::FUNCTION_CRATE_MISSING => Self::Usage,
            codes::NODE_FOLDER_EXISTS | codes::NODE_RUNNING_ALREADY => Self::Failed,
            other => Self::of_range(other.number()),
        }
    }

    /// What most reasons of a range mean.
    fn of_range(number: u16) -> Self {
        match number {
            1100..1300 | 1400..1600 => Self::Refused,
            1300..1400 => Self::Usage,
            2000..3000 | 6000..8000 => Self::NotReady,
            _ => Self::Failed,
        }
    }

    /// What the end of a task means for whoever waited for it.
    pub(crate) fn of_task(task: &TaskView) -> Self {
        match (task.state, task.code.map(Self::of)) {
            (TaskState::Succeeded, _) => Self::Done,
            (TaskState::Expired, _) => Self::TimedOut,
            (TaskState::Refused, _) => Self::Refused,
            (TaskState::Failed, Some(exit @ (Self::Refused | Self::TimedOut | Self::GuestCrashed))) => exit,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_design() {
        let table = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Refused,
            Exit::Unreachable,
            Exit::TimedOut,
            Exit::NotReady,
            Exit::GuestCrashed,
        ];
        for (number, exit) in table.into_iter().enumerate() {
            assert_eq!(exit as usize, number);
        }
    }

    #[test]
    fn every_code_of_the_catalogue_is_some_failure() {
        for entry in codes::entries() {
            assert_ne!(Exit::of(entry.code), Exit::Done, "{}", entry.code);
        }
    }

    #[test]
    fn codes_mean_what_people_expect() {
        for (code, exit) in [
            ("E1030", Exit::Unreachable),
            ("E1031", Exit::TimedOut),
            ("E1013", Exit::NotFound),
            ("E1111", Exit::Refused),
            ("E1112", Exit::Refused),
            ("E1126", Exit::Usage),
            ("E1203", Exit::Refused),
            ("E1204", Exit::Refused),
            ("E1303", Exit::Usage),
            ("E1401", Exit::Refused),
            ("E1418", Exit::NotFound),
            ("E1500", Exit::NotFound),
            ("E1513", Exit::Refused),
            ("E1516", Exit::NotFound),
            ("E1517", Exit::Unreachable),
            ("E1518", Exit::Refused),
            ("E1520", Exit::Usage),
            ("E2000", Exit::NotReady),
            ("E2006", Exit::NotReady),
            ("E3000", Exit::GuestCrashed),
            ("E3001", Exit::GuestCrashed),
            ("E3002", Exit::TimedOut),
            ("E3011", Exit::Failed),
            ("E3030", Exit::Failed),
            ("E3031", Exit::GuestCrashed),
            ("E4000", Exit::Failed),
            ("E5000", Exit::Failed),
            ("E5007", Exit::Refused),
            ("E6000", Exit::NotReady),
            ("E6009", Exit::Failed),
            ("E6014", Exit::Usage),
            ("E6021", Exit::NotReady),
            ("E6022", Exit::NotReady),
            ("E6023", Exit::NotReady),
            ("E7000", Exit::NotReady),
            ("E8001", Exit::NotReady),
            ("E8002", Exit::Usage),
            ("E8005", Exit::Failed),
            ("E9999", Exit::Failed),
        ] {
            assert_eq!(Exit::of(code.parse().unwrap()), exit, "{code}");
        }
    }

    #[test]
    fn ends_of_tasks() {
        let task = |state: &str, code: Option<&str>| -> TaskView {
            let json = serde_json::json!({
                "task": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "issuer": "i", "state": state, "code": code, "priority": 5,
                "image": format!("stats@sha256:{}", "0".repeat(64)), "sources": [], "attempts": 1,
                "accepted_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
                "expires_at": "2026-01-01T00:00:00Z",
            });
            serde_json::from_value(json).unwrap()
        };
        for (state, code, exit) in [
            ("succeeded", None, Exit::Done),
            ("failed", Some("E3000"), Exit::GuestCrashed),
            ("failed", Some("E3001"), Exit::GuestCrashed),
            ("failed", Some("E3002"), Exit::TimedOut),
            ("failed", Some("E1401"), Exit::Refused),
            ("failed", Some("E4000"), Exit::Failed),
            ("failed", Some("E6000"), Exit::Failed),
            ("failed", None, Exit::Failed),
            ("cancelled", Some("E5011"), Exit::Failed),
            ("expired", Some("E5010"), Exit::TimedOut),
            ("refused", None, Exit::Refused),
        ] {
            assert_eq!(Exit::of_task(&task(state, code)), exit, "{state} {code:?}");
        }
    }
}
