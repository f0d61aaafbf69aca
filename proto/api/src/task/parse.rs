//! From a strict tree to a wrapper: straight lines of early returns, each naming the path.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::name::quoted;
use super::{
    Credentials, DmfMetadata, DrbMetadata, Lifetime, Missed, Operation, Resources, ResultMetadata, TaskError,
    Wrapper, limits,
};
use crate::codes;
use crate::fields::{Item, Object};
use crate::json;

pub(super) fn wrapper(root: &Value) -> Result<Wrapper, TaskError> {
    let root = Object::root(root, &["schema", "credentials", "drb", "dmf", "result"])?;
    root.schema(super::SCHEMA)?;
    Ok(Wrapper::from_parts(
        credentials(&root.need("credentials")?)?,
        drb(&root.need("drb")?)?,
        dmf(&root.need("dmf")?)?,
        root.get("result").map(|item| result(&item)).transpose()?,
    ))
}

fn credentials(item: &Item<'_>) -> Result<Credentials, TaskError> {
    let keys = ["task_id", "issuer", "audience", "node_epoch", "priority", "issued_at", "expires_at"];
    let object = item.object(&keys)?;
    let credentials = Credentials {
        task_id: object.need("task_id")?.parsed()?,
        issuer: object.need("issuer")?.parsed()?,
        audience: object.need("audience")?.parsed()?,
        node_epoch: object.need("node_epoch")?.parsed()?,
        priority: object.need("priority")?.whole(0, limits::PRIORITY_MAX)?,
        issued_at: object.need("issued_at")?.time()?,
        expires_at: object.need("expires_at")?.time()?,
    };
    let life = credentials.issued_at.duration_until(credentials.expires_at);
    if life <= SignedDuration::ZERO {
        let message = format!("{} is not after issued_at {}", credentials.expires_at, credentials.issued_at);
        return Err(object.need("expires_at")?.refuse(codes::VALIDITY_WRONG, message));
    }
    if life > SignedDuration::from_secs(limits::LIFE_SECONDS_MAX) {
        let message = format!(
            "{} is more than 366 days after issued_at {}",
            credentials.expires_at, credentials.issued_at
        );
        return Err(object.need("expires_at")?.refuse(codes::VALIDITY_WRONG, message));
    }
    Ok(credentials)
}

fn drb(item: &Item<'_>) -> Result<DrbMetadata, TaskError> {
    let object = item.object(&["operations"])?;
    let mut seen = BTreeSet::new();
    let mut operations = Vec::new();
    for item in object.need("operations")?.list(1, limits::OPERATIONS)? {
        let operation = operation(&item)?;
        if !seen.insert(operation.id.clone()) {
            let message = format!("operation id {:?} is given twice", operation.id.as_str());
            return Err(item.refuse(codes::ITEM_DUPLICATE, message));
        }
        operations.push(operation);
    }
    Ok(DrbMetadata { operations })
}

fn operation(item: &Item<'_>) -> Result<Operation, TaskError> {
    let keys = ["id", "source", "measurement", "field", "tags", "from", "to", "group_by"];
    let object = item.object(&keys)?;
    let mut tags = BTreeMap::new();
    if let Some(item) = object.get("tags") {
        for (tag, values) in item.entries(limits::TAGS)? {
            tags.insert(tag, values.set(1, limits::TAG_VALUES)?);
        }
    }
    let group_by = object.get("group_by").map(|item| item.set(0, limits::GROUPS)).transpose()?;
    let operation = Operation {
        id: object.need("id")?.parsed()?,
        source: object.need("source")?.parsed()?,
        measurement: object.need("measurement")?.parsed()?,
        field: object.need("field")?.parsed()?,
        tags,
        from: object.need("from")?.time()?,
        to: object.need("to")?.time()?,
        group_by: group_by.unwrap_or_default(),
    };
    for (key, at) in [("from", operation.from), ("to", operation.to)] {
        if at < Timestamp::UNIX_EPOCH || i64::try_from(at.as_nanosecond()).is_err() {
            let message = format!("{at} lies outside of 1970 to 2262, which nanoseconds in 64 bits hold");
            return Err(object.need(key)?.refuse(codes::TIME_RANGE_WRONG, message));
        }
    }
    if operation.from >= operation.to {
        let message = format!("{} is not after `from` {}", operation.to, operation.from);
        return Err(object.need("to")?.refuse(codes::TIME_RANGE_WRONG, message));
    }
    Ok(operation)
}

fn dmf(item: &Item<'_>) -> Result<DmfMetadata, TaskError> {
    let object = item.object(&["image", "parameters", "resources", "lifetime"])?;
    let parameters = match object.get("parameters") {
        Some(item) => {
            let map = item.any_object()?.clone();
            let bytes = json::object_to_string_sorted(&map).len();
            if bytes > limits::PARAMETERS_BYTES {
                let message = format!("{bytes} bytes are more than {}", limits::PARAMETERS_BYTES);
                return Err(item.refuse(codes::DOCUMENT_TOO_LARGE, message));
            }
            map
        }
        None => serde_json::Map::new(),
    };
    let item = object.need("resources")?;
    let resources = item.object(&["memory_mib", "timeout_ms"])?;
    Ok(DmfMetadata {
        image: object.need("image")?.parsed()?,
        parameters,
        resources: Resources {
            memory_mib: resources
                .need("memory_mib")?
                .whole(limits::MEMORY_MIB_MIN, limits::MEMORY_MIB_MAX)?,
            timeout_ms: resources.need("timeout_ms")?.whole(1, limits::TIMEOUT_MS_MAX)?,
        },
        lifetime: lifetime(&object.need("lifetime")?)?,
    })
}

fn lifetime(item: &Item<'_>) -> Result<Lifetime, TaskError> {
    match item.value() {
        Value::String(text) if text == "ephemeral" => Ok(Lifetime::Ephemeral),
        Value::String(text) => {
            let message = format!("{} is not \"ephemeral\"", quoted(text));
            Err(item.refuse(codes::LIFETIME_MALFORMED, message))
        }
        Value::Object(_) => {
            let outer = item.object(&["persistent"])?;
            let item = outer.need("persistent")?;
            let object = item.object(&["every_ms", "until", "missed"])?;
            Ok(Lifetime::Persistent {
                every_ms: object.need("every_ms")?.whole(limits::EVERY_MS_MIN, limits::EVERY_MS_MAX)?,
                until: object.need("until")?.time()?,
                missed: object.get("missed").map_or(Ok(Missed::Skip), |item| missed(&item))?,
            })
        }
        _ => Err(item.refuse(codes::LIFETIME_MALFORMED, "neither text nor an object".to_owned())),
    }
}

fn missed(item: &Item<'_>) -> Result<Missed, TaskError> {
    match item.text()? {
        "skip" => Ok(Missed::Skip),
        "catch_up" => Ok(Missed::CatchUp),
        other => {
            let message = format!("{} is neither \"skip\" nor \"catch_up\"", quoted(other));
            Err(item.refuse(codes::LIFETIME_MALFORMED, message))
        }
    }
}

fn result(item: &Item<'_>) -> Result<ResultMetadata, TaskError> {
    let object = item.object(&["sinks"])?;
    Ok(ResultMetadata { sinks: object.need("sinks")?.set(1, limits::SINKS)? })
}
