//! Values of a strict tree together with their path, and the few checked ways out of them.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::codes::{self, Code};

use crate::task::{Label, Refused, TaskError, quoted};

/// An object whose keys are all known.
pub(crate) struct Object<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

/// A value and where it stands.
pub(crate) struct Item<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Object<'a> {
    /// The document itself, as an object with these keys at most.
    pub(crate) fn root(value: &'a Value, known: &[&str]) -> Result<Self, TaskError> {
        Item { path: String::new(), value }.object(known)
    }

    /// The value of an optional key.
    pub(crate) fn get(&self, key: &str) -> Option<Item<'a>> {
        self.map.get(key).map(|value| Item { path: join(&self.path, key), value })
    }

    /// The value of a required key.
    pub(crate) fn need(&self, key: &str) -> Result<Item<'a>, TaskError> {
        self.get(key).ok_or_else(|| {
            TaskError::new(codes::KEY_MISSING, join(&self.path, key), format!("key `{key}` is missing"))
        })
    }

    /// Checks `schema`.
    pub(crate) fn schema(&self, expected: &str) -> Result<(), TaskError> {
        let item = self.need("schema")?;
        let found = item.text()?;
        if found == expected {
            return Ok(());
        }
        let message = format!("{} is not {expected:?}", quoted(found));
        Err(item.refuse(codes::SCHEMA_WRONG, message).with_hint(format!("write \"schema\": {expected:?}")))
    }
}

impl<'a> Item<'a> {
    /// The value itself.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// An error at this place.
    pub(crate) fn refuse(&self, code: Code, message: String) -> TaskError {
        TaskError::new(code, self.path.clone(), message)
    }

    fn wrong_type(&self, wanted: &str) -> TaskError {
        let found = match self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => format!("text {}", quoted(text)),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        self.refuse(codes::TYPE_WRONG, format!("{found} stands where {wanted} belongs"))
    }

    /// An object with any keys.
    pub(crate) fn any_object(&self) -> Result<&'a Map<String, Value>, TaskError> {
        self.value.as_object().ok_or_else(|| self.wrong_type("an object"))
    }

    /// An object with these keys at most.
    pub(crate) fn object(&self, known: &[&str]) -> Result<Object<'a>, TaskError> {
        let map = self.any_object()?;
        for key in map.keys() {
            if known.contains(&key.as_str()) {
                continue;
            }
            let error = TaskError::new(
                codes::KEY_NOT_KNOWN,
                join(&self.path, &key.chars().take(80).collect::<String>()),
                format!("unknown key {}", quoted(key)),
            );
            return Err(match nearest(key, known) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint(format!("the keys here are {}", known.join(", "))),
            });
        }
        Ok(Object { path: self.path.clone(), map })
    }

    /// The entries of an object whose keys are labels, at most so many.
    pub(crate) fn entries(&self, most: usize) -> Result<Vec<(Label, Item<'a>)>, TaskError> {
        let map = self.any_object()?;
        if map.len() > most {
            return Err(
                self.refuse(codes::TOO_MANY_ITEMS, format!("{} entries are more than {most}", map.len()))
            );
        }
        map.iter()
            .map(|(key, value)| match key.parse::<Label>() {
                Ok(label) => Ok((label, Item { path: join(&self.path, key), value })),
                Err(refused) => Err(self.refuse(refused.code, refused.message)),
            })
            .collect()
    }

    /// Text.
    pub(crate) fn text(&self) -> Result<&'a str, TaskError> {
        self.value.as_str().ok_or_else(|| self.wrong_type("text"))
    }

    /// Text that is one of this crate's text types.
    pub(crate) fn parsed<T: FromStr<Err = Refused>>(&self) -> Result<T, TaskError> {
        self.text()?.parse().map_err(|refused: Refused| self.refuse(refused.code, refused.message))
    }

    /// A whole number between two bounds, both included.
    pub(crate) fn whole<T>(&self, least: T, most: T) -> Result<T, TaskError>
    where
        T: TryFrom<u64> + PartialOrd + Display + Copy,
    {
        let Value::Number(number) = self.value else { return Err(self.wrong_type("a whole number")) };
        let inside = |value: &T| *value >= least && *value <= most;
        match number.as_u64().and_then(|value| T::try_from(value).ok()).filter(inside) {
            Some(value) => Ok(value),
            None => {
                let message = format!("{number} is not a whole number from {least} to {most}");
                Err(self.refuse(codes::NUMBER_OUT_OF_RANGE, message))
            }
        }
    }

    /// A time by RFC 3339, with its offset.
    pub(crate) fn time(&self) -> Result<Timestamp, TaskError> {
        let text = self.text()?;
        if !is_rfc3339_shaped(text) {
            let message = format!("{} is not a time such as 2026-11-20T08:00:00Z", quoted(text));
            return Err(self.refuse(codes::TIME_MALFORMED, message));
        }
        text.parse().map_err(|error: jiff::Error| {
            self.refuse(codes::TIME_MALFORMED, format!("{} is not a time: {error}", quoted(text)))
        })
    }

    /// A list of so many items.
    pub(crate) fn list(&self, least: usize, most: usize) -> Result<Vec<Item<'a>>, TaskError> {
        let Value::Array(items) = self.value else { return Err(self.wrong_type("a list")) };
        if items.len() < least {
            return Err(self.refuse(codes::LIST_EMPTY, "the list is empty".to_owned()));
        }
        if items.len() > most {
            let message = format!("{} items are more than {most}", items.len());
            return Err(self.refuse(codes::TOO_MANY_ITEMS, message));
        }
        let item = |(index, value)| Item { path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// A list of so many distinct text items, in the order given.
    pub(crate) fn set<T>(&self, least: usize, most: usize) -> Result<Vec<T>, TaskError>
    where
        T: FromStr<Err = Refused> + Ord + Clone + Display,
    {
        let mut seen = std::collections::BTreeSet::new();
        let mut items = Vec::new();
        for item in self.list(least, most)? {
            let value: T = item.parsed()?;
            if !seen.insert(value.clone()) {
                return Err(item.refuse(codes::ITEM_DUPLICATE, format!("{value} is given twice")));
            }
            items.push(value);
        }
        Ok(items)
    }
}

fn join(path: &str, key: &str) -> String {
    let key = key.escape_debug();
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

/// `YYYY-MM-DDTHH:MM:SS[.f]Z` or with an offset of hours and minutes. The time parser behind takes more (other separators, bracketed
/// zones, missing seconds), which RFC 3339 has not.
fn is_rfc3339_shaped(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let rest = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let rest = fraction.trim_start_matches('0');
            let digits = fraction.len() - rest.len();
            if digits == 0 || digits > 9 {
                return false;
            }
            rest
        }
    };
    matches!(rest, "Z" | "+00:00" | "-00:00")
}

/// The known key that is fewest edits away, if that is near enough to be a slip.
#[must_use]
pub fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    if key.len() > 64 {
        return None;
    }
    let near = known.iter().map(|known| (edits(key, known), *known)).min()?;
    (near.0 <= 1 + key.chars().count() / 4).then_some(near.1)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let known = ["measurement", "field", "tags"];
        assert_eq!(nearest("measurment", &known), Some("measurement"));
        assert_eq!(nearest("fields", &known), Some("field"));
        assert_eq!(nearest("callback_url", &known), None);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn only_rfc3339_is_a_time() {
        for good in ["2026-11-20T08:00:00Z", "2026-11-20T08:00:00.123456789Z", "2026-11-20T08:00:00+02:00"] {
            assert!(is_rfc3339_shaped(good), "{good}");
        }
        for bad in [
            "",
            "2026-11-20",
            "2026-11-20 08:00:00Z",
            "2026-11-20T08:00Z",
            "2026-11-20T08:00:00",
            "2026-11-20T08:00:00.Z",
            "2026-11-20T08:00:00.1234567890Z",
            "2026-11-20T08:00:00+02:00[Europe/Paris]",
            "+02026-11-20T08:00:00Z",
            "-000001-01-01T00:00:00Z",
        ] {
            assert!(!is_rfc3339_shaped(bad), "{bad}");
        }
    }
}
