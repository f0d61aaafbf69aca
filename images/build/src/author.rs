//! Functions that people write: crates outside this workspace whose one dependency of ours is `dmf-kit`.
//!
//! ```text
//! target/stage/NAME/    Cargo.toml   a workspace of one
//!                       Cargo.lock   the author's
//!                       function/    what the author wrote, `dmf-kit` found at ../kit
//!                       kit ->       this workspace
//! ```
//! Cargo and compiler put paths into what they make. Here every path below the stage is the same, wherever the author's crate has
//! its folder, and so are the bytes that come out. The kit lies below the stage for the same reason: it may be anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

use crate::error::BuildError;
use crate::{Builder, files, run};

/// The crate of ours that authors depend on.
const KIT: &str = "dmf-kit";
/// Where it lies, seen from the staged crate.
const STAGED_KIT: &str = "../kit/dmf-kit/dmf";
/// What is not the author's work.
const NOT_STAGED: [&str; 2] = ["target", "Cargo.lock"];

/// A crate with a function in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    folder: PathBuf,
    name: String,
    version: String,
}

impl Author {
    /// The crate in this folder.
    ///
    /// # Errors
    /// There is none, or it does not name itself, its version, and `dmf-kit` among its dependencies.
    pub fn at(folder: &Path) -> Result<Self, BuildError> {
        let manifest = read_manifest(folder)?;
        let refused = |why: &str| BuildError::NoFunction { path: folder.to_owned(), why: why.to_owned() };
        let text = |key: &str| {
            let found = manifest.get("package").and_then(|package| package.get(key)).and_then(Value::as_str);
            found.map(str::to_owned).ok_or_else(|| refused(&format!("its Cargo.toml has no package.{key}")))
        };
        if manifest.get("dependencies").and_then(|all| all.get(KIT)).is_none() {
            return Err(refused("dmf-kit is not among its dependencies"));
        }
        let folder = folder.canonicalize().map_err(BuildError::file("find", folder))?;
        Ok(Self { name: text("name")?, version: text("version")?, folder })
    }

    /// Its name, and its image's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, and its image's.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tells it from others of its name: 16 hexadecimal digits, by its folder.
    pub(crate) fn key(&self) -> String {
        let mut key = files::Key::default();
        key.add(self.folder.as_os_str().as_encoded_bytes());
        key.finish()
    }

    /// Lays it out as told above; the stage's folder. What has not changed keeps its time, so that it is not built again.
    pub(crate) fn stage(&self, builder: &Builder) -> Result<PathBuf, BuildError> {
        let stage = builder.target_dir().join("stage").join(&self.name);
        let function = stage.join("function");
        fs::create_dir_all(&function).map_err(BuildError::file("make", &function))?;
        mirror(&self.folder, &function, true)?;
        let mut manifest = read_manifest(&self.folder)?;
        manifest.remove("workspace");
        redirect(&mut manifest, &self.folder);
        put(&function.join("Cargo.toml"), manifest.to_string().as_bytes())?;
        // The kit is a workspace of its own.
        let workspace = b"[workspace]\nmembers = [\"function\"]\nexclude = [\"kit\"]\nresolver = \"3\"\n";
        put(&stage.join("Cargo.toml"), workspace)?;
        let (lock, staged) = (self.folder.join("Cargo.lock"), stage.join("Cargo.lock"));
        match lock.is_file() {
            true => put(&staged, &files::read(&lock)?)?,
            false => files::remove(&staged)?,
        }
        files::link(builder.workspace_root(), &stage.join("kit"))?;
        Ok(stage)
    }
}

/// What the program of a function says of itself on the host: `dmf_reduce::Description` as JSON. `folder` is that of its
/// workspace.
pub(crate) fn describe(builder: &Builder, folder: &Path, package: &str) -> Result<Vec<u8>, BuildError> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).arg("run");
    if folder == builder.workspace_root() {
        cargo.arg("--locked");
    }
    cargo.args(["--quiet", "--package", package, "--", "describe"]);
    run::output(&format!("asking {package} what it takes and gives"), &mut cargo, builder.verbose)
}

fn read_manifest(folder: &Path) -> Result<Table, BuildError> {
    let path = folder.join("Cargo.toml");
    if !path.is_file() {
        return Err(BuildError::NoFunction {
            path: folder.to_owned(),
            why: "it has no Cargo.toml".to_owned(),
        });
    }
    let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
    text.parse().map_err(|error: toml::de::Error| BuildError::NoFunction { path, why: error.to_string() })
}

/// Points `dmf-kit` to the stage's, and other paths to where they were.
fn redirect(manifest: &mut Table, folder: &Path) {
    for (key, value) in manifest.iter_mut() {
        let Value::Table(table) = value else { continue };
        if !["dependencies", "dev-dependencies", "build-dependencies"].contains(&key.as_str()) {
            // [target.'cfg(…)'.dependencies]
            redirect(table, folder);
            continue;
        }
        for (name, dependency) in table.iter_mut() {
            let Some(Value::String(path)) = dependency.get_mut("path") else { continue };
            *path =
                if name == KIT { STAGED_KIT.to_owned() } else { folder.join(&*path).display().to_string() };
        }
    }
}

/// Makes `to` hold what `from` holds, and nothing else.
fn mirror(from: &Path, to: &Path, top: bool) -> Result<(), BuildError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from).map_err(BuildError::file("list", from))? {
        let entry = entry.map_err(BuildError::file("list", from))?;
        let (name, path) = (entry.file_name(), entry.path());
        let hidden = name.to_string_lossy().starts_with('.');
        if top && (hidden || NOT_STAGED.iter().any(|not| name == *not)) {
            continue;
        }
        let target = to.join(&name);
        if path.is_dir() {
            fs::create_dir_all(&target).map_err(BuildError::file("make", &target))?;
            mirror(&path, &target, false)?;
        } else if !(top && name == "Cargo.toml") {
            put(&target, &files::read(&path)?)?;
        }
        names.push(name);
    }
    for entry in fs::read_dir(to).map_err(BuildError::file("list", to))? {
        let entry = entry.map_err(BuildError::file("list", to))?;
        let stays = names.contains(&entry.file_name()) || (top && entry.file_name() == "Cargo.toml");
        if !stays {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(BuildError::file("remove", &path))?;
        }
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    files::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), text).unwrap();
        folder
    }

    #[test]
    fn a_crate_names_itself_and_the_kit() {
        let good =
            manifest("[package]\nname = \"peaks\"\nversion = \"1.2.3\"\n[dependencies]\ndmf-kit = \"0.1\"\n");
        let author = Author::at(good.path()).unwrap();
        assert_eq!((author.name(), author.version()), ("peaks", "1.2.3"));
        for (text, words) in [
            ("[package]\nname = \"peaks\"\nversion = \"1.2.3\"\n", "dmf-kit is not among"),
            ("[package]\nname = \"peaks\"\n[dependencies]\ndmf-kit = \"0.1\"\n", "no package.version"),
            ("nonsense", "expected"),
        ] {
            let error = Author::at(manifest(text).path()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_stage_follows_the_crate_and_finds_the_kit_beside_it() {
        let folder = manifest(
            "[package]\nname = \"peaks\"\nversion = \"1.2.3\"\n[dependencies]\ndmf-kit = { path = \"/far/away\" }\n\
             mine = { path = \"../mine\" }\n[workspace]\n",
        );
        let target = tempfile::tempdir().unwrap();
        let builder = Builder::new(Path::new("/kit"), target.path());
        fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        fs::create_dir_all(folder.path().join("target")).unwrap();
        fs::write(folder.path().join("src/deep/a.rs"), "1").unwrap();
        fs::write(folder.path().join("target/x"), "1").unwrap();
        let author = Author::at(folder.path()).unwrap();
        let stage = author.stage(&builder).unwrap();
        let staged = read_manifest(&stage.join("function")).unwrap();
        assert_eq!(staged["dependencies"][KIT]["path"].as_str(), Some(STAGED_KIT));
        let mine = author.folder().join("../mine");
        assert_eq!(staged["dependencies"]["mine"]["path"].as_str(), mine.to_str());
        assert!(!staged.contains_key("workspace") && !stage.join("function/target").exists());
        assert_eq!(fs::read_link(stage.join("kit")).unwrap(), Path::new("/kit"));
        let file = stage.join("function/src/deep/a.rs");
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        author.stage(&builder).unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().modified().unwrap(),
            before,
            "written again without a change"
        );
        fs::remove_dir_all(folder.path().join("src/deep")).unwrap();
        author.stage(&builder).unwrap();
        assert!(!file.exists());
    }
}
