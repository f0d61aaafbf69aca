//! All figures on one page: HTML without scripts, fonts or anything else from elsewhere.

use std::fmt::Write as _;

use super::Figure;

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fades: figures</title>
<style>
body { margin: 0 auto; max-width: 46rem; padding: 1rem; font: 1rem/1.5 sans-serif; color: #1a1a1a; background: #fff }
h1, h2 { line-height: 1.2 }
figure { margin: 2rem 0 3rem }
img { width: 100%; height: auto; border: 1px solid #ddd }
.with { color: #595959; font-size: .875rem }
p { margin: .4rem 0 }
</style>
<h1>Fades: figures</h1>
<p>What was measured, as <code>cargo xtask figures --record</code> left it; the numbers lie beside this page, in a folder
for each machine. <strong>All of it ran on emulated processors: only ratios travel, and only within one machine.</strong></p>
"#;

/// The page.
pub(super) fn page(figures: &[Figure]) -> String {
    let mut page = HEAD.to_owned();
    for figure in figures {
        let [name, title, question] =
            [&figure.name, &figure.title, &figure.question].map(|text| escaped(text));
        let seen = if figure.with.is_empty() { "not measured".to_owned() } else { escaped(&figure.seen) };
        // A String takes every write.
        let _ = write!(
            page,
            "<figure id=\"{name}\">\n<h2>{title}</h2>\n<p><strong>{question}</strong></p>\n\
             <img src=\"{name}.svg\" alt=\"{title}: {seen}\">\n<figcaption>\n<p>{seen}</p>\n"
        );
        if !figure.with.is_empty() {
            let _ = writeln!(page, "<p class=\"with\">{}</p>", escaped(&figure.with));
        }
        page += "</figcaption>\n</figure>\n";
    }
    page + "</html>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped_and_nothing_comes_from_elsewhere() {
        let text = |text: &str| text.to_owned();
        let figure = Figure {
            name: text("f"),
            title: text("a \"b\""),
            question: text("<script>?"),
            seen: text("1 < 2 & 3"),
            with: text("here"),
            svg: String::new(),
        };
        let page = page(&[figure]);
        assert!(
            page.contains("&lt;script&gt;?")
                && page.contains("1 &lt; 2 &amp; 3")
                && page.contains("a &quot;b&quot;")
        );
        assert!(!page.contains("<script") && !page.contains("http:") && !page.contains("https:"), "{page}");
    }
}
