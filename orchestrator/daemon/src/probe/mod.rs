//! What a source says to the daemon itself, on the operator's word: whether it answers as it was registered, and how much there is to
//! read.
//!
//! One harmless question tells all that can be told without a task: that an InfluxDB is there, takes the credentials,
//! has the database and lets it be read, and knows the retention policy. What it does not tell is the way through the
//! gateway. Where a name may lead is asked of the network, as the gateway asks itself.

mod answer;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use fades_api::codes::{self, Code};
use fades_api::http::SourceDocument;
use fades_core::network::Network;
use fades_influxql::Query;
use fades_wire::control::Operation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::answer::{counts, judge};
use crate::sources::endpoint;

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
pub(crate) async fn probe(source: &SourceDocument, network: &dyn Network) -> Result<String, Complaint> {
    let question = retention_policies(source);
    judge(source, &within(PATIENCE, ask(source, network, &question, ANSWER)).await?)
}

/// Points of each series that an operation would read, by the source's own count.
///
/// # Errors
/// Why they could not be counted.
pub(crate) async fn count(
    source: &SourceDocument,
    network: &dyn Network,
    operation: &Operation,
) -> Result<Vec<u64>, Complaint> {
    let question = match Query::from(operation).counting() {
        Ok(question) => question,
        Err(error) => return complain(codes::SOURCE_QUERY_REFUSED, error.to_string()),
    };
    let answer = within(COUNTING, ask(source, network, &question, COUNTS)).await?;
    if answer.len() as u64 >= COUNTS {
        return complain(codes::SOURCE_TOO_MANY_SERIES, format!("its counts have {COUNTS} bytes or more"));
    }
    counts(&answer)
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, Complaint>>,
) -> Result<T, Complaint> {
    let silent = |_elapsed| Complaint {
        code: codes::SOURCE_SILENT,
        detail: format!("no answer within {} s", patience.as_secs()),
    };
    tokio::time::timeout(patience, asked).await.map_err(silent)?
}

async fn ask(
    source: &SourceDocument,
    network: &dyn Network,
    influxql: &str,
    most: u64,
) -> Result<Vec<u8>, Complaint> {
    let addresses = addresses(source, network).await?;
    let exchange = async {
        let mut stream = TcpStream::connect(addresses.as_slice()).await?;
        stream.write_all(question(source, influxql).as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(most).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    exchange.await.map_err(|error| Complaint { code: codes::SOURCE_UNREACHABLE, detail: error.to_string() })
}

/// Where a source is, as far as the gateway would let the broker go there too.
async fn addresses(source: &SourceDocument, network: &dyn Network) -> Result<Vec<SocketAddr>, Complaint> {
    let endpoint = endpoint(source);
    let bare = endpoint.host.trim_start_matches('[').trim_end_matches(']');
    let found = match tokio::net::lookup_host((bare, endpoint.port)).await {
        Ok(found) => found,
        Err(error) => return complain(codes::SOURCE_NOT_RESOLVED, format!("{bare}: {error}")),
    };
    let (mut allowed, mut refused) = (Vec::new(), None);
    for address in found {
        match network.leads(endpoint.clone(), address.ip()) {
            Ok(()) => allowed.push(address),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if allowed.is_empty() => complain(codes::SOURCE_ADDRESS_REFUSED, error.to_string()),
        _ => Ok(allowed),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn source(retention: Option<&str>, user: Option<&str>) -> SourceDocument {
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
}
