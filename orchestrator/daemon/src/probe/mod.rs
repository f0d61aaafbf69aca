//! What a source says to the daemon itself, on the operator's word: whether it answers as it was registered, and how much there is to
//! read.
//!
//! One harmless question tells all that can be told without a task: that an InfluxDB is there, takes the credentials,
//! has the database and lets it be read, and knows the retention policy. What it does not tell is the way through the
//! gateway and which addresses that allows.

use std::fmt::Write;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use fades_api::codes::{self, Code};
use fades_api::http::SourceDocument;
use fades_influxql::Query;
use fades_wire::control::Operation;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a source may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to count. It reads all the points for that.
const COUNTING: Duration = Duration::from_secs(60);
/// Most of an answer that is read: a database has few retention policies.
const ANSWER: u64 = 64 * 1024;
/// Most of an answer with counts: one per series, with all its tags.
const COUNTS: u64 = 16 * 1024 * 1024;

/// Why a source is not as it was registered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The reason's code.
    pub(crate) code: Code,
    /// In words, the source's own where it has some.
    pub(crate) detail: String,
}

fn complain<T>(code: Code, detail: impl Into<String>) -> Result<T, Complaint> {
    Err(Complaint { code, detail: detail.into() })
}

/// Asks a source; in words what answers there.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) async fn probe(source: &SourceDocument) -> Result<String, Complaint> {
    judge(source, &ask(source, &retention_policies(source), PATIENCE, ANSWER).await?)
}

/// Points of each series that an operation would read, by the source's own count.
///
/// # Errors
/// Why they could not be counted.
pub(crate) async fn count(source: &SourceDocument, operation: &Operation) -> Result<Vec<u64>, Complaint> {
    let question = match Query::from(operation).counting() {
        Ok(question) => question,
        Err(error) => return complain(codes::SOURCE_QUERY_REFUSED, error.to_string()),
    };
    let answer = ask(source, &question, COUNTING, COUNTS).await?;
    let (_, result) = read(&answer)?;
    let series = result["series"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A row is the time and the count. Of what is not there, there is no series.
    let counts = series.iter().map(|series| series["values"][0][1].as_u64());
    counts.collect::<Option<Vec<_>>>().ok_or_else(|| Complaint {
        code: codes::SOURCE_MALFORMED,
        detail: "its counts are no numbers".to_owned(),
    })
}

async fn ask(
    source: &SourceDocument,
    influxql: &str,
    patience: Duration,
    most: u64,
) -> Result<Vec<u8>, Complaint> {
    match tokio::time::timeout(patience, exchange(source, influxql, most)).await {
        Ok(Ok(answer)) if answer.len() as u64 >= most => {
            complain(codes::SOURCE_TOO_MANY_SERIES, format!("its answer has {most} bytes or more"))
        }
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => complain(codes::SOURCE_UNREACHABLE, error.to_string()),
        Err(_elapsed) => complain(codes::SOURCE_SILENT, format!("no answer within {} s", patience.as_secs())),
    }
}

async fn exchange(source: &SourceDocument, influxql: &str, most: u64) -> std::io::Result<Vec<u8>> {
    let SourceDocument::InfluxDb1 { host, port, .. } = source;
    let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
    stream.write_all(question(source, influxql).as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(most).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn retention_policies(source: &SourceDocument) -> String {
    let SourceDocument::InfluxDb1 { database, .. } = source;
    let quoted = database.replace('\\', "\\\\").replace('"', "\\\"");
    format!("SHOW RETENTION POLICIES ON \"{quoted}\"")
}

/// HTTP/1.0, so that the answer is neither chunked nor kept open.
fn question(source: &SourceDocument, influxql: &str) -> String {
    let SourceDocument::InfluxDb1 { host, port, database, user, password, .. } = source;
    let mut text = "GET /query?db=".to_owned();
    percent(&mut text, database);
    text.push_str("&q=");
    percent(&mut text, influxql);
    text = format!("{text} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n");
    if let Some(user) = user {
        let pair = format!("{user}:{}", password.as_deref().unwrap_or_default());
        text = format!("{text}Authorization: Basic {}\r\n", Base64::encode_string(pair.as_bytes()));
    }
    text + "\r\n"
}

/// Percent-encodes everything but letters and digits.
fn percent(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "%{byte:02X}");
        }
    }
}

/// The version of the InfluxDB that answered, and what it says to the one query. Whoever listens there may have written it.
fn read(answer: &[u8]) -> Result<(String, Value), Complaint> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    let version = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-influxdb-version").then(|| value.trim())
    });
    let Some(version) = version else {
        return complain(codes::SOURCE_MALFORMED, format!("not an InfluxDB: {status:?}"));
    };
    let mut body: Value = serde_json::from_str(body).unwrap_or_default();
    let result = body.pointer_mut("/results/0").map(Value::take).unwrap_or_default();
    let error = [&body["error"], &result["error"]].into_iter().find_map(Value::as_str);
    match (status.split(' ').nth(1), error) {
        (Some("401" | "403"), error) => complain(codes::SOURCE_CREDENTIALS, error.unwrap_or(status)),
        (_, Some(error)) if error.starts_with("database not found") => {
            complain(codes::SOURCE_DATABASE, format!("InfluxDB {version}: {error}"))
        }
        (_, Some(error)) => complain(codes::SOURCE_QUERY_REFUSED, error),
        (Some("200"), None) if result.is_object() => Ok((version.to_owned(), result)),
        (Some("200"), None) => complain(codes::SOURCE_MALFORMED, "its answer is cut or no JSON"),
        (_, None) => complain(codes::SOURCE_STATUS, status),
    }
}

/// Whether the answer is that of a source as it was registered.
fn judge(source: &SourceDocument, answer: &[u8]) -> Result<String, Complaint> {
    let SourceDocument::InfluxDb1 { database, retention, .. } = source;
    let (version, result) = read(answer)?;
    let Some(rows) = result["series"][0]["values"].as_array() else {
        return complain(codes::SOURCE_MALFORMED, "it does not tell its retention policies");
    };
    let known: Vec<&str> = rows.iter().filter_map(|row| row[0].as_str()).collect();
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
    use super::*;

    fn source(retention: Option<&str>, user: Option<&str>) -> SourceDocument {
        SourceDocument::InfluxDb1 {
            host: "db".into(),
            port: 8086,
            allow_private: false,
            database: "io\"t&\r".into(),
            retention: retention.map(Into::into),
            user: user.map(Into::into),
            password: user.map(|_| "open sesame".into()),
        }
    }

    #[test]
    fn the_question_is_one_line_whatever_the_names() {
        let asked = |source: &SourceDocument| question(source, &retention_policies(source));
        let text = asked(&source(None, Some("Aladdin")));
        let line =
            "GET /query?db=io%22t%26%0D&q=SHOW%20RETENTION%20POLICIES%20ON%20%22io%5C%22t%26%0D%22 HTTP/1.0";
        assert_eq!(text.lines().next(), Some(line));
        assert!(text.ends_with("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"), "{text}");
        assert!(!asked(&source(None, None)).contains("Authorization"));
    }

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
}
