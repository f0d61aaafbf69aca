//! `fades image ls`.

use fades_api::client::{ClientError, NodeAddress};
use fades_api::codes;
use fades_api::http::{ImageInfo, ImageList, ImageView};

use super::on_node::short;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Table, bytes, counted, short_digest};

/// All that the operator may know over the local socket; elsewhere what the node tells everybody.
pub(super) fn run(context: &Context, full: bool) -> Result<()> {
    let client = context.client()?;
    if let NodeAddress::Unix(_) = context.address()? {
        let asked: std::result::Result<ImageList, ClientError> =
            context.run(async { Ok(client.call("GET", "/v1/admin/images", None::<&()>).await) })?;
        match asked {
            // the socket of somebody else's node
            Err(ClientError::Problem { problem }) if problem.code == codes::LOCAL_ONLY => {}
            answer => return context.output().show(&answer?.images, |images| operators(images, full)),
        }
    }
    let info = context.run(async { Ok(client.node().await?) })?;
    context.output().show(&info.images, |images| table(images))
}

fn operators(images: &[ImageView], full: bool) -> String {
    let head = [
        "image",
        "version",
        "role",
        "architecture",
        ">size",
        "signer",
        "added",
        "last used",
        ">tasks",
        "issuers",
    ];
    let mut table = Table::new(&head);
    for image in images {
        table.row([
            if full { image.reference.to_string() } else { short(image) },
            image.version.clone(),
            image.role.clone(),
            image.architecture.clone(),
            bytes(image.size),
            signer(image),
            day(image.added_at),
            image.used_at.map_or_else(|| "never".to_owned(), day),
            image.tasks.len().to_string(),
            who(image),
        ]);
    }
    table.text_or("no images")
}

/// To the minute: enough to tell what is old.
fn day(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Who signed it, as the operator calls them.
pub(super) fn signer(image: &ImageView) -> String {
    match &image.signer_name {
        Some(name) => name.to_string(),
        None => format!("{} (not trusted)", short_digest(&image.signer)),
    }
}

/// Who may run it.
pub(super) fn who(image: &ImageView) -> String {
    if image.broker {
        return "the broker".to_owned();
    }
    let names: Vec<&str> = image.issuers.iter().map(|name| name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}

/// What runs from it, or waits to; nothing where nothing does.
pub(super) fn held(image: &ImageView) -> Option<String> {
    let tasks = (!image.tasks.is_empty()).then(|| counted(image.tasks.len() as u64, "task"));
    let broker = image.broker.then(|| "the broker".to_owned());
    let holders: Vec<String> = broker.into_iter().chain(tasks).collect();
    (!holders.is_empty()).then(|| holders.join(" and "))
}

/// Images as everybody may know them.
pub(super) fn table(images: &[ImageInfo]) -> String {
    let mut table = Table::new(&["image", "version", "role", ">size", ">memory"]);
    for image in images {
        table.row([
            image.reference.to_string(),
            image.version.clone(),
            image.role.clone(),
            bytes(image.size),
            format!("{} MiB", image.minimum_memory_mib),
        ]);
    }
    table.text_or("no images")
}
