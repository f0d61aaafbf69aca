//! A result of any function as a table: a row for each object in `groups`, with a list of objects in it unfolded into
//! further rows. Columns stand in the order in which the function wrote them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::output::{Table, plain};

/// JSON that keeps the order of its keys, as text.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Number(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// A cell: its column, its text, and whether it is a number.
type Cell = (String, String, bool);

/// The table; words where there is nothing but groups and none of them; nothing where the result has no `groups` with
/// rows in them.
pub(super) fn aggregate(result: &[u8]) -> Option<String> {
    let Ok(Node::Object(keys)) = serde_json::from_slice(result) else { return None };
    let has_more = keys.iter().any(|(name, _)| name != "groups" && name != "schema");
    let Some((_, Node::List(groups))) = keys.into_iter().find(|(name, _)| name == "groups") else {
        return None;
    };
    if groups.is_empty() && !has_more {
        return Some("no groups\n".to_owned());
    }
    let rows: Vec<Vec<Cell>> = groups.iter().flat_map(unfold).collect();
    let mut columns: Vec<(&str, bool)> = Vec::new();
    for (name, _, is_number) in rows.iter().flatten() {
        match columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, all_numbers)) => *all_numbers &= *is_number,
            None => columns.push((name, *is_number)),
        }
    }
    if columns.is_empty() {
        return None;
    }
    let head: Vec<String> = columns
        .iter()
        .map(|(name, right)| if *right { format!(">{name}") } else { (*name).to_owned() })
        .collect();
    let mut table = Table::new(&head);
    for row in &rows {
        let cell =
            |column: &str| row.iter().find(|(name, ..)| name == column).map_or("", |(_, text, _)| text);
        table.row(columns.iter().map(|(column, _)| cell(column)));
    }
    Some(table.text())
}

fn unfold(group: &Node) -> Vec<Vec<Cell>> {
    let (mut flat, mut lists) = (Vec::new(), Vec::new());
    flatten(group, &mut flat, &mut lists);
    let Some(items) = lists.first() else { return vec![flat] };
    let under = |item: &Node| {
        let mut row = flat.clone();
        flatten(item, &mut row, &mut Vec::new());
        row
    };
    items.iter().map(under).collect()
}

/// Plain values of an object, those of objects in it included; lists of objects apart.
fn flatten<'a>(node: &'a Node, flat: &mut Vec<Cell>, lists: &mut Vec<&'a [Node]>) {
    let Node::Object(keys) = node else { return };
    for (name, value) in keys {
        match value {
            // tags are what rows are called by; other objects keep their own name before those of their keys
            Node::Object(_) if name == "tags" => flatten(value, flat, lists),
            Node::Object(_) => {
                let mut inner = Vec::new();
                flatten(value, &mut inner, lists);
                flat.extend(inner.into_iter().map(|(key, text, is)| (format!("{name}.{key}"), text, is)));
            }
            Node::List(items) if items.iter().any(|item| matches!(item, Node::Object(_))) => {
                lists.push(items)
            }
            Node::List(items) => flat.push((name.clone(), format!("{} items", items.len()), false)),
            Node::Text(text) => flat.push((name.clone(), text.clone(), false)),
            Node::Number(text) => flat.push((name.clone(), text.clone(), true)),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        // nothing to show, and no reason to align a column of numbers to the left
        Ok(Node::Number(String::new()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(plain(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = keys.next_entry()? {
            object.push(entry);
        }
        Ok(Node::Object(object))
    }
}

/// Six digits behind the point are enough to read; JSON output has all of them.
fn number(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-4 || value.abs() >= 1e15) {
        return format!("{value:.6e}");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_with_windows_become_rows() {
        let result = br#"{"schema":"x","groups":[
            {"operation":"t","tags":{"room":"r1"},"windows":[
                {"start":"a","mean":1.5,"sd":null},{"start":"b","mean":20.123456789,"sd":7,"last":{"value":1}}]}]}"#;
        let table = "OPERATION  ROOM  START       MEAN  SD  LAST.VALUE\n\
                     t          r1    a            1.5\n\
                     t          r1    b      20.123457   7           1\n";
        assert_eq!(aggregate(result).unwrap(), table);
    }

    #[test]
    fn other_results_are_no_tables() {
        for result in [&b"{\"count\":1}"[..], b"[1]", b"", b"{\"groups\":[1]}", b"{\"groups\":[],\"a\":1}"] {
            assert_eq!(aggregate(result), None);
        }
        assert_eq!(aggregate(br#"{"schema":"x","groups":[]}"#).unwrap(), "no groups\n");
    }

    #[test]
    fn numbers_to_read() {
        let shown = [(0.0, "0"), (1.0, "1"), (-2.5, "-2.5"), (1e-9, "1.000000e-9"), (1.0 / 3.0, "0.333333")];
        shown.into_iter().for_each(|(value, text)| assert_eq!(number(value), text));
    }
}
