//! What a function's image says of its parameters and of its results, and whether a wrapper's and a guest's fit.
//!
//! The schema is its signer's, and what is held against it an issuer's. So it is compiled once, when the node reads whom it
//! trusts, fetches nothing, and its patterns take time in proportion to the text.

use fades_api::task::TaskError;
use fades_api::{codes, nearest};
use fades_core::terms::ResultSchema;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

/// Most parts of a schema: every object, array and plain value is one, and what a reference leads to counts once more for each
/// reference. A few hundred bytes could refer to each other in 2^60 ways, and admission would go all of them.
const MAX_PARTS: usize = 4096;
/// How deep they may lie in each other, through references as well.
const MAX_DEPTH: usize = 64;
/// Most times that a part of a schema is held against a value of a result: about a second's work where all of them are.
const MOST_STEPS: usize = 1 << 26;
/// Most bytes that a compiled pattern may take, and what is kept while it is matched.
const MAX_PATTERN: usize = 64 * 1024;
/// What would give references another meaning than [`bound`] follows.
const RENAMING: [&str; 6] =
    ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"];

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    known: Vec<String>,
    parts: usize,
}

impl ResultSchema for Schema {
    fn hold(&self, result: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(result).map_err(|error| error.to_string())?;
        let most = MOST_STEPS / self.parts;
        if more_values_than(&value, most) {
            return Err(format!(
                "the result has more than {most} values, and its schema {} parts",
                self.parts
            ));
        }
        match self.validator.iter_errors(&value).next() {
            None => Ok(()),
            Some(error) => Err(format!("at {:?}: {error}", error.instance_path().as_str())),
        }
    }
}

/// Whether a document has more values than so many, in objects and arrays at every depth.
fn more_values_than(value: &Value, most: usize) -> bool {
    let (mut seen, mut left) = (0, vec![value]);
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(members) => left.extend(members.values()),
            _ => {}
        }
        seen += 1;
        if seen + left.len() > most {
            return true;
        }
    }
    false
}

impl Schema {
    /// Compiles the JSON Schema of an image's manifest.
    ///
    /// # Errors
    /// It is no schema, too large or too deep, or it refers to another document or in a circle; in words.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let parts = bound(schema)?;
        let known =
            schema["properties"].as_object().map(|keys| keys.keys().cloned().collect()).unwrap_or_default();
        // Of one draft, whatever the schema says: in older ones other words give references another meaning.
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN))
            .offline();
        match options.build(schema) {
            Ok(validator) => Ok(Self { validator, known, parts }),
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
/// than the bounds; gives the number of its parts. A reference that stands in a value, such as a default, is taken for one.
fn bound(schema: &Value) -> Result<usize, String> {
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
    Ok(walked)
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
        let parameters = Schema::compile(&schema()).unwrap();
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
    fn g9_a_result_is_what_its_image_says() {
        let schema = Schema::compile(&schema()).unwrap();
        let hold = |text: &str| ResultSchema::hold(&schema, text);
        assert_eq!(hold(r#"{"every":"15m"}"#), Ok(()));
        for (text, words) in [
            (r#"{"every":15}"#, "at \"/every\": 15 is not of type"),
            (r#"{"every":"1s","raw":[1,2,3]}"#, "'raw' was unexpected"),
            ("[]", "at \"\": [] is not of type"),
        ] {
            let refusal = hold(text).unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }

    #[test]
    fn what_would_take_long_to_compare_is_not_compared() {
        let items: Vec<Value> = (0..2000).map(|n| json!({ "const": n })).collect();
        let schema = Schema::compile(&json!({ "items": { "anyOf": items } })).unwrap();
        let result = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert_eq!(schema.hold(&result(1000)), Ok(()));
        let refusal = schema.hold(&result(100_000)).unwrap_err();
        assert!(refusal.contains("more than 16") && refusal.contains("parts"), "{refusal}");
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
            assert!(Schema::compile(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn patterns_are_of_the_kind_that_takes_time_in_proportion_and_of_bounded_size() {
        let pattern =
            |pattern: &str| Schema::compile(&json!({ "properties": { "a": { "pattern": pattern } } }));
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
        assert!(Schema::compile(&nested(MAX_DEPTH)).is_ok());
        let words = Schema::compile(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(words.contains("64 levels"), "{words}");
        // with itself and the array
        let many = |values: usize| json!({ "enum": (0..values).collect::<Vec<_>>() });
        assert!(Schema::compile(&many(MAX_PARTS - 2)).is_ok());
        let words = Schema::compile(&many(MAX_PARTS - 1)).unwrap_err();
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
            let words = Schema::compile(&schema).unwrap_err();
            assert!(words.contains(why), "{words}");
        }
        // what several share is no web, and a property may have any name
        let shared =
            web(&|n| if n < 4 { json!({ "properties": { "$id": refer(15) } }) } else { last.clone() });
        assert!(Schema::compile(&shared).is_ok());
    }
}
