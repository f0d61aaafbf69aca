//! Figures as pictures: the committed data alone decide what is drawn, and a test holds that the committed pictures are theirs.
//!
//! ```text
//! data (what was recorded) -> paper, ours (which figure, in which words) -> lines, bars, spans (shapes) -> canvas (SVG)
//!                                                                      \-> page (all of them, in HTML)
//! ```

mod bars;
mod canvas;
mod data;
mod lines;
mod ours;
mod page;
mod paper;
mod rows;
mod scale;
mod spans;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use self::data::Data;
use crate::stage::root;

/// Machines that figures are measured on, by the names of their folders.
pub(super) const MACHINES: [&str; 3] = ["here", "kvm", "xen"];
/// Files of a machine's folder.
pub(super) const PARTS: [&str; 11] = [
    "boot",
    "memory",
    "volume",
    "stages",
    "locality",
    "machines",
    "scaling",
    "idle",
    "burst",
    "compare",
    "waterfall",
];

/// A figure with its words.
struct Figure {
    /// Of the picture, without its ending.
    name: String,
    /// What it shows.
    title: String,
    /// What it is to answer.
    question: String,
    /// What is to be seen in it, from its own data.
    seen: String,
    /// On what, when, with how much. Empty where nothing was measured.
    with: String,
    svg: String,
}

/// Where data and pictures lie.
pub(super) fn folder() -> PathBuf {
    root().join("bench/figures")
}

/// Draws everything that is recorded, and the page of it.
///
/// # Errors
/// A file could not be read or written.
pub fn draw() -> Result<()> {
    let files = files(&Data::read(&folder())?)?;
    for (name, text) in &files {
        let file = folder().join(name);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    eprintln!("== {} files drawn; {} has all of them", files.len(), folder().join("index.html").display());
    Ok(())
}

/// Every file that follows from the data.
fn files(data: &Data) -> Result<Vec<(String, String)>> {
    let figures: Vec<Figure> = paper::figures(data)?.into_iter().chain(ours::figures(data)?).collect();
    let page = page::page(&figures);
    let pictures = figures.into_iter().map(|figure| (format!("{}.svg", figure.name), figure.svg));
    Ok(pictures.chain([("index.html".to_owned(), page)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_pictures_are_what_the_committed_data_draw() {
        for (name, text) in files(&Data::read(&folder()).unwrap()).unwrap() {
            let committed = fs::read_to_string(folder().join(&name)).unwrap_or_default();
            assert!(committed == text, "{name} is another one: run `cargo xtask figures --draw`");
        }
    }

    #[test]
    fn nothing_measured_is_said_in_every_picture_and_on_the_page() {
        let files = files(&Data::default()).unwrap();
        assert!(files.len() > 10);
        for (name, text) in files {
            assert!(text.contains("not measured"), "{name}");
        }
    }
}
