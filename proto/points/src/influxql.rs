//! Reads the one form of InfluxQL that a broker writes (`proto/influxql`), and nothing more:
//!
//! ```text
//! SELECT "field" FROM ["policy".]"measurement" WHERE time >= N AND time < N
//!     [AND ("tag"::tag = 'value' [OR …])]* [GROUP BY "tag"[, "tag"]*]
//! ```

use crate::Selection;

/// What a query asks for, or in words what is not understood.
pub(crate) fn selection(text: &str) -> Result<Selection, String> {
    let mut words = Words { rest: text };
    let mut found = Selection::default();
    words.expect("SELECT")?;
    found.field = words.quoted('"')?;
    words.expect("FROM")?;
    found.measurement = words.quoted('"')?;
    if words.take(".") {
        found.measurement = words.quoted('"')?;
    }
    for word in ["WHERE", "time", ">="] {
        words.expect(word)?;
    }
    found.from_ns = words.number()?;
    for word in ["AND", "time", "<"] {
        words.expect(word)?;
    }
    found.to_ns = words.number()?;
    while words.take("AND") {
        found.tags.push(words.any_of()?);
    }
    if words.take("GROUP") {
        words.expect("BY")?;
        found.group_by.push(words.quoted('"')?);
        while words.take(",") {
            found.group_by.push(words.quoted('"')?);
        }
    }
    if words.rest.trim_start().is_empty() { Ok(found) } else { Err(words.not("the end")) }
}

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    fn not(&self, expected: &str) -> String {
        let here: String = self.rest.trim_start().chars().take(40).collect();
        format!("expected {expected} at {here:?}")
    }

    fn take(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(self.not(word)) }
    }

    fn number(&mut self) -> Result<i64, String> {
        let rest = self.rest.trim_start();
        let end = rest
            .find(|character: char| character != '-' && !character.is_ascii_digit())
            .unwrap_or(rest.len());
        let number = rest[..end].parse().map_err(|_| self.not("a time in nanoseconds"))?;
        self.rest = &rest[end..];
        Ok(number)
    }

    /// A name in double or a text in single quotes. A backslash stands before itself, before a quote and in `\n`.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let refused = self.not("a name in quotes");
        let inside = self.rest.trim_start().strip_prefix(quote).ok_or_else(|| refused.clone())?;
        let (mut name, mut characters) = (String::new(), inside.char_indices());
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, 'n')) => name.push('\n'),
                    Some((_, escaped @ ('\\' | '"' | '\''))) => name.push(escaped),
                    _ => return Err(refused),
                },
                end if end == quote => {
                    self.rest = &inside[at + quote.len_utf8()..];
                    return Ok(name);
                }
                other => name.push(other),
            }
        }
        Err(refused)
    }

    fn any_of(&mut self) -> Result<(String, Vec<String>), String> {
        self.expect("(")?;
        let (mut tag, mut values) = (None, Vec::new());
        loop {
            let here = self.quoted('"')?;
            if tag.as_ref().is_some_and(|tag| *tag != here) {
                return Err(format!("one condition is on the tags {tag:?} and {here:?}"));
            }
            tag = Some(here);
            self.expect("::tag")?;
            self.expect("=")?;
            values.push(self.quoted('\'')?);
            if !self.take("OR") {
                break;
            }
        }
        self.expect(")")?;
        Ok((tag.unwrap_or_default(), values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_writes_is_read() {
        let text = r#"SELECT "a\nb" FROM "two weeks"."m\"x" WHERE time >= -5 AND time < 9 AND ("room"::tag = 'r1' OR "room"::tag = 'it\'s') AND ("kind"::tag = '') GROUP BY "room", "a\"b""#;
        let tags = vec![
            ("room".to_owned(), vec!["r1".to_owned(), "it's".to_owned()]),
            ("kind".to_owned(), vec![String::new()]),
        ];
        let expected = Selection {
            measurement: "m\"x".into(),
            field: "a\nb".into(),
            tags,
            from_ns: -5,
            to_ns: 9,
            group_by: vec!["room".into(), "a\"b".into()],
        };
        assert_eq!(selection(text), Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (text, words) in [
            ("DROP DATABASE x", "expected SELECT at \"DROP DATABASE x\""),
            (r#"SELECT "v" FROM "m""#, "expected WHERE"),
            (r#"SELECT "v" FROM "m" WHERE time >= x"#, "a time in nanoseconds"),
            (r#"SELECT "v"#, "a name in quotes"),
            (r#"SELECT "v" FROM "m" WHERE time >= 1 AND time < 2; DROP"#, "expected the end"),
            (
                r#"SELECT "v" FROM "m" WHERE time >= 1 AND time < 2 AND ("a"::tag = '' OR "b"::tag = '')"#,
                "on the tags",
            ),
        ] {
            let told = selection(text).unwrap_err();
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
