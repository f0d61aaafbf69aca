//! `fades issuer`: who may ask the node for what.

use std::path::PathBuf;

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::{Args, Subcommand};
use fades_api::codes;
use fades_api::http::{
    ImageList, IssuerList, IssuerUpdate, IssuerView, PolicyDocument, SourceList, SourcePolicy,
};
use fades_api::task::{Label, Name};
use jiff::Timestamp;

use crate::context::Context;
use crate::failure::{Failure, Result, chain};
use crate::files;
use crate::output::{Table, bytes};

/// Largest policy file, bytes; the node reads no more either.
const POLICY_BYTES: usize = 64 * 1024;

/// Say who may ask the node for what.
#[derive(Debug, Subcommand)]
pub(crate) enum Issuer {
    /// Add an issuer, or another key or policy of one that is known.
    #[command(after_help = "Examples:\n  \
        fades issuer add service.key.pub --policy policy.toml\n  \
        fades issuer add service.key.pub --source testbed --image stats --image window\n  \
        fades issuer add service.key.pub --source testbed:temperature.value --image stats:1.2.0+ --priority 3\n  \
        fades issuer add service.key.pub --source testbed --image baseline --periods 10000\n  \
        fades issuer add service.key.pub --source testbed --image stats --group-points 100 --result-per-mille 20\n\n\
        Without --policy and without --source or --image the policy stays as it is; a new issuer may do nothing.")]
    Add(Box<Add>),
    /// List the issuers with their keys.
    #[command(after_help = "Example:\n  fades issuer ls --node ./edge-1")]
    Ls,
    /// Revoke the keys of an issuer, for ever.
    #[command(after_help = "Example:\n  fades issuer revoke pollution.example")]
    Revoke {
        /// The issuer.
        name: Name,
        /// Only the key with this id.
        #[arg(long, value_name = "KEY_ID")]
        key: Option<String>,
    },
}

/// Arguments of `fades issuer add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The proof of possession that `fades key new` made.
    proof: PathBuf,
    /// What it may do, as TOML; what is not in it is not allowed.
    #[arg(long, value_name = "FILE", conflicts_with = "Allow")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    allow: Allow,
    /// The key is not valid before this (RFC 3339).
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    /// The key is not valid from this on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    not_after: Option<Timestamp>,
}

/// A policy in flags. Its numbers have defaults, which a file's have not.
#[derive(Debug, Args)]
#[group(multiple = true)]
pub(crate) struct Allow {
    /// A source that it may read: NAME, NAME:MEASUREMENT or NAME:MEASUREMENT.FIELD; may be repeated.
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// An image that it may run: NAME, NAME:VERSION+ for this version and later ones, or NAME@sha256:DIGEST; may be repeated.
    /// The highest VERSION+ is the least of its name, whatever else allows it.
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<String>,
    /// Another issuer whose tasks it may read; may be repeated.
    #[arg(long = "reads", value_name = "ISSUER")]
    reads: Vec<Name>,
    /// Most memory of a function, MiB [default: 64].
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u32>,
    /// Longest timeout of a task, ms [default: 60000].
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u32>,
    /// Highest priority, 0 to 9 [default: 5].
    #[arg(long, value_name = "0-9")]
    priority: Option<u8>,
    /// Largest result, bytes [default: 1048576].
    #[arg(long, value_name = "BYTES")]
    result_bytes: Option<u64>,
    /// Most fields of a result: members of objects and elements of arrays [default: without bound].
    #[arg(long, value_name = "N")]
    result_fields: Option<u32>,
    /// Leak budget: most bytes of a result for 1,000 bytes that were read for it [default: without bound].
    #[arg(long, value_name = "N")]
    result_per_mille: Option<u32>,
    /// Fewest points of every series that is read; with fewer no result leaves [default: without bound].
    #[arg(long, value_name = "N")]
    group_points: Option<u64>,
    /// Fewest series of every operation; with fewer no result leaves [default: without bound].
    #[arg(long, value_name = "N")]
    group_series: Option<u32>,
    /// Most operations of a task [default: 16].
    #[arg(long, value_name = "N")]
    operations: Option<u32>,
    /// Longest range of times of an operation, seconds [default: without bound].
    #[arg(long, value_name = "SECONDS")]
    range_s: Option<u64>,
    /// Longest life of a wrapper, seconds [default: 86400].
    #[arg(long, value_name = "SECONDS")]
    life_s: Option<u64>,
    /// Most tasks waiting and running [default: 16].
    #[arg(long, value_name = "N")]
    tasks: Option<u32>,
    /// Tasks per minute in the long run [default: 60].
    #[arg(long, value_name = "N")]
    per_minute: Option<u32>,
    /// Tasks at once after a pause [default: 16].
    #[arg(long, value_name = "N")]
    burst: Option<u32>,
    /// Most periods of a persistent task [default: 0, which allows none such].
    #[arg(long, value_name = "N")]
    periods: Option<u32>,
    /// Most bytes that a function keeps between periods [default: 262144 with --periods, which is the most].
    #[arg(long, value_name = "BYTES")]
    state_bytes: Option<u64>,
}

impl Issuer {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let client = context.operator()?;
        match self {
            Self::Add(add) => {
                let (name, update) = add.update()?;
                let path = format!("/v1/admin/issuers/{name}");
                let view: IssuerView =
                    context.run(async { Ok(client.call("PUT", &path, Some(&update)).await?) })?;
                context.output().show(&view, |view| table(std::slice::from_ref(view)))?;
                let there = context.run(async {
                    let sources: SourceList = client.call("GET", "/v1/admin/sources", None::<&()>).await?;
                    let images: ImageList = client.call("GET", "/v1/admin/images", None::<&()>).await?;
                    Ok((sources, images))
                });
                // Who cannot be warned has added the issuer all the same.
                for missing in there
                    .map_or_else(|_| Vec::new(), |(sources, images)| missing(&view.policy, &sources, &images))
                {
                    context.output().note(&format!("warning: this node has no {missing} yet"));
                }
                Ok(())
            }
            Self::Ls => {
                let list: IssuerList =
                    context.run(async { Ok(client.call("GET", "/v1/admin/issuers", None::<&()>).await?) })?;
                context.output().show(&list, |list| table(&list.issuers))
            }
            Self::Revoke { name, key } => {
                let path = match key {
                    None => format!("/v1/admin/issuers/{name}"),
                    Some(key) => format!("/v1/admin/issuers/{name}/keys/{}", key_id(&key)?),
                };
                let view: IssuerView =
                    context.run(async { Ok(client.call("DELETE", &path, None::<&()>).await?) })?;
                context.output().show(&view, |view| table(std::slice::from_ref(view)))
            }
        }
    }
}

/// What a policy names and the node does not have, which may come later, or be misspelt.
fn missing(policy: &PolicyDocument, sources: &SourceList, images: &ImageList) -> Vec<String> {
    let no_source = policy.sources.keys().filter(|name| !sources.sources.contains_key(*name));
    let of_name = |image: &str| image.split([':', '@']).next().unwrap_or(image).to_owned();
    let has =
        |name: &String| images.images.iter().any(|image| of_name(&image.reference.to_string()) == *name);
    let no_image = policy.images.iter().map(|image| of_name(image)).filter(|name| !has(name));
    no_source
        .map(|name| format!("source {name}"))
        .chain(no_image.map(|name| format!("image {name}")))
        .collect()
}

/// A key id in its one form, so that it can stand in a path.
pub(super) fn key_id(text: &str) -> Result<fades_envelope::KeyId> {
    text.parse().map_err(|error| Failure::usage(format!("{text:?} is no key id: {error}")))
}

fn table(issuers: &[IssuerView]) -> String {
    let mut table =
        Table::new(&["issuer", "key id", "state", "sources", "images", ">memory", ">priority", ">result"]);
    for IssuerView { name, keys, policy } in issuers {
        let sources: Vec<String> =
            policy.sources.iter().flat_map(|(name, source)| allowed(name, source)).collect();
        let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(",") };
        for key in keys {
            table.row([
                name.to_string(),
                key.key_id.clone(),
                key.state.clone(),
                list(&sources),
                list(&policy.images),
                format!("{} MiB", policy.memory_mib),
                policy.priority.to_string(),
                bytes(policy.result_bytes),
            ]);
        }
    }
    table.text_or("no issuers")
}

/// What may be read of a source, in the words that `--source` takes.
fn allowed(name: &Name, source: &SourcePolicy) -> Vec<String> {
    if source.everything {
        return vec![name.to_string()];
    }
    if source.measurements.is_empty() {
        return vec![format!("{name}:(nothing)")];
    }
    let of_measurement = |(measurement, fields): (&Label, &Vec<Label>)| match fields.as_slice() {
        [] => vec![format!("{name}:{measurement}")],
        fields => fields.iter().map(|field| format!("{name}:{measurement}.{field}")).collect(),
    };
    source.measurements.iter().flat_map(of_measurement).collect()
}

impl Add {
    fn update(&self) -> Result<(Name, IssuerUpdate)> {
        let (proof, enrolment) = files::read_proof(&self.proof)?;
        let name: Name = enrolment.name.parse().map_err(|error| {
            Failure::new(codes::NAME_REFUSED, format!("{}: {error}", self.proof.display()))
        })?;
        let policy = match &self.policy {
            Some(path) => Some(policy_file(path)?),
            None => self.allow.policy()?,
        };
        let update = IssuerUpdate {
            proof: Some(Base64UrlUnpadded::encode_string(&proof)),
            not_before: self.not_before,
            not_after: self.not_after,
            policy,
        };
        Ok((name, update))
    }
}

fn policy_file(path: &std::path::Path) -> Result<PolicyDocument> {
    toml::from_str(&files::read_text(path, POLICY_BYTES)?)
        .map_err(|error| Failure::new(codes::TOML_SYNTAX, format!("{}: {}", path.display(), chain(&error))))
}

impl Allow {
    /// Whether anything but sources and images is given.
    fn has_bounds(&self) -> bool {
        let Self { sources: _, images: _, reads, memory_mib, timeout_ms, priority, .. } = self;
        let Self { result_bytes, operations, range_s, life_s, tasks, per_minute, burst, .. } = self;
        let Self {
            periods, state_bytes, result_fields, result_per_mille, group_points, group_series, ..
        } = self;
        let small = [memory_mib, timeout_ms, operations, tasks, per_minute, burst, periods];
        let small = small.into_iter().chain([result_fields, result_per_mille, group_series]);
        let large = [result_bytes, range_s, life_s, state_bytes, group_points];
        !reads.is_empty()
            || priority.is_some()
            || small.into_iter().any(Option::is_some)
            || large.iter().any(|bound| bound.is_some())
    }

    /// The policy that the flags spell; none where there are no flags.
    fn policy(&self) -> Result<Option<PolicyDocument>> {
        if self.sources.is_empty() && self.images.is_empty() {
            return if self.has_bounds() {
                Err(Failure::usage("bounds alone make no policy")
                    .hint("Give --source and --image as well, or --policy."))
            } else {
                Ok(None)
            };
        }
        let mut policy = PolicyDocument {
            images: self.images.clone(),
            memory_mib: self.memory_mib.unwrap_or(64),
            timeout_ms: self.timeout_ms.unwrap_or(60_000),
            priority: self.priority.unwrap_or(5),
            result_bytes: self.result_bytes.unwrap_or(1 << 20),
            result_fields: self.result_fields,
            result_per_mille: self.result_per_mille,
            group_points: self.group_points,
            group_series: self.group_series,
            operations: self.operations.unwrap_or(16),
            range_s: self.range_s,
            life_s: self.life_s.unwrap_or(24 * 60 * 60),
            tasks: self.tasks.unwrap_or(16),
            per_minute: self.per_minute.unwrap_or(60),
            burst: self.burst.unwrap_or(16),
            periods: self.periods.unwrap_or(0),
            state_bytes: self.state_bytes.unwrap_or(if self.periods.is_some() { 256 << 10 } else { 0 }),
            reads: self.reads.clone(),
            ..PolicyDocument::default()
        };
        for text in &self.sources {
            allow_source(&mut policy, text)?;
        }
        Ok(Some(policy))
    }
}

/// Adds `NAME`, `NAME:MEASUREMENT` or `NAME:MEASUREMENT.FIELD`.
fn allow_source(policy: &mut PolicyDocument, text: &str) -> Result<()> {
    let refuse = |error: &dyn std::fmt::Display| Failure::usage(format!("--source {text:?}: {error}"));
    let (name, measurement) = match text.split_once(':') {
        Some((name, measurement)) => (name, Some(measurement)),
        None => (text, None),
    };
    let name: Name = name.parse().map_err(|error| refuse(&error))?;
    let source = policy.sources.entry(name).or_insert_with(|| SourcePolicy {
        measurements: std::collections::BTreeMap::new(),
        everything: false,
    });
    let Some(measurement) = measurement else {
        source.everything = true;
        return Ok(());
    };
    let (measurement, field) = match measurement.rsplit_once('.') {
        Some((measurement, field)) => (measurement, Some(field)),
        None => (measurement, None),
    };
    let measurement: Label = measurement.parse().map_err(|error| refuse(&error))?;
    let fields = source.measurements.entry(measurement).or_default();
    if let Some(field) = field {
        fields.push(field.parse().map_err(|error| refuse(&error))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(words: &[&str]) -> std::result::Result<Add, clap::Error> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            add: Add,
        }
        use clap::Parser;
        Line::try_parse_from(["add", "x.pub"].iter().chain(words)).map(|line| line.add)
    }

    #[test]
    fn flags_spell_a_policy() {
        assert_eq!(add(&[]).unwrap().allow.policy().unwrap(), None);
        let words = [
            "--source", "a", "--source", "b:t", "--source", "b:h.v", "--source", "b:h.w", "--image", "stats",
        ];
        let policy = add(&words).unwrap().allow.policy().unwrap().unwrap();
        let json = serde_json::to_value(&policy).unwrap();
        assert_eq!(json["sources"]["a"]["everything"], true);
        assert_eq!(json["sources"]["b"]["everything"], false);
        assert_eq!(json["sources"]["b"]["measurements"]["t"], serde_json::json!([]));
        assert_eq!(json["sources"]["b"]["measurements"]["h"], serde_json::json!(["v", "w"]));
        assert_eq!((&json["images"][0], &json["memory_mib"]), (&"stats".into(), &64.into()));
        // the table shows what was asked for, and no more
        let shown: Vec<String> =
            policy.sources.iter().flat_map(|(name, source)| allowed(name, source)).collect();
        assert_eq!(shown, ["a", "b:h.v", "b:h.w", "b:t"]);
        assert_eq!((policy.periods, policy.state_bytes), (0, 0));
        let persistent =
            add(&[&words[..], &["--periods", "9"]].concat()).unwrap().allow.policy().unwrap().unwrap();
        assert_eq!((persistent.periods, persistent.state_bytes), (9, 262_144));
        assert!(add(&["--periods", "9"]).unwrap().allow.policy().is_err());
        assert!(add(&["--priority", "3"]).unwrap().allow.policy().is_err());
        assert!(add(&["--source", "a/b"]).unwrap().allow.policy().is_err());
    }

    #[test]
    fn a_policy_comes_from_a_file_or_from_flags() {
        assert!(add(&["--policy", "p.toml", "--image", "stats"]).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "images = [\"stats\"]\nmemory_mib = 64\n[sources.a]\neverything = true\n",
        )
        .unwrap();
        let policy = policy_file(file.path()).unwrap();
        assert_eq!((policy.memory_mib, policy.timeout_ms, policy.sources.len()), (64, 0, 1));
        std::fs::write(file.path(), "memory = 64").unwrap();
        let failure = policy_file(file.path()).unwrap_err();
        assert!(failure.message.contains("unknown field"), "{}", failure.message);
    }
}
