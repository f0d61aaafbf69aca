//! Words of programs as Markdown.

/// A sentence, for a cell of a table or a paragraph: what Markdown would read as its own is escaped, outside of backquotes.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, piece) in text.split('`').enumerate() {
        if at > 0 {
            out.push('`');
        }
        for letter in piece.chars() {
            // A bar ends a cell, in code as well.
            if letter == '|' || (at % 2 == 0 && matches!(letter, '<' | '*' | '_' | '[' | ']')) {
                out.push('\\');
            }
            out.push(if letter == '\n' { ' ' } else { letter });
        }
    }
    out
}

/// The anchor that mdBook gives a heading.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(prose("a_b | <c> `d_e`"), "a\\_b \\| \\<c> `d_e`");
        assert_eq!(anchor("GET /v1/tasks/{id}"), "get-v1tasksid");
    }
}
