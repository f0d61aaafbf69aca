//! Every route of a node, as data: [`ROUTES`] for everyone, [`OPERATOR_ROUTES`] for the local socket. The daemon's router is tested against this table, and `/openapi.json` is made from it.
//!
//! To add one: a row here, its handler in the daemon, its call in the client.

use schemars::{Schema, SchemaGenerator};

use crate::codes::{self, Code};
use crate::http::{
    Accepted, ENVELOPE_MEDIA_TYPE, EventView, NodeInfo, PeriodList, ResultDocument, TaskList, TaskState,
    TaskView,
};
use crate::task::{Name, TaskId};

/// One method of one path.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Path with parameters in braces: `/v1/tasks/{id}`.
    pub path: &'static str,
    /// Name of the operation, for generated clients.
    pub operation: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Who may.
    pub auth: Auth,
    /// Parameters of path, query and headers.
    pub parameters: &'static [Parameter],
    /// What the body must be, if one belongs.
    pub request: Option<Body>,
    /// Status and body of success.
    pub success: (u16, &'static str, Option<Body>),
    /// What may be answered instead, as problems; [`COMMON_PROBLEMS`] come on top.
    pub problems: &'static [Code],
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Anyone who reaches the node.
    Open,
    /// The body is the signed thing.
    SignedBody,
    /// A signed request in `Authorization`, or the node's local socket.
    SignedRequest,
    /// The operator, over the node's local socket alone.
    LocalSocket,
}

/// A parameter of a route.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it means.
    pub description: &'static str,
    /// Its type.
    pub schema: SchemaOf,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path; required.
    Path,
    /// In the query; optional.
    Query,
    /// Among the headers; optional.
    Header,
}

/// A body.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// Media type.
    pub media_type: &'static str,
    /// Type; `None` for bytes and plain text.
    pub schema: Option<SchemaOf>,
}

/// How a type's schema is had.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

const fn json(schema: SchemaOf) -> Option<Body> {
    Some(Body { media_type: "application/json", schema: Some(schema) })
}

const TEXT: Option<Body> = Some(Body { media_type: "text/plain; charset=utf-8", schema: None });
/// `data` of each event is an [`EventView`]; `id` its id; `event` is `state`, or `progress`, which has
/// no `id` of its own.
const EVENTS: Option<Body> =
    Some(Body { media_type: "text/event-stream", schema: Some(SchemaGenerator::subschema_for::<EventView>) });

const ID: Parameter = Parameter {
    name: "id",
    place: Place::Path,
    description: "Id of the task.",
    schema: SchemaGenerator::subschema_for::<TaskId>,
};
const PERIOD: Parameter = Parameter {
    name: "period",
    place: Place::Path,
    description: "Number of the period, counted from 0.",
    schema: SchemaGenerator::subschema_for::<u64>,
};
const LAST_EVENT_ID: Parameter = Parameter {
    name: "Last-Event-ID",
    place: Place::Header,
    description: "Resume right behind this event, without a gap.",
    schema: SchemaGenerator::subschema_for::<u64>,
};

mod operator;

pub use operator::OPERATOR_ROUTES;

/// What any route may answer: transport, limits and faults of the node.
pub const COMMON_PROBLEMS: &[Code] = &[
    codes::HEADERS_TOO_SLOW,
    codes::HEADERS_TOO_LARGE,
    codes::REQUEST_MALFORMED,
    codes::METHOD_NOT_ALLOWED,
    codes::ADDRESS_RATE_LIMITED,
    codes::TOO_MANY_CONNECTIONS,
    codes::SHUTTING_DOWN,
    codes::INTERNAL,
];

/// What a route with a signed request may answer.
const SIGNED: &[Code] = &[
    codes::AUTHORIZATION_MISSING,
    codes::AUTHORIZATION_MALFORMED,
    codes::KEY_UNKNOWN,
    codes::SIGNATURE_INVALID,
    codes::EXPIRED,
    codes::ISSUED_IN_FUTURE,
    codes::AUDIENCE_WRONG,
    codes::REQUEST_MISMATCH,
    codes::NONCE_REUSED,
    codes::READ_NOT_ALLOWED,
    codes::KEY_RATE_LIMITED,
];

impl Auth {
    /// What the check of this kind may answer.
    pub fn problems(self) -> &'static [Code] {
        match self {
            Self::SignedRequest => SIGNED,
            Self::LocalSocket => &[codes::LOCAL_ONLY],
            Self::Open | Self::SignedBody => &[],
        }
    }
}

/// The routes for everyone.
pub const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/v1/tasks",
        operation: "submitTask",
        summary: "Submit a signed wrapper (COSE_Sign1 over a document of schema fades.task.v1); the same bytes again get \
                  the same answer.",
        auth: Auth::SignedBody,
        parameters: &[],
        request: Some(Body { media_type: ENVELOPE_MEDIA_TYPE, schema: None }),
        success: (
            202,
            "Stored durably; `Location` names the task.",
            json(SchemaGenerator::subschema_for::<Accepted>),
        ),
        problems: &[
            codes::BODY_TOO_SLOW,
            codes::BODY_MISSING,
            codes::BODY_LENGTH_WRONG,
            codes::BODY_TOO_LARGE,
            codes::MEDIA_TYPE_REFUSED,
            codes::CBOR_MALFORMED,
            codes::KEY_UNKNOWN,
            codes::SIGNATURE_INVALID,
            codes::EXPIRED,
            codes::TASK_ID_REUSED,
            codes::KEY_NOT_KNOWN,
            codes::SOURCE_NOT_ALLOWED,
            codes::KEY_RATE_LIMITED,
            codes::IMAGE_UNKNOWN,
            codes::TASK_ABOVE_NODE,
            codes::QUEUE_FULL,
            codes::PERSISTENT_NOT_ALLOWED,
            codes::PERIODS_WRONG,
        ],
    },
    Route {
        method: "GET",
        path: "/v1/tasks",
        operation: "listTasks",
        summary: "List tasks that you may see, newest first.",
        auth: Auth::SignedRequest,
        parameters: &[
            Parameter {
                name: "state",
                place: Place::Query,
                description: "Only tasks in this state.",
                schema: SchemaGenerator::subschema_for::<TaskState>,
            },
            Parameter {
                name: "issuer",
                place: Place::Query,
                description: "Only tasks of this issuer.",
                schema: SchemaGenerator::subschema_for::<Name>,
            },
            Parameter {
                name: "cursor",
                place: Place::Query,
                description: "`next` of the previous page.",
                schema: SchemaGenerator::subschema_for::<String>,
            },
        ],
        request: None,
        success: (200, "One page.", json(SchemaGenerator::subschema_for::<TaskList>)),
        problems: &[codes::QUERY_MALFORMED, codes::CURSOR_MALFORMED],
    },
    Route {
        method: "GET",
        path: "/v1/tasks/{id}",
        operation: "getTask",
        summary: "The state of a task.",
        auth: Auth::SignedRequest,
        parameters: &[ID],
        request: None,
        success: (200, "The task.", json(SchemaGenerator::subschema_for::<TaskView>)),
        problems: &[codes::TASK_NOT_FOUND, codes::TASK_ID_IN_PATH_MALFORMED],
    },
    Route {
        method: "DELETE",
        path: "/v1/tasks/{id}",
        operation: "cancelTask",
        summary: "Cancel a task; cancelling a cancelled one changes nothing.",
        auth: Auth::SignedRequest,
        parameters: &[ID],
        request: None,
        success: (
            202,
            "Asked for; follow its events for the end.",
            json(SchemaGenerator::subschema_for::<TaskView>),
        ),
        problems: &[
            codes::TASK_NOT_FOUND,
            codes::TASK_ID_IN_PATH_MALFORMED,
            codes::CANCEL_NOT_ALLOWED,
            codes::TASK_ALREADY_ENDED,
        ],
    },
    Route {
        method: "GET",
        path: "/v1/tasks/{id}/result",
        operation: "getResult",
        summary: "The aggregate and its receipt; of a persistent task, those of the latest period that gave any.",
        auth: Auth::SignedRequest,
        parameters: &[ID],
        request: None,
        success: (200, "The result.", json(SchemaGenerator::subschema_for::<ResultDocument>)),
        problems: &[
            codes::TASK_NOT_FOUND,
            codes::TASK_ID_IN_PATH_MALFORMED,
            codes::RESULT_NOT_READY,
            codes::RESULT_NONE,
            codes::RESULT_GONE,
        ],
    },
    Route {
        method: "GET",
        path: "/v1/tasks/{id}/periods",
        operation: "listPeriods",
        summary: "Periods of a persistent task that are over and kept, the newest first.",
        auth: Auth::SignedRequest,
        parameters: &[
            ID,
            Parameter {
                name: "cursor",
                place: Place::Query,
                description: "`next` of the previous page.",
                schema: SchemaGenerator::subschema_for::<String>,
            },
        ],
        request: None,
        success: (200, "One page.", json(SchemaGenerator::subschema_for::<PeriodList>)),
        problems: &[
            codes::TASK_NOT_FOUND,
            codes::TASK_ID_IN_PATH_MALFORMED,
            codes::QUERY_MALFORMED,
            codes::CURSOR_MALFORMED,
        ],
    },
    Route {
        method: "GET",
        path: "/v1/tasks/{id}/periods/{period}/result",
        operation: "getPeriodResult",
        summary: "The aggregate of one period and its receipt.",
        auth: Auth::SignedRequest,
        parameters: &[ID, PERIOD],
        request: None,
        success: (200, "The result.", json(SchemaGenerator::subschema_for::<ResultDocument>)),
        problems: &[
            codes::TASK_NOT_FOUND,
            codes::TASK_ID_IN_PATH_MALFORMED,
            codes::PERIOD_NOT_FOUND,
            codes::PERIOD_WITHOUT_RESULT,
        ],
    },
    Route {
        method: "GET",
        path: "/v1/tasks/{id}/events",
        operation: "followTask",
        summary: "Server-sent events of a task from its first one on; the stream ends with the task.",
        auth: Auth::SignedRequest,
        parameters: &[ID, LAST_EVENT_ID],
        request: None,
        success: (200, "Events; `data` of each is an EventView, `id` its id.", EVENTS),
        problems: &[
            codes::TASK_NOT_FOUND,
            codes::TASK_ID_IN_PATH_MALFORMED,
            codes::EVENT_ID_MALFORMED,
            codes::EVENTS_GONE,
            codes::TOO_MANY_STREAMS,
        ],
    },
    Route {
        method: "GET",
        path: "/v1/events",
        operation: "followNode",
        summary: "Server-sent events of all tasks that you may see, from now on or behind Last-Event-ID.",
        auth: Auth::SignedRequest,
        parameters: &[LAST_EVENT_ID],
        request: None,
        success: (200, "Events; `data` of each is an EventView, `id` its id.", EVENTS),
        problems: &[codes::EVENT_ID_MALFORMED, codes::EVENTS_GONE, codes::TOO_MANY_STREAMS],
    },
    Route {
        method: "GET",
        path: "/v1/node",
        operation: "getNode",
        summary: "What the node is, what it runs guests on, its epoch, its images and sources.",
        auth: Auth::Open,
        parameters: &[],
        request: None,
        success: (200, "The node.", json(SchemaGenerator::subschema_for::<NodeInfo>)),
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/livez",
        operation: "isAlive",
        summary: "Whether the daemon runs.",
        auth: Auth::Open,
        parameters: &[],
        request: None,
        success: (200, "It does.", TEXT),
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/readyz",
        operation: "isReady",
        summary: "Whether the node can run tasks now.",
        auth: Auth::Open,
        parameters: &[],
        request: None,
        success: (200, "It can.", TEXT),
        problems: &[codes::BROKER_NOT_READY, codes::BACKEND_NONE],
    },
    Route {
        method: "GET",
        path: "/metrics",
        operation: "getMetrics",
        summary: "Counters and gauges in the text format of Prometheus.",
        auth: Auth::Open,
        parameters: &[],
        request: None,
        success: (
            200,
            "The metrics.",
            Some(Body { media_type: "text/plain; version=0.0.4; charset=utf-8", schema: None }),
        ),
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/openapi.json",
        operation: "getInterface",
        summary: "This interface as an OpenAPI 3.1 document.",
        auth: Auth::Open,
        parameters: &[],
        request: None,
        success: (200, "The document.", json(SchemaGenerator::subschema_for::<serde_json::Value>)),
        problems: &[],
    },
];

/// Both tables.
pub fn all() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(OPERATOR_ROUTES)
}

/// The row of a method and a path, with its parameters in braces.
pub fn find(method: &str, path: &str) -> Option<&'static Route> {
    all().find(|route| route.method == method && route.path == path)
}
