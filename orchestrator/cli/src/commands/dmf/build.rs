//! `fades dmf build`: the image of a function.

use std::path::{Path, PathBuf};

use clap::Args;
use fades_envelope::{SigningKey, prove};
use fades_image_build::Builder;
use fades_pack::{Description, Function, MAX_IMAGE, Role};
use serde::Serialize;

use super::project::{Project, Where, built};
use crate::context::Context;
use crate::failure::{Failure, Result, chain};
use crate::files;
use crate::output::{Table, bytes};

/// Least memory of a function's guest, MiB: what kernel, heap and the regions' tables need.
const MEMORY_MIB: u32 = 32;
/// How the name of a debug file ends, beside that of its image.
const DEBUG: &str = "debug";

/// Arguments of `fades dmf build`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades dmf build --key author.key")]
pub(crate) struct Build {
    #[command(flatten)]
    place: Where,
    /// The image to make [default: NAME.fdmf in the crate's folder].
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The author's key, by which nodes trust the image; made if it is not there [default: author.key in the settings'
    /// folder, ~/.config/fades].
    #[arg(long, value_name = "FILE", env = "FADES_AUTHOR_KEY")]
    key: Option<PathBuf>,
}

/// What was built.
#[derive(Debug, Serialize)]
pub(super) struct Built {
    image: PathBuf,
    reference: String,
    version: String,
    size: u64,
    /// Bytes more than the image that lay there before, by section of the application; absent if none lay there.
    grew: Option<Vec<(String, i64)>>,
    minimum_memory_mib: u32,
    /// What a task must and may say under `dmf.parameters`.
    parameters: serde_json::Value,
    /// What tells the lines of a panic in it: for `fades task debug`.
    debug: PathBuf,
    signer: PathBuf,
}

impl Build {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let project = self.place.project()?;
        let builder = project.builder(!context.output().is_json());
        let key = Key::open(self.key.as_deref(), context)?;
        let image = packed(&project, &builder, &key.key)?;
        let path = match &self.image {
            Some(path) => path.clone(),
            None => project.file(Path::new(&format!("{}.fdmf", project.author.name()))),
        };
        let debug = path.with_extension(DEBUG);
        if debug == path {
            let message = format!("{}: this is where what a debugger reads goes", path.display());
            return Err(Failure::usage(message).hint("Give the image another ending, such as .fdmf."));
        }
        let before = files::read(&path, MAX_IMAGE).ok();
        std::fs::write(&path, &image.bytes).map_err(|error| Failure::system(path.display(), &error))?;
        std::fs::copy(&image.debug, &debug).map_err(|error| Failure::system(debug.display(), &error))?;
        let now = inspect(&image.bytes, &key.key)?;
        let old = before.and_then(|bytes| fades_pack::inspect(&bytes, |_| None).ok());
        let built = Built {
            reference: now.reference.clone(),
            version: now.manifest.version.to_string(),
            size: now.file_size,
            grew: old.map(|old| growth(&old.application_sections, &now.application_sections)),
            minimum_memory_mib: now.manifest.minimum_memory_mib,
            parameters: image.function.parameters,
            debug,
            signer: key.public,
            image: path,
        };
        context.output().show(&built, text)
    }
}

fn text(built: &Built) -> String {
    let properties = built.parameters["properties"].as_object().into_iter().flatten();
    let required: Vec<&str> = built.parameters["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| key.as_str())
        .collect();
    let asks = properties.map(|(key, schema)| {
        let kind = schema["type"].as_str().unwrap_or("value");
        match (required.contains(&key.as_str()), &schema["default"]) {
            (true, _) => format!("{key} ({kind})"),
            (false, serde_json::Value::Null) => format!("{key} ({kind}, optional)"),
            (false, default) => format!("{key} ({kind}, {default} if left out)"),
        }
    });
    let asks: Vec<String> = asks.collect();
    let grew = built
        .grew
        .as_ref()
        .map(|grew| grew.iter().map(|(section, by)| format!("{section} {by:+}")).collect());
    let or = |list: Vec<String>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
    Table::facts([
        ("image", built.image.display().to_string()),
        ("as tasks name it", built.reference.clone()),
        ("version", built.version.clone()),
        ("size", bytes(built.size)),
        (
            "grew, bytes",
            grew.map_or_else(|| "none lay there before".to_owned(), |grew| or(grew, "not at all")),
        ),
        ("memory at least", format!("{} MiB", built.minimum_memory_mib)),
        ("parameters", or(asks, "none")),
        ("for `task debug`", built.debug.display().to_string()),
        ("for nodes to trust", built.signer.display().to_string()),
    ])
    .text()
}

/// A packed image and what its function says of itself.
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(super) function: Function,
    /// What a debugger reads of it.
    pub(super) debug: PathBuf,
}

/// Builds and signs the function's image.
pub(crate) fn packed(project: &Project, builder: &Builder, key: &SigningKey) -> Result<Packed> {
    let read = |path: PathBuf| files::read(&path, MAX_IMAGE);
    // On the host first: the compiler's words about the author's code come sooner.
    let function = project.function(builder)?;
    let loader = read(builder.loader().map_err(|error| built(&error))?)?;
    let application = builder.author(&project.author).map_err(|error| built(&error))?;
    let debug = application.with_extension(DEBUG);
    let application = read(application)?;
    let author = &project.author;
    let refused =
        |error: &dyn std::error::Error| Failure::usage(format!("{}: {}", author.name(), chain(error)));
    let description = Description {
        name: author.name().parse().map_err(|error: fades_pack::NameError| refused(&error))?,
        version: author.version().parse().map_err(|error: fades_pack::VersionError| refused(&error))?,
        role: Role::Dmf,
        architecture: project.packed_for(),
        minimum_memory_mib: MEMORY_MIB,
        function: Some(function.clone()),
    };
    let bytes =
        fades_pack::pack(&description, &loader, &application, key).map_err(|error| refused(&error))?;
    Ok(Packed { bytes, function, debug })
}

fn inspect(bytes: &[u8], key: &SigningKey) -> Result<fades_pack::Inspection> {
    Ok(fades_pack::inspect(bytes, |_| Some(key.public()))?)
}

/// What each section has more or less than before.
fn growth(before: &[fades_pack::Section], now: &[fades_pack::Section]) -> Vec<(String, i64)> {
    let size = |sections: &[fades_pack::Section], name: &str| {
        let found = sections.iter().find(|section| section.name == name).map_or(0, |section| section.size);
        i64::try_from(found).unwrap_or(i64::MAX)
    };
    let mut names: Vec<&String> = now.iter().chain(before).map(|section| &section.name).collect();
    names.sort();
    names.dedup();
    let changes = names.into_iter().map(|name| (name.clone(), size(now, name) - size(before, name)));
    changes.filter(|(_, by)| *by != 0).collect()
}

/// The author's key, and the file by which nodes trust it.
pub(super) struct Key {
    pub(super) key: SigningKey,
    pub(super) public: PathBuf,
}

impl Key {
    /// Reads it, or makes it where it is not there yet.
    fn open(path: Option<&Path>, context: &Context) -> Result<Self> {
        let path = path.map_or_else(settings, |path| Ok(path.to_owned()))?;
        let public = files::proof_path(&path);
        if path.exists() {
            return Ok(Self { key: SigningKey::read(&path)?, public });
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| Failure::system(folder.display(), &error))?;
        }
        let key = SigningKey::generate()?;
        let proof = prove(&key, "author").map_err(|error| Failure::system("the key's proof", &error))?;
        key.create(&path)?;
        files::create(&public, &proof, 0o644)?;
        context.output().note(&format!("made {}, which signs your images: keep it", path.display()));
        Ok(Self { key, public })
    }
}

fn settings() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = base.or(home).ok_or_else(|| Failure::usage("there is no home folder: give --key FILE"))?;
    Ok(folder.join("fades/author.key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_by_section() {
        let section = |name: &str, size| fades_pack::Section { name: name.into(), size, file_size: size };
        let (before, now) =
            ([section(".text", 5), section(".gone", 1)], [section(".text", 9), section(".new", 2)]);
        let told = [(".gone", -1), (".new", 2), (".text", 4)].map(|(name, by)| (name.to_owned(), by));
        assert_eq!(growth(&before, &now), told);
        assert!(growth(&now, &now).is_empty());
    }
}
