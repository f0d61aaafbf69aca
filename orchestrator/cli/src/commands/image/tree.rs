//! `fades image tree`: names, their versions from the newest on, and the builds of each.

use fades_api::codes;
use fades_api::http::{ImageFloor, ImageView};
use fades_pack::Version;
use serde::Serialize;

use super::list::{held, signer, who};
use super::on_node::OnNode;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{bytes, plain, short_digest};

/// All images of a name.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    floors: Vec<ImageFloor>,
    versions: Vec<OfVersion>,
}

/// All images of a version.
#[derive(Debug, Serialize)]
struct OfVersion {
    version: String,
    /// Issuers whose policies name this very version as the least.
    floor_of: Vec<String>,
    /// Issuers whose policies name a later one.
    below_floor_of: Vec<String>,
    builds: Vec<ImageView>,
}

pub(super) fn run(context: &Context, name: Option<&str>) -> Result<()> {
    let mut images = context.run(async { OnNode::new(context)?.images().await })?;
    if let Some(name) = name {
        images.retain(|image| image.reference.name.as_str() == name);
        if images.is_empty() {
            return Err(Failure::new(codes::IMAGE_UNKNOWN, format!("no image {name} on this node")));
        }
    }
    context.output().show(&lines(images), |lines| text(lines))
}

/// The node lists by name, newest first.
fn lines(images: Vec<ImageView>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for image in images {
        let name = image.reference.name.to_string();
        if lines.last().is_none_or(|line| line.name != name) {
            lines.push(Line { name, floors: image.floors.clone(), versions: Vec::new() });
        }
        let Some(line) = lines.last_mut() else { continue };
        if line.versions.last().is_none_or(|of| of.version != image.version) {
            line.versions.push(of_version(&image));
        }
        if let Some(of) = line.versions.last_mut() {
            of.builds.push(image);
        }
    }
    lines
}

fn of_version(image: &ImageView) -> OfVersion {
    let number = |text: &str| text.parse::<Version>().ok();
    let version = number(&image.version);
    let of = |fits: &dyn Fn(Option<Version>) -> bool| -> Vec<String> {
        let floors = image.floors.iter().filter(|floor| fits(number(&floor.version)));
        floors.map(|floor| floor.issuer.to_string()).collect()
    };
    OfVersion {
        version: image.version.clone(),
        floor_of: of(&|floor| floor == version),
        below_floor_of: of(&|floor| floor > version),
        builds: Vec::new(),
    }
}

fn text(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "no images\n".to_owned();
    }
    let mut text = String::new();
    for line in lines {
        text += &format!("{}\n", plain(&line.name));
        for (at, of) in line.versions.iter().enumerate() {
            let (branch, stem) =
                if at + 1 < line.versions.len() { ("├─", "│ ") } else { ("└─", "  ") };
            let mut marks = String::new();
            for (words, whose) in [("floor of", &of.floor_of), ("below the floor of", &of.below_floor_of)] {
                if !whose.is_empty() {
                    marks += &format!("  {words} {}", whose.join(", "));
                }
            }
            text += &plain(&format!("{branch} {}{marks}", of.version));
            text.push('\n');
            for (at, build) in of.builds.iter().enumerate() {
                let branch = if at + 1 < of.builds.len() { "├─" } else { "└─" };
                text += &plain(&format!("{stem} {branch} {}", words(build)));
                text.push('\n');
            }
        }
    }
    text
}

fn words(image: &ImageView) -> String {
    let held = held(image).map(|who| format!("; held by {who}")).unwrap_or_default();
    format!(
        "sha256:{}  {}, {}, signed by {}; for {}{held}",
        short_digest(&image.reference.digest_hex()),
        image.architecture,
        bytes(image.size),
        signer(image),
        who(image),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_builds_are_branches_with_their_floors() {
        let image = |name: &str, version: &str, digit: &str, tasks: usize| -> ImageView {
            serde_json::from_value(serde_json::json!({
                "reference": format!("{name}@sha256:{}", digit.repeat(64)), "version": version, "role": "dmf",
                "architecture": "x86_64", "native": true, "size": 1024, "minimum_memory_mib": 32, "signer": "ab".repeat(32),
                "added_at": "2026-01-01T00:00:00Z", "broker": name == "drb",
                "tasks": vec!["01ARZ3NDEKTSV4RRFFQ69G5FAV"; tasks], "issuers": if digit == "1" { vec!["a.example"] } else { vec![] },
                "floors": if name == "stats" {
                    serde_json::json!([{ "issuer": "a.example", "version": "1.2.0" }])
                } else {
                    serde_json::json!([])
                },
            }))
            .unwrap()
        };
        let images = vec![
            image("drb", "1.0.0", "0", 0),
            image("stats", "1.10.0", "1", 2),
            image("stats", "1.2.0", "2", 0),
            image("stats", "1.2.0", "3", 0),
            image("stats", "1.0.0", "4", 1),
        ];
        let signed = "x86_64, 1.0 KiB, signed by abababababab (not trusted)";
        let expected = format!(
            "drb\n└─ 1.0.0\n   └─ sha256:000000000000  {signed}; for the broker; held by the broker\n\
             stats\n├─ 1.10.0\n│  └─ sha256:111111111111  {signed}; for a.example; held by 2 tasks\n\
             ├─ 1.2.0  floor of a.example\n│  ├─ sha256:222222222222  {signed}; for none\n\
             │  └─ sha256:333333333333  {signed}; for none\n\
             └─ 1.0.0  below the floor of a.example\n   └─ sha256:444444444444  {signed}; for none; held by 1 task\n"
        );
        assert_eq!(text(&lines(images)), expected);
        assert_eq!(text(&[]), "no images\n");
    }
}
