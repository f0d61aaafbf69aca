//! What a function's image says of its parameters, and whether a wrapper's fit.
//!
//! The schema is its signer's, and what it is held against an issuer's. So it is compiled once, when the node reads whom it
//! trusts, fetches nothing, and its patterns take time in proportion to the text.

use fades_api::task::TaskError;
use fades_api::{codes, nearest};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

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
    /// It is no schema, or it refers to another document; in words.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let known =
            schema["properties"].as_object().map(|keys| keys.keys().cloned().collect()).unwrap_or_default();
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex()).offline();
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
    fn patterns_take_time_in_proportion() {
        let parameters =
            Parameters::compile(&json!({ "properties": { "a": { "pattern": "^(a+)+$" } } })).unwrap();
        let value = json!({ "a": "a".repeat(4000) + "!" });
        assert!(parameters.admit(value.as_object().unwrap()).is_err());
    }
}
