//! `fades image`: what may boot on a node. An image is trusted by the key that signed it.

mod add;
mod bundle;
mod care;
mod inspect;
mod list;
mod on_node;
mod pack;
mod refusals;
mod share;
mod tree;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;
use fades_api::http::SignerList;

use super::issuer::key_id;
use crate::context::Context;
use crate::failure::Result;
use crate::output::Table;

/// Add, look after and share images.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Add a packed image to the node (on the node).
    #[command(after_help = "Example:\n  fades image add stats.img --trust maker.key.pub")]
    Add {
        /// The image.
        file: PathBuf,
        /// Trust the maker first, by the proof that `fades key new` made for it.
        #[arg(long, value_name = "FILE.pub")]
        trust: Option<PathBuf>,
    },
    /// List the images of the node; on the node itself with who may use them and what does.
    #[command(after_help = "Examples:\n  fades image ls\n  fades image ls --full -o json")]
    Ls {
        /// Whole references, as wrappers name images.
        #[arg(long)]
        full: bool,
    },
    /// Show the images of the node as name, version and build, with floors and who needs what (on the node).
    #[command(after_help = "Examples:\n  fades image tree\n  fades image tree stats")]
    Tree {
        /// Only this name.
        name: Option<String>,
    },
    /// Remove an image from the node (on the node). One that a task needs stays.
    #[command(
        after_help = "Examples:\n  fades image rm stats:1.0.0\n  fades image rm stats@sha256:0123456789ab --cancel"
    )]
    Rm(care::Rm),
    /// Remove images that no policy allows, no task needs and newer ones stand in for (on the node).
    #[command(after_help = "Examples:\n  fades image gc --dry-run\n  fades image gc --keep 2")]
    Gc(care::Gc),
    /// Print everything about an image, without booting it: a file, or one of the node (on the node).
    #[command(
        after_help = "Examples:\n  fades image inspect stats.img --signer maker.key.pub\n  fades image inspect stats:1.0.0"
    )]
    Inspect(inspect::Inspect),
    /// Check an image's signature and, if asked, build it again and compare.
    #[command(
        after_help = "Example:\n  fades image verify pollution-peaks.fdmf --signer author.key.pub --rebuild"
    )]
    Verify(verify::Verify),
    /// Make an image of a loader and an application, and sign it.
    #[command(
        after_help = "Example:\n  fades image pack stats.img --loader loader.elf --application stats.elf \
        --name stats --image-version 1.0.0 --role dmf --key maker.key"
    )]
    Pack(pack::Pack),
    /// Write images of the node and the keys of their makers into one file (on the node).
    #[command(after_help = "Example:\n  fades image export stats window:1.0.0 --file images.tar")]
    Export(bundle::Export),
    /// Add the images of a file that `fades image export` made (on the node).
    #[command(after_help = "Example:\n  fades image import images.tar --trust")]
    Import(bundle::Import),
    /// Put an image into a folder, onto an HTTP server or into an OCI registry.
    #[command(after_help = "Examples:\n  \
        fades image push stats.img /srv/images\n  \
        fades image push stats.img https://images.example/fades/\n  \
        fades image push stats:1.0.0 oci://registry.example/fades/stats\n\n\
        A registry that asks who you are gets FADES_REGISTRY_USER and FADES_REGISTRY_PASSWORD.")]
    Push(share::Push),
    /// Fetch an image from a folder, an HTTP server or an OCI registry, check it, and add it to the node or write it to a file.
    #[command(after_help = "Examples:\n  \
        fades image pull /srv/images stats\n  \
        fades image pull https://images.example/fades/ stats:1.2.0+ --trust maker.key.pub\n  \
        fades image pull oci://registry.example/fades/stats:1.0.0-x86_64 --trust maker.key.pub --file stats.img\n\n\
        A registry that asks who you are gets FADES_REGISTRY_USER and FADES_REGISTRY_PASSWORD.")]
    Pull(share::Pull),
    /// List the keys that are trusted for images (on the node).
    #[command(after_help = "Example:\n  fades image signers")]
    Signers,
    /// Trust a key for images no longer (on the node).
    #[command(after_help = "Example:\n  \
        fades image distrust 0000000000000000000000000000000000000000000000000000000000000000")]
    Distrust {
        /// Its id, as `fades image signers` shows it.
        key_id: String,
    },
}

impl Image {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let none = None::<&()>;
        match self {
            Self::Add { file, trust } => add::run(context, &file, trust.as_deref()),
            Self::Ls { full } => list::run(context, full),
            Self::Tree { name } => tree::run(context, name.as_deref()),
            Self::Rm(command) => command.run(context),
            Self::Gc(command) => command.run(context),
            Self::Inspect(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Pack(command) => command.run(context),
            Self::Export(command) => command.run(context),
            Self::Import(command) => command.run(context),
            Self::Push(command) => command.run(context),
            Self::Pull(command) => command.run(context),
            Self::Signers => {
                let client = context.operator()?;
                let list: SignerList =
                    context.run(async { Ok(client.call("GET", "/v1/admin/signers", none).await?) })?;
                context.output().show(&list, |list| {
                    let mut table = Table::new(&["signer", "key id"]);
                    list.signers.iter().for_each(|(id, signer)| table.row([signer.name.as_str(), id]));
                    table.text_or("no signers")
                })
            }
            Self::Distrust { key_id: text } => {
                let client = context.operator()?;
                let path = format!("/v1/admin/signers/{}", key_id(&text)?);
                context.run(async { Ok(client.call::<Option<()>>("DELETE", &path, none).await?) })?;
                context.output().note(&format!("key {text} is trusted for images no longer"));
                Ok(())
            }
        }
    }
}
