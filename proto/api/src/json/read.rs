//! Reading. Distrusts every byte.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{DEPTH, STRING_BYTES, VALUES};
use crate::codes;
use crate::task::TaskError;
use crate::task::limits::DOCUMENT_BYTES;

/// The tree of one JSON document, with nothing after it.
pub(crate) fn read_document(bytes: &[u8]) -> Result<Value, TaskError> {
    check_size(bytes.len())?;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("not UTF-8 from byte {} on", error.valid_up_to());
            return Err(TaskError::new(codes::NOT_UTF8, "", message));
        }
    };
    let budget = Budget::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Seed { budget: &budget, depth: 1 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (read, budget.refusal.take()) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(refusal)) => Err(refusal),
        (Err(error), None) => Err(TaskError::new(codes::JSON_SYNTAX, budget.path(), error.to_string())),
    }
}

/// The tree of one TOML document; times become RFC 3339 text.
pub(crate) fn read_toml(text: &str) -> Result<Value, TaskError> {
    check_size(text.len())?;
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let message = format!("line {line}: {}", error.message().trim_end());
            let code =
                if message.contains("duplicate key") { codes::KEY_DUPLICATE } else { codes::TOML_SYNTAX };
            return Err(TaskError::new(code, "", message));
        }
    };
    let budget = Budget::default();
    budget.convert(toml::Value::Table(table), 1)
}

fn check_size(bytes: usize) -> Result<(), TaskError> {
    if bytes > DOCUMENT_BYTES {
        let message = format!("{bytes} bytes are more than {DOCUMENT_BYTES}");
        return Err(TaskError::new(codes::DOCUMENT_TOO_LARGE, "", message));
    }
    Ok(())
}

/// What may still be read, where reading is, and why it stopped.
#[derive(Default)]
struct Budget {
    values: Cell<usize>,
    path: RefCell<Vec<Step>>,
    refusal: RefCell<Option<TaskError>>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Budget {
    fn path(&self) -> String {
        let mut text = String::new();
        for step in self.path.borrow().iter() {
            match step {
                Step::Index(index) => text.push_str(&format!("[{index}]")),
                Step::Key(key) => {
                    let dot = if text.is_empty() { "" } else { "." };
                    let key: String = key.chars().take(80).collect();
                    text.push_str(&format!("{dot}{}", key.escape_debug()));
                }
            }
        }
        text
    }

    fn refusal(&self, code: codes::Code, message: String) -> TaskError {
        TaskError::new(code, self.path(), message)
    }

    fn enter(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }

    fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    fn count(&self) -> Result<(), TaskError> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > VALUES {
            return Err(self.refusal(codes::TOO_MANY_VALUES, format!("more than {VALUES} values")));
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize) -> Result<(), TaskError> {
        if depth > DEPTH {
            return Err(self.refusal(codes::TOO_DEEP, format!("nested more than {DEPTH} levels deep")));
        }
        Ok(())
    }

    fn check_string(&self, text: &str) -> Result<(), TaskError> {
        if text.len() > STRING_BYTES {
            let message = format!("a string of {} bytes is longer than {STRING_BYTES}", text.len());
            return Err(self.refusal(codes::STRING_TOO_LONG, message));
        }
        Ok(())
    }

    fn number(&self, value: f64) -> Result<Value, TaskError> {
        match Number::from_f64(value) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(self.refusal(codes::NOT_FINITE, format!("{value} is not a finite number"))),
        }
    }

    /// Keeps the refusal for the caller and stops serde with a word of its own.
    fn stop<T, E: serde::de::Error>(&self, result: Result<T, TaskError>) -> Result<T, E> {
        result.map_err(|refusal| {
            let stopped = E::custom(&refusal);
            self.refusal.borrow_mut().get_or_insert(refusal);
            stopped
        })
    }

    fn convert(&self, value: toml::Value, depth: usize) -> Result<Value, TaskError> {
        self.count()?;
        Ok(match value {
            toml::Value::String(text) => {
                self.check_string(&text)?;
                Value::String(text)
            }
            toml::Value::Integer(number) => number.into(),
            toml::Value::Float(number) => self.number(number)?,
            toml::Value::Boolean(truth) => truth.into(),
            toml::Value::Datetime(time) => Value::String(time.to_string()),
            toml::Value::Array(items) => {
                self.check_depth(depth)?;
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    self.enter(Step::Index(index));
                    list.push(self.convert(item, depth + 1)?);
                    self.leave();
                }
                Value::Array(list)
            }
            toml::Value::Table(table) => {
                self.check_depth(depth)?;
                let mut map = Map::new();
                for (key, item) in table {
                    self.check_string(&key)?;
                    self.enter(Step::Key(key.clone()));
                    map.insert(key, self.convert(item, depth + 1)?);
                    self.leave();
                }
                Value::Object(map)
            }
        })
    }
}

/// Reads one value at a depth.
#[derive(Clone, Copy)]
struct Seed<'a> {
    budget: &'a Budget,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.budget.stop(self.budget.count())?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.budget.stop(self.budget.number(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.budget.stop(self.budget.check_string(value))?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Self { budget, depth } = self;
        budget.stop(budget.check_depth(depth))?;
        let mut list = Vec::new();
        loop {
            budget.enter(Step::Index(list.len()));
            match access.next_element_seed(Self { budget, depth: depth + 1 })? {
                Some(item) => list.push(item),
                None => break,
            }
            budget.leave();
        }
        budget.leave();
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Self { budget, depth } = self;
        budget.stop(budget.check_depth(depth))?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            budget.stop(budget.check_string(&key))?;
            budget.enter(Step::Key(key.clone()));
            if map.contains_key(&key) {
                let refusal = budget.refusal(codes::KEY_DUPLICATE, "this key is given twice".to_owned());
                return budget.stop(Err(refusal));
            }
            let value = access.next_value_seed(Self { budget, depth: depth + 1 })?;
            map.insert(key, value);
            budget.leave();
        }
        Ok(Value::Object(map))
    }
}
