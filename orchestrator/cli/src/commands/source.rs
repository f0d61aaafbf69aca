//! `fades source`: where the broker may fetch data.

mod record;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fades_api::codes;
use fades_api::http::{SourceDocument, SourceList, SourceTest};
use fades_api::task::Name;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, micros};

/// What to do about a source that a test did not reach; the catalogue's advice is to test it.
const UNREACHED: &str = "See on the node's machine that the database runs and is reached at the address that \
    `fades source ls` shows, with this database, user and password.";
/// Port of InfluxDB where an address names none.
const INFLUXDB_PORT: u16 = 8086;

/// Register where data comes from.
#[derive(Debug, Subcommand)]
pub(crate) enum Source {
    /// Register a source, or replace it.
    #[command(
        after_help = "Example:\n  fades source add testbed influxdb1 http://127.0.0.1:8086 --database testbed"
    )]
    Add {
        /// How operations name it.
        name: Name,
        #[command(subcommand)]
        kind: Kind,
    },
    /// List the sources, without passwords.
    #[command(after_help = "Example:\n  fades source ls --node ./edge-1")]
    Ls,
    /// Ask a source whether it is there, from the node.
    #[command(after_help = "Example:\n  fades source test testbed")]
    Test {
        /// The source.
        name: Name,
    },
    /// Record points of a source into a fixture, for functions to be tried on.
    #[command(
        after_help = "Example:\n  fades source record testbed --task task.toml --from 2026-01-01T00:00:00Z \
        --to 2026-01-01T01:00:00Z --out hour.fpt --key service.key"
    )]
    Record(record::Record),
    /// Remove a source.
    #[command(after_help = "Example:\n  fades source rm testbed")]
    Rm {
        /// The source.
        name: Name,
    },
}

/// What a source is.
#[derive(Debug, Subcommand)]
pub(crate) enum Kind {
    /// InfluxDB 1.x over HTTP.
    #[command(after_help = "Example:\n  \
        fades source add testbed influxdb1 http://127.0.0.1:8086 --database testbed --user edge --password-file pw")]
    Influxdb1(InfluxDb1),
}

/// Arguments of InfluxDB 1.x.
#[derive(Debug, Args)]
pub(crate) struct InfluxDb1 {
    /// http://HOST:PORT, as the node reaches it.
    url: String,
    /// The name may mean an address of the site's own network (10.0.0.0/8, 192.168.0.0/16 and the like). Not needed for
    /// an address written out.
    #[arg(long)]
    allow_private: bool,
    /// The database.
    #[arg(long, value_name = "DB")]
    database: String,
    /// The retention policy, where it is not the database's default.
    #[arg(long, value_name = "NAME")]
    retention: Option<String>,
    /// User name, where it wants one.
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// A file with the password in its first line; kept off the command line, where others could see it.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl Source {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let none = None::<&()>;
        match self {
            // As an issuer; all else is the operator's.
            Self::Record(command) => command.run(context),
            Self::Add { name, kind: Kind::Influxdb1(influxdb) } => {
                let client = context.operator()?;
                let document = influxdb.document()?;
                let path = format!("/v1/admin/sources/{name}");
                let shown: SourceDocument =
                    context.run(async { Ok(client.call("PUT", &path, Some(&document)).await?) })?;
                let list = SourceList { sources: [(name, shown)].into() };
                context.output().show(&list, table)
            }
            Self::Ls => {
                let client = context.operator()?;
                let list: SourceList =
                    context.run(async { Ok(client.call("GET", "/v1/admin/sources", none).await?) })?;
                context.output().show(&list, table)
            }
            Self::Test { name } => {
                let client = context.operator()?;
                let path = format!("/v1/admin/sources/{name}/test");
                let test: SourceTest = context.run(async { Ok(client.call("POST", &path, none).await?) })?;
                context.output().show(&test, |test| {
                    let verdict = if test.ok { "ok" } else { "fail" };
                    format!(
                        "{verdict}  {name}  {}  {}\n",
                        crate::output::plain(&test.detail),
                        micros(test.took_us)
                    )
                })?;
                if test.ok {
                    Ok(())
                } else {
                    let failure = Failure::new(test.code.unwrap_or(codes::SOURCE_UNREACHABLE), test.detail);
                    Err(if failure.code == Some(codes::SOURCE_UNREACHABLE) {
                        failure.hint(UNREACHED)
                    } else {
                        failure
                    })
                }
            }
            Self::Rm { name } => {
                let client = context.operator()?;
                let path = format!("/v1/admin/sources/{name}");
                context.run(async { Ok(client.call::<Option<()>>("DELETE", &path, none).await?) })?;
                context.output().note(&format!("source {name} is removed"));
                Ok(())
            }
        }
    }
}

fn table(list: &SourceList) -> String {
    let mut table = Table::new(&["source", "kind", "address", "database", "user"]);
    for (name, source) in &list.sources {
        let SourceDocument::InfluxDb1 { host, port, database, user, .. } = source;
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let user = user.clone().unwrap_or_default();
        table.row([name.to_string(), "influxdb1".to_owned(), address, database.clone(), user]);
    }
    table.text_or("no sources")
}

impl InfluxDb1 {
    fn document(&self) -> Result<SourceDocument> {
        let (host, port) = host_and_port(&self.url)?;
        let password = match &self.password_file {
            None => None,
            Some(path) => {
                let text = files::read_text(path, 4096)?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        Ok(SourceDocument::InfluxDb1 {
            host,
            port,
            allow_private: self.allow_private,
            database: self.database.clone(),
            retention: self.retention.clone(),
            user: self.user.clone(),
            password,
        })
    }
}

/// Host and port of `http://HOST[:PORT][/]`. What else an address may hold has no meaning here and is refused.
fn host_and_port(url: &str) -> Result<(String, u16)> {
    let refuse = || {
        let refused = Failure::usage(format!("{url:?} is not http://HOST:PORT"));
        if url.starts_with("https://") {
            refused.hint("Sources are read without TLS as yet.")
        } else {
            refused
        }
    };
    let rest = url.strip_prefix("http://").ok_or_else(refuse)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':'))).ok_or_else(refuse)?
        }
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => INFLUXDB_PORT,
        Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or_else(refuse)?,
    };
    let strange = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#' | '[' | ']');
    if host.is_empty() || host.contains(strange) {
        return Err(refuse());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sources() {
        let parsed = |url: &str| host_and_port(url).unwrap();
        assert_eq!(parsed("http://db.example:99"), ("db.example".to_owned(), 99));
        assert_eq!(parsed("http://db.example/"), ("db.example".to_owned(), 8086));
        assert_eq!(parsed("http://[::1]:99"), ("::1".to_owned(), 99));
        for url in [
            "db:1",
            "https://db:1",
            "http://",
            "http://u@db:1",
            "http://db:1/x",
            "http://db:0",
            "http://::1:1",
        ] {
            assert!(host_and_port(url).is_err(), "{url}");
        }
    }
}
