//! `fades key`: keys of services and image makers. A secret key never leaves its file.

use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Subcommand;
use fades_api::task::Name;
use fades_envelope::{SigningKey, prove};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};
use crate::files;
use crate::output::Table;

/// Make and list keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key: FILE for yourself (mode 0600), FILE.pub for those who should know you.
    #[command(after_help = "Example:\n  fades key new service.key --name pollution.example")]
    New {
        /// The file to make.
        file: PathBuf,
        /// The name to be known by, as an issuer or signer [default: the file's name without its ending].
        #[arg(long)]
        name: Option<Name>,
    },
    /// List the keys of a folder.
    #[command(after_help = "Example:\n  fades key ls .")]
    Ls {
        /// The folder.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
}

#[derive(Serialize)]
struct KeyFile {
    file: PathBuf,
    name: String,
    key_id: String,
    public_key: String,
    /// `usable`, `missing`, or why it is neither.
    secret: String,
}

impl Key {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::New { file, name } => {
                let made = new(&file, name)?;
                context.output().show(&made, |made| {
                    Table::facts([
                        ("file", made.file.display().to_string()),
                        ("proof", files::proof_path(&made.file).display().to_string()),
                        ("name", made.name.clone()),
                        ("key id", made.key_id.clone()),
                        ("public key", made.public_key.clone()),
                    ])
                    .text()
                })
            }
            Self::Ls { dir } => context.output().show(&list(&dir)?, |keys| {
                let mut table = Table::new(&["file", "name", "key id", "secret"]);
                for key in keys {
                    let file = key.file.display().to_string();
                    table.row([file, key.name.clone(), key.key_id.clone(), key.secret.clone()]);
                }
                table.text_or("no keys here")
            }),
        }
    }
}

fn new(file: &Path, name: Option<Name>) -> Result<KeyFile> {
    let name = match name {
        Some(name) => name,
        None => {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            stem.parse().map_err(|error| {
                Failure::usage(format!("no name can be made of {}: {error}", file.display()))
                    .hint("Give one with --name.")
            })?
        }
    };
    let proof_file = files::proof_path(file);
    if proof_file.exists() {
        return Err(Failure::usage(format!("{} is there already", proof_file.display())));
    }
    let key = SigningKey::generate()?;
    let proof = prove(&key, name.as_str())?;
    key.create(file)?;
    // as text, so that it can be mailed and pasted
    let line = format!("{}\n", Base64UrlUnpadded::encode_string(&proof));
    files::create(&proof_file, line.as_bytes(), 0o644)?;
    let public = key.public();
    Ok(KeyFile {
        file: file.to_owned(),
        name: name.to_string(),
        key_id: public.id().to_string(),
        public_key: public.to_string(),
        secret: "usable".to_owned(),
    })
}

fn list(dir: &Path) -> Result<Vec<KeyFile>> {
    let failed = |error: std::io::Error| Failure::system(dir.display(), &error);
    let mut keys = Vec::new();
    let unopened = |error| Failure { exit: Exit::Usage, ..failed(error) };
    for entry in std::fs::read_dir(dir).map_err(unopened)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|ending| ending != "pub") {
            continue;
        }
        // other programs have files of this ending, too
        let Ok((_, enrolment)) = files::read_proof(&path) else { continue };
        let file = path.with_extension("");
        let secret = match SigningKey::read(&file) {
            Ok(key) if key.public() == enrolment.key => "usable".to_owned(),
            Ok(_) => "another key's".to_owned(),
            Err(_) if !file.exists() => "missing".to_owned(),
            Err(error) => chain(&error),
        };
        keys.push(KeyFile {
            file,
            name: enrolment.name,
            key_id: enrolment.key.id().to_string(),
            public_key: enrolment.key.to_string(),
            secret,
        });
    }
    keys.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("service.key");
        let made = new(&file, None).unwrap();
        assert_eq!(made.name, "service");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let (_, enrolment) = files::read_proof(&files::proof_path(&file)).unwrap();
        assert_eq!(enrolment.key.to_string(), made.public_key);
        assert!(new(&file, None).is_err());
        std::fs::write(folder.path().join("ssh.pub"), "ssh-ed25519 AAAA").unwrap();
        let listed = list(folder.path()).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].secret.as_str(), &listed[0].key_id), ("usable", &made.key_id));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(list(folder.path()).unwrap()[0].secret.contains("0644"));
        assert_eq!(list(&folder.path().join("none")).err().unwrap().exit, Exit::Usage);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(list(folder.path()).unwrap()[0].secret, "missing");
    }
}
