//! Writes the InfluxQL for one operation: for the broker, who asks for the points, and for the daemon, who asks beforehand how many
//! there are. Every name and value comes from a wrapper that somebody else wrote, so each is quoted for the place where it stands, and
//! what cannot be quoted is refused.
//!
//! InfluxQL's scanner knows the escapes `\\`, `\"`, `\'` and `\n` inside quotes and nothing else; it takes a carriage
//! return for a line feed and NUL for the end of the query, so these two cannot be said and are refused.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt::Write;

use fades_wire::control::{Name, Operation, SourceKind, TagSelection};

/// What one operation asks of an InfluxDB 1.x: one field of one measurement, within `[from_ns, to_ns)`.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The retention policy, or the database's default one.
    pub retention: Option<&'a str>,
    /// The measurement.
    pub measurement: &'a str,
    /// The one field that is read.
    pub field: &'a str,
    /// Tag filters: all must hold; within one, any of its values will do.
    pub tags: &'a [TagSelection],
    /// First instant, nanoseconds since 1970 UTC.
    pub from_ns: i64,
    /// End of the range, not itself part of it.
    pub to_ns: i64,
    /// Tags that split the answer into series.
    pub group_by: &'a [Name],
}

/// Why a query cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// InfluxQL has no way to write an empty name.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// InfluxQL cannot express this character inside quotes.
    #[error("the {what} {name:?} has a character that InfluxQL cannot express")]
    Inexpressible {
        /// Which part of the query.
        what: &'static str,
        /// The offending text.
        name: String,
    },
    /// `time` is InfluxDB's own column and would change what the query means.
    #[error("`time` cannot serve as a {0}")]
    Reserved(&'static str),
    /// A tag filter without any value matches nothing, which nobody means.
    #[error("the filter on tag {0:?} lists no value")]
    NoValue(String),
    /// `from` is not before `to`.
    #[error("the time range {from_ns}..{to_ns} is empty")]
    EmptyRange {
        /// First instant.
        from_ns: i64,
        /// End of the range.
        to_ns: i64,
    },
}

impl<'a> From<&'a Operation> for Query<'a> {
    fn from(operation: &'a Operation) -> Self {
        let SourceKind::InfluxDb1 { retention, .. } = &operation.source;
        Self {
            retention: retention.as_ref().map(|name| name.0.as_str()),
            measurement: &operation.measurement,
            field: &operation.field,
            tags: &operation.tags,
            from_ns: operation.from_ns,
            to_ns: operation.to_ns,
            group_by: &operation.group_by,
        }
    }
}

impl Query<'_> {
    /// The InfluxQL text that asks for the points.
    ///
    /// # Errors
    /// A [`QueryError`] naming the part that cannot be written.
    pub fn to_influxql(&self) -> Result<String, QueryError> {
        self.select(false)
    }

    /// The InfluxQL text that asks how many there are, per series.
    ///
    /// # Errors
    /// A [`QueryError`] naming the part that cannot be written.
    pub fn counting(&self) -> Result<String, QueryError> {
        self.select(true)
    }

    fn select(&self, counts: bool) -> Result<String, QueryError> {
        if self.from_ns >= self.to_ns {
            return Err(QueryError::EmptyRange { from_ns: self.from_ns, to_ns: self.to_ns });
        }
        let mut text = String::with_capacity(256);
        text.push_str(if counts { "SELECT COUNT(" } else { "SELECT " });
        column(&mut text, "field", self.field)?;
        text.push_str(if counts { ") FROM " } else { " FROM " });
        if let Some(retention) = self.retention {
            quoted(&mut text, "retention policy", retention, '"')?;
            text.push('.');
        }
        quoted(&mut text, "measurement", self.measurement, '"')?;
        let _ = write!(text, " WHERE time >= {} AND time < {}", self.from_ns, self.to_ns);
        for TagSelection { tag: Name(tag), values } in self.tags {
            if values.is_empty() {
                return Err(QueryError::NoValue(tag.clone()));
            }
            text.push_str(" AND (");
            for (index, Name(value)) in values.iter().enumerate() {
                if index > 0 {
                    text.push_str(" OR ");
                }
                column(&mut text, "tag", tag)?;
                // Without the type the name may be a field's, and a filter on it would tell what the policy keeps back.
                text.push_str("::tag = ");
                escaped(&mut text, "tag value", value, '\'')?;
            }
            text.push(')');
        }
        for (index, Name(tag)) in self.group_by.iter().enumerate() {
            text.push_str(if index == 0 { " GROUP BY " } else { ", " });
            column(&mut text, "tag", tag)?;
        }
        Ok(text)
    }
}

/// A column's name: quoted, and not the one that InfluxDB reads as the time.
fn column(text: &mut String, what: &'static str, name: &str) -> Result<(), QueryError> {
    if name.eq_ignore_ascii_case("time") {
        return Err(QueryError::Reserved(what));
    }
    quoted(text, what, name, '"')
}

fn quoted(text: &mut String, what: &'static str, name: &str, quote: char) -> Result<(), QueryError> {
    if name.is_empty() {
        return Err(QueryError::Empty(what));
    }
    escaped(text, what, name, quote)
}

fn escaped(text: &mut String, what: &'static str, name: &str, quote: char) -> Result<(), QueryError> {
    if name.contains(['\0', '\r']) {
        return Err(QueryError::Inexpressible { what, name: name.to_owned() });
    }
    text.push(quote);
    for character in name.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '\\' => text.push_str("\\\\"),
            other if other == quote => {
                text.push('\\');
                text.push(other);
            }
            other => text.push(other),
        }
    }
    text.push(quote);
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const PLAIN: Query<'static> = Query {
        retention: None,
        measurement: "temperature",
        field: "value",
        tags: &[],
        from_ns: -5,
        to_ns: 9,
        group_by: &[],
    };

    #[test]
    fn a_plain_query() {
        assert_eq!(
            PLAIN.to_influxql().unwrap(),
            r#"SELECT "value" FROM "temperature" WHERE time >= -5 AND time < 9"#
        );
    }

    #[test]
    fn counting_asks_the_same_of_a_count() {
        assert_eq!(
            Query { group_by: &["room".into()], ..PLAIN }.counting().unwrap(),
            r#"SELECT COUNT("value") FROM "temperature" WHERE time >= -5 AND time < 9 GROUP BY "room""#
        );
    }

    #[test]
    fn filters_and_groups() {
        let tags = [
            TagSelection { tag: "room".into(), values: vec!["r1".into(), "it's".into()] },
            TagSelection { tag: "kind".into(), values: vec!["".into()] },
        ];
        let groups = ["room".into(), "a\"b".into()];
        let query = Query { retention: Some("two weeks"), tags: &tags, group_by: &groups, ..PLAIN };
        assert_eq!(
            query.to_influxql().unwrap(),
            r#"SELECT "value" FROM "two weeks"."temperature" WHERE time >= -5 AND time < 9 AND ("room"::tag = 'r1' OR "room"::tag = 'it\'s') AND ("kind"::tag = '') GROUP BY "room", "a\"b""#
        );
    }

    #[test]
    fn nothing_leaves_its_quotes() {
        let query = Query { measurement: r#"m"; DROP DATABASE x; --\"#, field: "a\nb", ..PLAIN };
        assert_eq!(
            query.to_influxql().unwrap(),
            r#"SELECT "a\nb" FROM "m\"; DROP DATABASE x; --\\" WHERE time >= -5 AND time < 9"#
        );
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let cases: [(Query<'_>, QueryError); 6] = [
            (Query { field: "", ..PLAIN }, QueryError::Empty("field")),
            (Query { field: "Time", ..PLAIN }, QueryError::Reserved("field")),
            (Query { group_by: &["time".into()], ..PLAIN }, QueryError::Reserved("tag")),
            (
                Query { tags: &[TagSelection { tag: "t".into(), values: vec![] }], ..PLAIN },
                QueryError::NoValue("t".to_owned()),
            ),
            (
                Query { measurement: "a\0", ..PLAIN },
                QueryError::Inexpressible { what: "measurement", name: "a\0".to_owned() },
            ),
            (Query { from_ns: 9, ..PLAIN }, QueryError::EmptyRange { from_ns: 9, to_ns: 9 }),
        ];
        for (query, error) in cases {
            assert_eq!(query.to_influxql(), Err(error));
        }
    }
}
