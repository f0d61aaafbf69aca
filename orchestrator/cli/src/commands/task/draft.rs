//! From a file to an envelope: what people leave out is filled in from the node, the key and the clock.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use fades_api::codes;
use fades_api::http::{ImageInfo, NodeInfo};
use fades_api::task::{Completion, Name, NodeEpoch, TaskDraft, TaskId, Wrapper, limits};
use fades_envelope::{MAX_ENVELOPE, PublicKey, Purpose, SigningKey, parse, sign};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::span;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;

/// How a draft is completed.
#[derive(Debug, Args)]
pub(crate) struct Completing {
    /// The issuer, where neither the draft nor FILE.pub beside the key names it.
    #[arg(long)]
    issuer: Option<Name>,
    /// How long the wrapper is good for, of a persistent task from its `until` on, where the draft does not say.
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = span)]
    valid: SignedDuration,
    /// How urgent it is, 0 to 9, where the draft does not say.
    #[arg(long, value_name = "0-9", default_value_t = PRIORITY, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
}

/// As where nothing is given.
impl Default for Completing {
    fn default() -> Self {
        Self { issuer: None, valid: VALID, priority: PRIORITY }
    }
}

/// How long a wrapper is good for where nobody says.
const VALID: SignedDuration = SignedDuration::from_mins(10);
/// How urgent a task is where nobody says.
const PRIORITY: u8 = 5;

/// Arguments of `fades task sign`.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The task, as TOML or JSON.
    file: PathBuf,
    /// The issuer's key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write the envelope here instead of to stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    completing: Completing,
}

#[derive(Serialize)]
struct Signed {
    task: TaskId,
    expires_at: Timestamp,
    /// Base64url without padding.
    envelope: String,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let key = SigningKey::read(&self.key)?;
        let draft = read_draft(&self.file)?;
        let wrapper = self.completing.complete(context, &draft, &key, &self.key)?;
        let envelope = seal(&key, &wrapper)?;
        let output = context.output();
        if let Some(path) = &self.out {
            files::create(path, &envelope, 0o644)?;
            output.note(&format!("task {} is in {}", wrapper.credentials.task_id, path.display()));
            return Ok(());
        }
        if output.is_json() {
            let signed = Signed {
                task: wrapper.credentials.task_id,
                expires_at: wrapper.credentials.expires_at,
                envelope: Base64UrlUnpadded::encode_string(&envelope),
            };
            return output.show(&signed, |_| String::new());
        }
        if std::io::stdout().is_terminal() {
            let failure = Failure::usage("an envelope is bytes, and stdout is a terminal");
            return Err(failure.hint("Give --out FILE, `> FILE`, or -o json."));
        }
        output.raw(&envelope)
    }
}

/// What `fades task submit` is given.
pub(crate) enum Input {
    /// A draft to complete and sign.
    Draft(TaskDraft),
    /// An envelope, checked as far as it can be without the key.
    Envelope(Vec<u8>),
}

/// Reads a draft, or an envelope that is signed already.
pub(crate) fn read_input(path: &Path) -> Result<Input> {
    let contents = files::read(path, MAX_ENVELOPE)?;
    if !files::is_envelope(&contents) {
        return Ok(Input::Draft(read_draft(path)?));
    }
    let envelope = parse(&contents)
        .map_err(|error| Failure::new(codes::CBOR_MALFORMED, format!("{}: {error}", path.display())))?;
    if envelope.purpose() != Purpose::Task {
        let message = format!("{} holds {}, not a task", path.display(), envelope.content_type());
        return Err(Failure::new(codes::PURPOSE_WRONG, message));
    }
    Ok(Input::Envelope(contents))
}

/// JSON begins with a brace, which no TOML does.
fn read_draft(path: &Path) -> Result<TaskDraft> {
    let text = files::read_text(path, limits::DOCUMENT_BYTES)?;
    let draft = match text.trim_start().starts_with('{') {
        true => TaskDraft::from_json(text.as_bytes()),
        false => TaskDraft::from_toml(&text),
    };
    draft.map_err(|error| {
        let failure = Failure::from(error);
        Failure { message: format!("{}: {}", path.display(), failure.message), ..failure }
    })
}

/// The wrapper in its envelope.
pub(super) fn seal(key: &SigningKey, wrapper: &Wrapper) -> Result<Vec<u8>> {
    let envelope = sign(key, Purpose::Task, &wrapper.to_json());
    if envelope.len() > MAX_ENVELOPE {
        let message = format!("the envelope has {} bytes, nodes read {MAX_ENVELOPE}", envelope.len());
        return Err(Failure::new(codes::ENVELOPE_TOO_LARGE, message));
    }
    Ok(envelope)
}

impl Completing {
    /// Fills in what the draft leaves out. The node is asked only if it is needed for that.
    pub(super) fn complete(
        &self,
        context: &Context,
        draft: &TaskDraft,
        key: &SigningKey,
        key_path: &Path,
    ) -> Result<Wrapper> {
        self.complete_for(context, draft, Some(&files::proof_path(key_path)), |enrolled| {
            *enrolled == key.public()
        })
    }

    /// The same for whom `proof` names, if the key in it is the one that is meant. Nothing is signed.
    pub(crate) fn complete_for(
        &self,
        context: &Context,
        draft: &TaskDraft,
        proof: Option<&Path>,
        is_meant: impl Fn(&PublicKey) -> bool,
    ) -> Result<Wrapper> {
        let asks = draft.needs_image_digest()
            || ["audience", "node_epoch"].into_iter().any(|key| draft.credential(key).is_none());
        let node = match asks {
            true => Some(context.run(async { Ok(context.client()?.node().await?) })?),
            false => None,
        };
        let issuer = self.issuer(draft, proof, is_meant)?;
        let completion = self.completion(draft, node.as_ref(), issuer)?;
        Ok(draft.complete(&completion)?)
    }

    fn completion(&self, draft: &TaskDraft, node: Option<&NodeInfo>, issuer: Name) -> Result<Completion> {
        // without a node the draft names both itself, and these are not looked at
        let (audience, node_epoch) = match node {
            Some(node) => (node.node.clone(), node.epoch),
            None => (issuer.clone(), NodeEpoch([0; 16])),
        };
        let issued_at = match draft.credential("issued_at").map(str::parse) {
            Some(Ok(time)) => time,
            _ => Timestamp::now(),
        };
        let expires_at = draft
            .persistent_until()
            .map_or(issued_at, |until| until.max(issued_at))
            .checked_add(self.valid)
            .map_err(|error| Failure::usage(format!("--valid: {error}")))?;
        let image =
            node.filter(|_| draft.needs_image_digest()).and_then(|node| newest(draft.image(), &node.images));
        Ok(Completion {
            task_id: TaskId(ulid::Ulid::new()),
            issuer,
            audience,
            node_epoch,
            priority: self.priority,
            issued_at,
            expires_at,
            image: image.map(|image| image.reference.clone()),
        })
    }

    /// `--issuer`, else what the proof beside the key says. A draft that names its issuer needs neither.
    fn issuer(
        &self,
        draft: &TaskDraft,
        proof: Option<&Path>,
        is_meant: impl Fn(&PublicKey) -> bool,
    ) -> Result<Name> {
        let written = draft.credential("issuer").and_then(|name| name.parse().ok());
        if let Some(name) = written.or_else(|| self.issuer.clone()) {
            return Ok(name);
        }
        let named = match proof.map(files::read_proof) {
            Some(Ok((_, enrolment))) if is_meant(&enrolment.key) => enrolment.name.parse().ok(),
            _ => None,
        };
        named.ok_or_else(|| {
            let nor = proof.map(|proof| format!(", and not {}", proof.display())).unwrap_or_default();
            let message = format!("nobody says who the issuer is: not the draft{nor}");
            Failure::new(codes::DRAFT_INCOMPLETE, message).hint("Give --issuer NAME.")
        })
    }
}

/// The image that a name means: one for the node's own processor before others, then the newest version as far as it is
/// numbers, then the build that was added last.
fn newest<'a>(name: &str, images: &'a [ImageInfo]) -> Option<&'a ImageInfo> {
    let version = |image: &ImageInfo| -> Vec<u64> {
        image.version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0)).collect()
    };
    images
        .iter()
        .filter(|image| image.reference.name.as_str() == name)
        .max_by_key(|image| (image.native, version(image), image.added_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn image(name: &str, version: &str) -> ImageInfo {
        serde_json::from_value(serde_json::json!({
            "reference": format!("{name}@sha256:{}", "0".repeat(64)), "version": version, "role": "dmf", "size": 1,
            "minimum_memory_mib": 16, "native": true, "added_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_image_is_taken() {
        let images = [image("stats", "0.9.0"), image("stats", "0.10.0"), image("window", "2.0.0")];
        assert_eq!(newest("stats", &images).unwrap().version, "0.10.0");
        assert!(newest("quantiles", &images).is_none());
    }

    #[test]
    fn of_several_builds_the_nodes_own_and_last_is_taken() {
        let build = |version: &str, native: bool, hour: u32| ImageInfo {
            native,
            added_at: format!("2026-01-01T{hour:02}:00:00Z").parse().unwrap(),
            ..image("stats", version)
        };
        let images = [build("1.0.0", true, 9), build("1.2.0", true, 3), build("1.2.0", true, 5)];
        let taken = |images: &[ImageInfo]| newest("stats", images).cloned().unwrap();
        assert_eq!(taken(&images), images[2]);
        // in whatever order the node lists them
        let turned: Vec<ImageInfo> = images.iter().rev().cloned().collect();
        assert_eq!(taken(&turned), images[2]);
        // a newer one that the node would translate is taken where there is no other
        let foreign = [build("2.0.0", false, 7), build("1.2.0", false, 8)];
        assert_eq!(taken(&[&images[..], &foreign].concat()), images[2]);
        assert_eq!(taken(&foreign), foreign[0]);
    }

    #[test]
    fn inputs_are_told_apart_and_mistakes_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let key = SigningKey::from_seed(&[1; 32]);
        let task = write("a.cose", &sign(&key, Purpose::Task, b"{}"));
        assert!(matches!(read_input(&task), Ok(Input::Envelope(_))));
        let receipt = write("b.cose", &sign(&key, Purpose::Receipt, b"{}"));
        assert_eq!(read_input(&receipt).err().unwrap().code, Some(codes::PURPOSE_WRONG));
        let broken = write("c.toml", b"[drb]\noperationz = []\n[dmf]\nimage = \"stats\"\n");
        let failure = read_input(&broken).err().unwrap();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("c.toml"), "{}", failure.message);
    }
}
