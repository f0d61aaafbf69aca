//! What a source answered. Whoever listens there may have written it, so no more is kept of it than is asked for.

use std::fmt;
use std::marker::PhantomData;

use fades_api::codes;
use fades_api::http::SourceDocument;
use fades_wire::data::MAX_SERIES;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Complaint, complain};

/// Rows of an answer that are kept: a database has few retention policies.
const ROWS: usize = 1_000;

/// The answer to one query, whose rows are `R`s.
#[derive(Deserialize)]
#[serde(bound = "R: Deserialize<'de>")]
struct Body<R> {
    error: Option<String>,
    #[serde(default)]
    results: Few<Outcome<R>, 1>,
}

#[derive(Deserialize)]
#[serde(bound = "R: Deserialize<'de>")]
struct Outcome<R> {
    error: Option<String>,
    /// One more than may be read, to be told from that many.
    #[serde(default)]
    series: Few<Series<R>, { MAX_SERIES as usize + 1 }>,
}

#[derive(Deserialize)]
#[serde(bound = "R: Deserialize<'de>")]
struct Series<R> {
    #[serde(default)]
    values: Few<R, ROWS>,
}

/// A list of at most `N`; a longer one is refused before it is kept.
struct Few<T, const N: usize>(Vec<T>);

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Few<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Reader<T, N> {
            type Value = Few<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {N}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Few<T, N>, A::Error> {
                let mut few = Vec::new();
                while few.len() < N {
                    match items.next_element()? {
                        Some(item) => few.push(item),
                        None => return Ok(Few(few)),
                    }
                }
                match items.next_element::<IgnoredAny>()? {
                    None => Ok(Few(few)),
                    Some(_) => Err(A::Error::custom(format!("more than {N} in a list"))),
                }
            }
        }
        deserializer.deserialize_seq(Reader(PhantomData))
    }
}

/// The first column of a row, a text.
struct First(String);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = First;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row that begins with a text")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut columns: A) -> Result<First, A::Error> {
                let first = columns.next_element()?.ok_or_else(|| A::Error::custom("an empty row"))?;
                while columns.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// The version of the InfluxDB that answered, and the rows of each series that it tells.
fn read<R: DeserializeOwned>(answer: &[u8]) -> Result<(String, Vec<Vec<R>>), Complaint> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), answer.get(end + 4..).unwrap_or_default());
    let status = head.lines().next().unwrap_or_default();
    let version = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-influxdb-version").then(|| value.trim())
    });
    let Some(version) = version else {
        return complain(codes::SOURCE_MALFORMED, format!("not an InfluxDB: {status:?}"));
    };
    let body = serde_json::from_slice::<Body<R>>(body);
    let (error, series) = match body {
        Ok(Body { error, results: Few(mut results) }) => match results.pop() {
            Some(Outcome { error: own, series }) => (error.or(own), Ok(Some(series.0))),
            None => (error, Ok(None)),
        },
        Err(error) => (None, Err(error)),
    };
    match (status.split(' ').nth(1), error, series) {
        (Some("401" | "403"), error, _) => {
            complain(codes::SOURCE_CREDENTIALS, error.as_deref().unwrap_or(status))
        }
        (_, Some(error), _) if error.starts_with("database not found") => {
            complain(codes::SOURCE_DATABASE, format!("InfluxDB {version}: {error}"))
        }
        (_, Some(error), _) => complain(codes::SOURCE_QUERY_REFUSED, error),
        (Some("200"), None, Ok(Some(series))) => {
            Ok((version.to_owned(), series.into_iter().map(|series| series.values.0).collect()))
        }
        (Some("200"), None, Ok(None)) => complain(codes::SOURCE_MALFORMED, "its answer has no result"),
        (Some("200"), None, Err(error)) => {
            complain(codes::SOURCE_MALFORMED, format!("its answer cannot be read: {error}"))
        }
        (_, None, _) => complain(codes::SOURCE_STATUS, status),
    }
}

/// Points of each series. A row is the time and the count; of what is not there, there is no series.
pub(super) fn counts(answer: &[u8]) -> Result<Vec<u64>, Complaint> {
    let (_, series) = read::<(IgnoredAny, u64)>(answer)?;
    Ok(series.iter().map(|rows| rows.first().map_or(0, |(_, count)| *count)).collect())
}

/// Whether the answer is that of a source as it was registered.
pub(super) fn judge(source: &SourceDocument, answer: &[u8]) -> Result<String, Complaint> {
    let SourceDocument::InfluxDb1 { database, retention, .. } = source;
    let (version, series) = read::<First>(answer)?;
    let Some(rows) = series.first() else {
        return complain(codes::SOURCE_MALFORMED, "it does not tell its retention policies");
    };
    let known: Vec<&str> = rows.iter().map(|First(name)| name.as_str()).collect();
    match retention {
        Some(wanted) if !known.contains(&wanted.as_str()) => complain(
            codes::SOURCE_DATABASE,
            format!("database {database:?} has no retention policy {wanted:?}, it has {known:?}"),
        ),
        _ => Ok(format!("InfluxDB {version}, database {database:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    #[test]
    fn answers_are_taken_for_what_they_say() {
        let judged = |retention: Option<&str>, status: &str, body: &str| {
            let answer = format!("HTTP/1.0 {status}\r\nX-Influxdb-Version: 1.6.7\r\n\r\n{body}");
            judge(&source(retention, None), answer.as_bytes())
        };
        let code = |retention, status, body| judged(retention, status, body).unwrap_err().code;
        let policies =
            r#"{"results":[{"series":[{"columns":["name"],"values":[["autogen","0s"],["week","1w"]]}]}]}"#;
        assert_eq!(judged(None, "200 OK", policies).unwrap(), "InfluxDB 1.6.7, database \"io\\\"t&\\r\"");
        assert!(judged(Some("week"), "200 OK", policies).is_ok());
        let missing = judged(Some("year"), "200 OK", policies).unwrap_err();
        assert_eq!(missing.code, codes::SOURCE_DATABASE);
        assert!(missing.detail.contains("\"year\", it has [\"autogen\", \"week\"]"), "{}", missing.detail);
        let none = r#"{"results":[{"statement_id":0,"error":"database not found: nope"}]}"#;
        assert_eq!(code(None, "200 OK", none), codes::SOURCE_DATABASE);
        assert_eq!(
            code(None, "404 Not Found", r#"{"error":"database not found: nope"}"#),
            codes::SOURCE_DATABASE
        );
        assert_eq!(
            code(None, "401 Unauthorized", r#"{"error":"authorization failed"}"#),
            codes::SOURCE_CREDENTIALS
        );
        assert_eq!(code(None, "403 Forbidden", ""), codes::SOURCE_CREDENTIALS);
        assert_eq!(code(None, "400 Bad Request", r#"{"error":"why"}"#), codes::SOURCE_QUERY_REFUSED);
        assert_eq!(code(None, "302 Found", ""), codes::SOURCE_STATUS);
        assert_eq!(code(None, "200 OK", "[1"), codes::SOURCE_MALFORMED);
        let other = judge(&source(None, None), b"SSH-2.0-OpenSSH\r\n").unwrap_err();
        assert_eq!(other.code, codes::SOURCE_MALFORMED);
        assert!(judge(&source(None, None), b"").is_err());
    }

    #[test]
    fn counts_are_read_and_nothing_else_is_kept() {
        let read = |body: &str| {
            counts(format!("HTTP/1.0 200 OK\r\nX-Influxdb-Version: 1.6.7\r\n\r\n{body}").as_bytes())
        };
        let one = |count: &str| {
            format!(r#"{{"tags":{{"room":"r1"}},"values":[["2026-01-01T00:00:00Z",{count}]]}}"#)
        };
        let of = |series: &str| format!(r#"{{"results":[{{"statement_id":0,"series":[{series}]}}]}}"#);
        assert_eq!(read(&of(&[one("5"), one("7")].join(","))).unwrap(), [5, 7]);
        assert!(read(r#"{"results":[{"statement_id":0}]}"#).unwrap().is_empty());
        let many = vec![one("1"); MAX_SERIES as usize + 2].join(",");
        for body in [
            of(&one("-1")),
            of(&one("\"5\"")),
            of(&many),
            format!("[{}", "0,".repeat(1 << 20)),
            format!(r#"{{"results":[{}{{}}]}}"#, "{},".repeat(1 << 20)),
            r#"{"results":[]}"#.to_owned(),
        ] {
            assert_eq!(read(&body).unwrap_err().code, codes::SOURCE_MALFORMED);
        }
    }
}
