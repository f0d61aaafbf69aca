//! The chapter of HTTP, out of the OpenAPI document that nodes serve.

use std::fmt::Write as _;

use fades_api::schema::openapi;
use serde_json::Value;

use super::markdown::{anchor, prose};

/// Every route, then every type.
pub(super) fn page() -> String {
    let document = openapi();
    let mut page = "# HTTP\n\nWhat a node answers; a node serves the same as `/openapi.json`, of which this is made. A failure is a problem \
                    (RFC 9457, type [Problem](#problem)) whose `code` stands among the [codes](codes.md). Routes of operators are \
                    there on the node's local socket only.\n"
        .to_owned();
    for tag in ["service", "operator, over the local socket"] {
        let who = if tag == "service" { "Routes of services" } else { "Routes of operators" };
        let _ = writeln!(page, "\n## {who}");
        for (path, operations) in members(&document["paths"]) {
            for (method, operation) in members(operations).filter(|(_, one)| one["tags"][0] == tag) {
                page += &route(&method.to_uppercase(), path, operation);
            }
        }
    }
    page += "\n## Types\n";
    for (name, schema) in members(&document["components"]["schemas"]) {
        page += &described(name, schema);
    }
    page
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    prose(value.as_str().unwrap_or_default())
}

fn route(method: &str, path: &str, operation: &Value) -> String {
    let mut part = format!("\n### {method} {path}\n\n{}", text(&operation["summary"]));
    if operation.get("security").is_some() {
        part += " Signed, or over the local socket.";
    }
    part += "\n\n";
    for parameter in elements(&operation["parameters"]) {
        let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
        let words = [kind(&parameter["schema"]), text(&parameter["description"])];
        let _ = writeln!(part, "- `{name}` ({place}): {}", words.join(". "));
    }
    for (media, body) in members(&operation["requestBody"]["content"]) {
        let _ = writeln!(part, "- body: `{media}`, {}", kind(&body["schema"]));
    }
    part += "\n| status | what |\n|---|---|\n";
    for (status, response) in members(&operation["responses"]) {
        let bodies = members(&response["content"]);
        let bodies: Vec<String> = bodies
            .filter(|(media, _)| !media.starts_with("application/problem"))
            .map(|(media, body)| format!(" `{media}`, {}", kind(&body["schema"])))
            .collect();
        let _ = writeln!(part, "| {status} | {}{} |", text(&response["description"]), bodies.join(";"));
    }
    part
}

/// A schema in a few words, with links to the types that it names.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", anchor(name));
    }
    let either = elements(&schema["anyOf"]).chain(elements(&schema["oneOf"]));
    let either: Vec<String> = either.map(kind).filter(|one| one != "null").collect();
    if !either.is_empty() {
        return either.join(" or ");
    }
    if schema["type"] == "array" {
        return format!("list of {}", kind(&schema["items"]));
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    let listed: Vec<String> = elements(&schema["enum"]).map(|value| format!("`{value}`")).collect();
    if !listed.is_empty() {
        return listed.join(", ");
    }
    let names = elements(&schema["type"]).chain(std::iter::once(&schema["type"]));
    let names: Vec<&str> = names.filter_map(Value::as_str).filter(|name| *name != "null").collect();
    let form = schema["format"].as_str().map(|format| format!(" ({format})")).unwrap_or_default();
    if names.is_empty() { "anything".to_owned() } else { format!("{}{form}", names.join(" or ")) }
}

fn described(name: &str, schema: &Value) -> String {
    let mut part = format!("\n### {name}\n\n{}\n", text(&schema["description"]));
    let required: Vec<&str> = elements(&schema["required"]).filter_map(Value::as_str).collect();
    let mut rows = members(&schema["properties"]).peekable();
    if rows.peek().is_none() {
        let _ = writeln!(part, "\nIs {}.", kind(schema));
        return part;
    }
    part += "\n| key | type | what |\n|---|---|---|\n";
    for (key, value) in rows {
        let left_out = if required.contains(&key.as_str()) { "" } else { ", may be left out" };
        let _ = writeln!(part, "| `{key}` | {}{left_out} | {} |", kind(value), text(&value["description"]));
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_and_every_type_has_its_place() {
        let (page, document) = (page(), openapi());
        let mut seen = 0;
        for (path, operations) in members(&document["paths"]) {
            for (method, _) in members(operations) {
                assert!(page.contains(&format!("### {} {path}\n", method.to_uppercase())), "{method} {path}");
                seen += 1;
            }
        }
        assert!(seen > 15, "{seen}");
        for (name, _) in members(&document["components"]["schemas"]) {
            assert!(page.contains(&format!("### {name}\n")), "{name}");
        }
    }
}
