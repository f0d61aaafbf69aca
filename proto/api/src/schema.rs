//! The OpenAPI 3.1 document, made from the tables of [`routes`] and from the types themselves.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::codes::Code;
use crate::http::{PROBLEM_MEDIA_TYPE, Problem};
use crate::routes::{self, Auth, Body, COMMON_PROBLEMS, Place, Route};
use crate::task::Wrapper;

/// The document. The same program gives the same document.
pub fn openapi() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes::all() {
        let operation = operation(route, &mut generator);
        paths.entry(route.path).or_default().insert(route.method.to_ascii_lowercase(), operation);
    }
    // no route carries it in the open, but it is what the envelope of POST /v1/tasks holds
    generator.subschema_for::<Wrapper>();
    let schemas: BTreeMap<String, Value> = generator.take_definitions(true).into_iter().collect();
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Fades node",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
            "description": "Signed tasks go to the data; signed aggregates come back.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "signedRequest": {
                "type": "apiKey", "in": "header", "name": "Authorization",
                "description": "`Fades ` and the base64url envelope (COSE_Sign1, purpose fades/request/v1) of a payload of schema fades.request.v1. \
                                Not needed on the node's local socket.",
            } },
        },
    })
}

/// The document as bytes, for `/openapi.json`.
pub fn openapi_json() -> Vec<u8> {
    crate::json::to_bytes(&openapi())
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), route.operation.into());
    operation.insert("summary".to_owned(), route.summary.into());
    let tag = if route.auth == Auth::LocalSocket { "operator, over the local socket" } else { "service" };
    operation.insert("tags".to_owned(), json!([tag]));
    let parameters: Vec<Value> = route
        .parameters
        .iter()
        .map(|parameter| {
            let place = match parameter.place {
                Place::Path => "path",
                Place::Query => "query",
                Place::Header => "header",
            };
            json!({
                "name": parameter.name, "in": place, "required": parameter.place == Place::Path,
                "description": parameter.description, "schema": (parameter.schema)(generator),
            })
        })
        .collect();
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(body) = route.request {
        let content = content(body, generator);
        operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    if route.auth == Auth::SignedRequest {
        operation.insert("security".to_owned(), json!([{ "signedRequest": [] }]));
    }
    operation.insert("responses".to_owned(), Value::Object(responses(route, generator)));
    Value::Object(operation)
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let (status, description, body) = route.success;
    let mut success = json!({ "description": description });
    if let Some(body) = body {
        success["content"] = content(body, generator);
    }
    if status == 202 && route.method == "POST" {
        success["headers"] = json!({ "Location": {
            "description": "Path of the task.", "schema": { "type": "string" },
        } });
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in route.problems.iter().chain(route.auth.problems()).chain(COMMON_PROBLEMS) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    let mut responses = Map::new();
    responses.insert(status.to_string(), success);
    for (status, codes) in by_status {
        let words: Vec<String> = codes.iter().map(|code| format!("{code} {}", code.title())).collect();
        let schema = generator.subschema_for::<Problem>();
        let problem = json!({
            "description": words.join("; "),
            "content": { (PROBLEM_MEDIA_TYPE): { "schema": schema } },
        });
        responses.insert(status.to_string(), problem);
    }
    responses
}

fn content(body: Body, generator: &mut SchemaGenerator) -> Value {
    let schema = match body.schema {
        Some(schema) => json!(schema(generator)),
        None if body.media_type.starts_with("text/") => json!({ "type": "string" }),
        // OpenAPI 3.1 describes raw bytes by an empty schema
        None => json!({}),
    };
    json!({ (body.media_type): { "schema": schema } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    found.insert(target.clone());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_in_the_document_and_nothing_else_is() {
        let document = openapi();
        let mut listed = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                listed.insert((method.to_ascii_uppercase(), path.clone()));
            }
        }
        let table: BTreeSet<_> =
            routes::all().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        assert_eq!(listed, table);
        assert_eq!(table.len(), routes::all().count(), "a route stands twice in the table");
        let operations: BTreeSet<_> = routes::all().map(|route| route.operation).collect();
        assert_eq!(operations.len(), routes::all().count(), "an operation's name stands twice");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = openapi();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn path_parameters_are_those_in_braces() {
        for route in routes::all() {
            let braces: Vec<&str> =
                route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let listed: Vec<&str> = route
                .parameters
                .iter()
                .filter(|parameter| parameter.place == Place::Path)
                .map(|p| p.name)
                .collect();
            assert_eq!(braces, listed, "{}", route.path);
        }
    }

    #[test]
    fn success_is_success_and_problems_are_not() {
        for route in routes::all() {
            assert!((200..300).contains(&route.success.0), "{}", route.path);
            for code in route.problems.iter().chain(route.auth.problems()).chain(COMMON_PROBLEMS) {
                assert!(code.status() >= 400 && code.entry().is_some(), "{} {code}", route.path);
            }
        }
    }

    #[test]
    fn the_wrapper_is_described_with_its_bounds() {
        let document = openapi();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Wrapper"]["additionalProperties"], false);
        assert_eq!(schemas["Credentials"]["properties"]["priority"]["maximum"], 9);
        assert_eq!(schemas["DrbMetadata"]["properties"]["operations"]["maxItems"], 64);
        assert_eq!(schemas["Operation"]["properties"]["from"]["format"], "date-time");
        let required: BTreeSet<&str> = schemas["Operation"]["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect();
        assert_eq!(required, BTreeSet::from(["field", "from", "id", "measurement", "source", "to"]));
    }

    #[test]
    fn the_document_is_stable() {
        assert_eq!(openapi_json(), openapi_json());
    }
}
