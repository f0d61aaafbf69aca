//! Rust sources without what is not code.

/// The text with every comment, and all between quotes, gone. Lines stay, so that a place in it is one in the file.
pub(super) fn without_words(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let length = word(rest, code.chars().next_back());
        let Some(length) = length else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        let (gone, after) = rest.split_at(length.min(rest.len()));
        code.push(' ');
        code.extend(gone.matches('\n').map(|_| '\n'));
        rest = after;
    }
    code
}

/// How long the comment, text or letter is that begins here, if one does.
fn word(rest: &str, before: Option<char>) -> Option<usize> {
    let is_behind_a_name = before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    if rest.starts_with("//") {
        Some(rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        Some(block(rest))
    } else if rest.starts_with('"') {
        Some(quote(rest))
    } else if !is_behind_a_name && (rest.starts_with('r') || rest.starts_with("br")) {
        raw(rest)
    } else if rest.starts_with('\'') {
        letter(rest)
    } else {
        None
    }
}

/// Comments of this kind lie in each other.
fn block(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quote(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and so on; a name such as `r#type` is none.
fn raw(rest: &str) -> Option<usize> {
    let behind = rest.trim_start_matches('b').strip_prefix('r')?;
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    behind[hashes..].strip_prefix('"')?;
    let begin = rest.len() - behind.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len()))
}

/// `'x'` or `'\n'`; the name of a lifetime is none.
fn letter(rest: &str) -> Option<usize> {
    let mut letters = rest.char_indices().skip(1);
    let (_, first) = letters.next()?;
    if first == '\\' {
        // what is escaped may be a quote itself
        letters.next();
        return letters.find(|(_, letter)| *letter == '\'').map(|(at, _)| at + 1);
    }
    letters.next().filter(|(_, second)| *second == '\'').map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::without_words;

    #[test]
    fn only_code_stays() {
        for (text, code) in [
            ("a // unsafe\nb", "a  \nb"),
            ("a /* x /* unsafe */ y */ b", "a   b"),
            ("f(\"un\\\"safe\") + 1", "f( ) + 1"),
            ("f(r#\"un\"safe\"#); g", "f( ); g"),
            ("r#type; br\"x\" for x", "r#type;   for x"),
            ("'a' '\\'' 'x: &'static str", "    'x: &'static str"),
            ("\"a\nb\" c", " \n c"),
            ("'\"' unsafe '\"'", "  unsafe  "),
            ("/// unsafe", " "),
        ] {
            assert_eq!(without_words(text), code, "{text}");
        }
    }
}
