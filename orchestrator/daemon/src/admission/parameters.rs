//! What a function's image says of its parameters, and whether a wrapper's fit.
//!
//! The schema is its signer's, and what it is held against an issuer's. So it is compiled once, when the node reads whom it
//! trusts, fetches nothing, and its patterns take time in proportion to the text.

use fades_api::task::TaskError;
use fades_api::{codes, nearest};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

/// Most parts of a schema: every object, array and plain value is one, and what a reference leads to counts once more for each
/// reference. A few hundred bytes could refer to each other in 2^60 ways, and admission would go all of them.
const MAX_PARTS: usize = 4096;
/// How deep they may lie in each other, through references as well.
const MAX_DEPTH: usize = 64;
/// Most bytes that a compiled pattern may take, and what is kept while it is matched.
const MAX_PATTERN: usize = 64 * 1024;
/// What would give references another meaning than [`bound`] follows.
const RENAMING: [&str; 6] =
    ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"];

/// A compiled schema.
#[derive(Debug)]
pub struct Parameters {
    validator: Validator,
    known: Vec<String>,
}

impl Parameters {
    /// Compiles the JSON Schema of an image's manifest.
    ///
    /// # Errors
    /// It is no schema, too large or too deep, or it refers to another document or in a circle; in words.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        bound(schema)?;
        let known =
            schema["properties"].as_object().map(|keys| keys.keys().cloned().collect()).unwrap_or_default();
        // Of one draft, whatever the schema says: in older ones other words give references another meaning.
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN))
            .offline();
        match options.build(schema) {
            Ok(validator) => Ok(Self { validator, known }),
            Err(error) => Err(format!("{} at {}", error, error.instance_path())),
        }
    }

    /// Holds parameters against it.
    ///
    /// # Errors
    /// The first that does not fit, by its path in the wrapper.
    pub fn admit(&self, parameters: &Map<String, Value>) -> Result<(), TaskError> {
        // The validator reads values, and a wrapper holds an object.
        let parameters = Value::Object(parameters.clone());
        match self.validator.iter_errors(&parameters).next() {
            None => Ok(()),
            Some(error) => Err(self.refusal(&error)),
        }
    }

    fn refusal(&self, error: &ValidationError<'_>) -> TaskError {
        let mut path = "dmf.parameters".to_owned();
        for segment in error.instance_path().as_str().split('/').skip(1) {
            match segment.parse::<u64>() {
                Ok(index) => path += &format!("[{index}]"),
                Err(_) => path += &format!(".{segment}"),
            }
        }
        let mut hint = None;
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                if let [key, ..] = unexpected.as_slice() {
                    let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
                    // A nested object has keys of its own.
                    if error.instance_path().as_str().is_empty() {
                        hint = nearest(key, &known).map(|near| format!("did you mean `{near}`?"));
                    }
                    path += &format!(".{key}");
                }
            }
            ValidationErrorKind::Required { property: Value::String(key) } => path += &format!(".{key}"),
            _ => {}
        }
        let words = error.to_string();
        let refusal = TaskError::new(codes::PARAMETERS_REFUSED, path, words);
        match hint {
            Some(hint) => refusal.with_hint(hint),
            None => refusal,
        }
    }
}

/// Refuses what is too much to compile or to hold anything against: walks all of it, along every reference, and no further
/// than the bounds. A reference that stands in a value, such as a default, is taken for one.
fn bound(schema: &Value) -> Result<(), String> {
    let (mut walked, mut left) = (0, vec![(schema, 1)]);
    while let Some((value, depth)) = left.pop() {
        if depth > MAX_DEPTH {
            return Err(format!("it is deeper than {MAX_DEPTH} levels, or refers to itself in a circle"));
        }
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(keys) => {
                if let Some(word) = RENAMING.iter().find(|word| keys.get(**word).is_some_and(is_plain)) {
                    return Err(format!("it has {word}: references are # and a path here"));
                }
                left.extend(keys.values().map(|item| (item, depth + 1)));
                if let Some(Value::String(reference)) = keys.get("$ref") {
                    left.push((target(schema, reference)?, depth + 1));
                }
            }
            _ => {}
        }
        walked += 1;
        if walked + left.len() > MAX_PARTS {
            return Err(format!("it has more than {MAX_PARTS} parts, with what its references lead to"));
        }
    }
    Ok(())
}

/// Under a name of a property lies a schema: a keyword has a plain value.
const fn is_plain(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Bool(_))
}

/// What a reference within the document leads to.
fn target<'a>(schema: &'a Value, reference: &str) -> Result<&'a Value, String> {
    let path = reference.strip_prefix('#').filter(|path| !path.contains('%'));
    let path = path.ok_or_else(|| format!("it refers to {reference:?}: references are # and a path here"))?;
    schema.pointer(path).ok_or_else(|| format!("it refers to {reference:?}, which is not there"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "every": { "type": "string", "pattern": "^[1-9][0-9]*(s|m|h)$" },
                "quantiles": { "type": "array", "items": { "$ref": "#/$defs/Share" }, "default": [] },
            },
            "required": ["every"],
            "additionalProperties": false,
            "$defs": { "Share": { "type": "number", "minimum": 0, "maximum": 1 } },
        })
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_key() {
        let parameters = Parameters::compile(&schema()).unwrap();
        let admit = |value: Value| parameters.admit(value.as_object().unwrap());
        assert_eq!(admit(json!({ "every": "15m", "quantiles": [0, 0.5] })), Ok(()));
        for (value, path, words) in [
            (json!({}), "dmf.parameters.every", "required"),
            (json!({ "every": 15 }), "dmf.parameters.every", "not of type \"string\""),
            (json!({ "every": "15" }), "dmf.parameters.every", "does not match"),
            (
                json!({ "every": "1s", "quantiles": [0.5, 7] }),
                "dmf.parameters.quantiles[1]",
                "7 is greater than",
            ),
            (
                json!({ "every": "1s", "quantile": [] }),
                "dmf.parameters.quantile",
                "did you mean `quantiles`?",
            ),
        ] {
            let refusal = admit(value).unwrap_err();
            assert_eq!(refusal.code, codes::PARAMETERS_REFUSED);
            let text = format!("{refusal} {}", refusal.hint);
            assert!(text.contains(path) && text.contains(words), "{text}");
        }
    }

    #[test]
    fn nothing_is_fetched_and_nonsense_is_no_schema() {
        for schema in [
            json!({ "$ref": "http://127.0.0.1:1/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "type": "thing" }),
            json!({ "type": "object", "properties": { "a": { "pattern": "(" } } }),
            json!(7),
        ] {
            assert!(Parameters::compile(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn patterns_are_of_the_kind_that_takes_time_in_proportion_and_of_bounded_size() {
        let pattern =
            |pattern: &str| Parameters::compile(&json!({ "properties": { "a": { "pattern": pattern } } }));
        let parameters = pattern("^(a+)+$").unwrap();
        let value = json!({ "a": "a".repeat(4000) + "!" });
        assert!(parameters.admit(value.as_object().unwrap()).is_err());
        // What only an engine that goes back and forth can match is not compiled, nor what takes much memory.
        for text in [r"(a)\1", "(?=a)a", "(?<!a)b", r"\p{L}{90}"] {
            assert!(pattern(text).is_err(), "{text}");
        }
        assert!(pattern("^[1-9][0-9]{0,5}(ms|s|m|h|d)$").is_ok());
    }

    #[test]
    fn what_is_too_much_to_compile_is_not_compiled() {
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert!(Parameters::compile(&nested(MAX_DEPTH)).is_ok());
        let words = Parameters::compile(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(words.contains("64 levels"), "{words}");
        // with itself and the array
        let many = |values: usize| json!({ "enum": (0..values).collect::<Vec<_>>() });
        assert!(Parameters::compile(&many(MAX_PARTS - 2)).is_ok());
        let words = Parameters::compile(&many(MAX_PARTS - 1)).unwrap_err();
        assert!(words.contains("4096 parts"), "{words}");
    }

    #[test]
    fn webs_of_references_are_refused_before_they_are_gone_along() {
        let refer = |to: usize| json!({ "$ref": format!("#/$defs/d{to}") });
        let count = 16;
        let web = |of: &dyn Fn(usize) -> Value| -> Value {
            let definitions: Map<String, Value> = (0..count).map(|n| (format!("d{n}"), of(n))).collect();
            json!({ "$ref": "#/$defs/d0", "$defs": definitions })
        };
        let all: Vec<Value> = (0..count).map(refer).collect();
        let last = json!({ "required": ["nothing"] });
        let twice = |n: usize| match n + 1 < count {
            true => json!({ "anyOf": [refer(n + 1), refer(n + 1)] }),
            false => last.clone(),
        };
        for (schema, why) in [
            // each to all and to itself, each twice to the next, one to itself
            (web(&|_| json!({ "anyOf": all })), "circle"),
            (web(&twice), "4096 parts"),
            (json!({ "properties": { "a": { "$ref": "#" } } }), "circle"),
            // by other names
            (json!({ "$id": "https://a.example/", "$ref": "https://a.example/#/$defs/a" }), "$id"),
            (json!({ "$ref": "json-schema:///#/$defs/a", "$defs": { "a": {} } }), "# and a path"),
            (json!({ "$ref": "#/%24defs/a", "$defs": { "a": {} } }), "# and a path"),
            (json!({ "$ref": "#a", "$defs": { "a": { "$anchor": "a" } } }), "a"),
            (json!({ "$ref": "#/$defs/b", "$defs": { "a": {} } }), "not there"),
        ] {
            let words = Parameters::compile(&schema).unwrap_err();
            assert!(words.contains(why), "{words}");
        }
        // what several share is no web, and a property may have any name
        let shared =
            web(&|n| if n < 4 { json!({ "properties": { "$id": refer(15) } }) } else { last.clone() });
        assert!(Parameters::compile(&shared).is_ok());
    }
}
