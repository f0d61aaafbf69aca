//! `fades status`: what a node is and does.

use clap::Args;
use fades_api::http::{NodeInfo, defence_words};

use crate::context::Context;
use crate::failure::Result;
use crate::output::{Table, bytes, plain};

/// Arguments of `fades status`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades status --node http://127.0.0.1:8470")]
pub(crate) struct Status {}

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let info = context.run(async { Ok(client.node().await?) })?;
        context.output().show(&info, describe)
    }
}

fn describe(info: &NodeInfo) -> String {
    let NodeInfo { limits, usage, backend, broker, .. } = info;
    let images = info.images.iter().map(|image| format!("{} {}", image.reference.name, image.version));
    let sources = info.sources.iter().map(|source| source.name.to_string());
    let off = info.defences.iter().filter(|(_, on)| !**on).map(|(name, _)| {
        let words = defence_words(name).map_or_else(|| name.clone(), |words| format!("{name} ({words})"));
        info.lacks.get(name).map_or(words.clone(), |why| format!("{words}: {why}"))
    });
    let list = |words: Vec<String>| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let broker_words = match (&broker.detail, broker.restarts) {
        (Some(detail), _) => format!("{}: {detail}", broker.state),
        (None, 0) => broker.state.clone(),
        (None, restarts) => format!("{}, started again {restarts} times", broker.state),
    };
    let mut text = Table::facts([
        ("node", format!("{} ({})", info.node, info.version)),
        ("key id", info.key_id.clone()),
        ("public key", info.public_key.clone()),
        ("epoch", info.epoch.to_string()),
        ("up since", format!("{} (its clock: {})", info.started_at, info.time)),
        ("backend", format!("{}: {}", backend.kind, backend.reason)),
        ("its cost", backend.cost.clone()),
        ("broker", broker_words),
        (
            "tasks",
            format!(
                "{} of {} running, {} of {} waiting",
                usage.running, limits.running, usage.queued, limits.queued
            ),
        ),
        ("guests", format!("{} of {}", usage.guests, limits.guests)),
        ("memory", format!("{} of {} MiB", usage.memory_mib, limits.memory_mib)),
        (
            "at most",
            format!("{} a result, {} s a wrapper's life", bytes(limits.result_bytes), limits.wrapper_life_s),
        ),
        ("images", list(images.collect())),
        ("sources", list(sources.collect())),
        ("defences off", list(off.collect())),
    ])
    .text();
    for warning in &info.warnings {
        text += &format!("! {}\n", plain(warning));
    }
    text
}
