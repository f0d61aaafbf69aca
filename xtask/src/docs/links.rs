//! Whether every link of the built book leads somewhere, told without a network: to a file of the book, and to an anchor in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// What was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pages: usize,
    links: usize,
    outside: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pages, links, outside } = self;
        write!(
            f,
            "{links} links of {pages} pages lead to what is there; {outside} lead out and were not followed"
        )
    }
}

/// What a page links to, and what can be linked to in it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

/// Checks every page below `book`.
///
/// # Errors
/// A page cannot be read, or links lead nowhere: the error names each.
pub(super) fn check(book: &Path) -> Result<Found> {
    let mut pages = BTreeMap::new();
    collect(book, Path::new(""), &mut pages)?;
    // A book without pages or links was not built.
    ensure!(pages.len() > 5, "{} has {} pages only", book.display(), pages.len());
    let (mut found, mut dead) = (Found { pages: pages.len(), links: 0, outside: 0 }, Vec::new());
    for (name, page) in &pages {
        for link in &page.links {
            if leads_out(link) {
                found.outside += 1;
                continue;
            }
            found.links += 1;
            if let Err(why) = follow(book, name, link, &pages) {
                dead.push(format!("{}: {link}: {why}", name.display()));
            }
        }
    }
    if !dead.is_empty() {
        bail!("links that lead nowhere:\n  {}", dead.join("\n  "));
    }
    Ok(found)
}

fn collect(book: &Path, below: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Result<()> {
    let folder = book.join(below);
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            collect(book, &name, pages)?;
        } else if name.extension().is_some_and(|ending| ending == "html") {
            let text =
                fs::read_to_string(entry.path()).with_context(|| format!("read {}", name.display()))?;
            pages.insert(name, read(&text));
        }
    }
    Ok(())
}

/// Links and anchors of a page: the values of its attributes. Scripts and comments hold none that are ours.
fn read(text: &str) -> Page {
    let mut page = Page::default();
    for tag in text.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let attribute = |name: &str| {
            let at = tag.find(&format!(" {name}=\""))? + name.len() + 3;
            tag[at..].split('"').next().map(unescaped)
        };
        page.links.extend([attribute("href"), attribute("src")].into_iter().flatten());
        page.anchors.extend([attribute("id"), attribute("name")].into_iter().flatten());
    }
    page
}

fn unescaped(value: &str) -> String {
    value.replace("&amp;", "&").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">")
}

fn leads_out(link: &str) -> bool {
    ["http://", "https://", "mailto:", "data:", "javascript:"].iter().any(|start| link.starts_with(start))
}

fn follow(
    book: &Path,
    from: &Path,
    link: &str,
    pages: &BTreeMap<PathBuf, Page>,
) -> std::result::Result<(), &'static str> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let path = path.split('?').next().unwrap_or_default();
    let mut file = match path {
        "" => from.to_owned(),
        path => resolved(from, path).ok_or("it leads out of the book")?,
    };
    if book.join(&file).is_dir() {
        file.push("index.html");
    }
    if !book.join(&file).is_file() {
        return Err("there is no such file");
    }
    match anchor.filter(|anchor| !anchor.is_empty()) {
        Some(anchor) if pages.get(&file).is_some_and(|page| !page.anchors.contains(anchor)) => {
            Err("there is no such place in it")
        }
        _ => Ok(()),
    }
}

/// A path as the page names it, from the book's folder; `/` is that folder.
fn resolved(from: &Path, path: &str) -> Option<PathBuf> {
    let mut file = if path.starts_with('/') { PathBuf::new() } else { from.parent()?.to_owned() };
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) => file.push(name),
            Component::ParentDir => file.pop().then_some(())?,
            _ => {}
        }
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(pages: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        for at in 0..5 {
            fs::write(folder.path().join(format!("filler-{at}.html")), "").unwrap();
        }
        for (name, text) in pages {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn what_leads_somewhere_is_counted() {
        let book = book(&[
            ("a.html", "<h2 id=\"x\">X</h2><a class=\"c\" href=\"in/b.html#y\">b</a> <a href=\"#x\">x</a>"),
            (
                "in/b.html",
                "<a href=\"../a.html#x\" id=\"y\">a</a><img src=\"p.svg\"><a href=\"https://e.example/\">",
            ),
            ("in/p.svg", "<svg/>"),
        ]);
        assert_eq!(check(book.path()).unwrap(), Found { pages: 7, links: 4, outside: 1 });
    }

    #[test]
    fn what_leads_nowhere_is_named() {
        for (link, why) in [
            ("gone.html", "no such file"),
            ("a.html#gone", "no such place"),
            ("#gone", "no such place"),
            ("../../a.html", "out of the book"),
            ("in/", "no such file"),
        ] {
            let book = book(&[("a.html", &format!("<a href=\"{link}\">"))]);
            let error = check(book.path()).unwrap_err().to_string();
            assert!(error.contains(link) && error.contains(why), "{error}");
        }
    }
}
