//! Columns for people, aligned, without any colour or line.

use super::words::plain;

/// Rows of cells under an optional head.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    /// With a head. A column whose name begins with `>` is aligned to the right.
    pub(crate) fn new(head: &[impl AsRef<str>]) -> Self {
        Self { head: head.iter().map(|name| plain(name.as_ref())).collect(), rows: Vec::new() }
    }

    /// Names and values, without a head.
    pub(crate) fn facts<N: Into<String>, V: Into<String>>(facts: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut table = Self::default();
        facts.into_iter().for_each(|(name, value)| table.row([name.into(), value.into()]));
        table
    }

    /// Adds a row. Control characters are taken out: cells come from nodes, guests and sources.
    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(|cell| plain(&cell.into())).collect());
    }

    /// The whole text; `none` where there is no row.
    pub(crate) fn text_or(&self, none: &str) -> String {
        if self.rows.is_empty() { format!("{none}\n") } else { self.text() }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).chain([self.head.len()]).max().unwrap_or(0);
        let name = |column: usize| self.head.get(column).map(String::as_str).unwrap_or_default();
        let title = |column: usize| name(column).trim_start_matches('>');
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([title(column).chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        let mut line = |cell: &dyn Fn(usize) -> String| {
            let cells = (0..columns).map(|column| {
                let width = widths[column];
                if name(column).starts_with('>') {
                    format!("{:>width$}", cell(column))
                } else {
                    format!("{:<width$}", cell(column))
                }
            });
            text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
            text.push('\n');
        };
        if !self.head.is_empty() {
            line(&|column| title(column).to_uppercase());
        }
        for row in &self.rows {
            line(&|column| row.get(column).cloned().unwrap_or_default());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["name", ">points", "why"]);
        table.row(["a", "1", "x"]);
        table.row(["läng", "1234567", ""]);
        assert_eq!(table.text(), "NAME   POINTS  WHY\na           1  x\nläng  1234567\n");
    }

    #[test]
    fn facts_have_no_head_and_empty_tables_say_so() {
        assert_eq!(Table::facts([("a", "1"), ("bbb", "2")]).text(), "a    1\nbbb  2\n");
        assert_eq!(Table::new(&["a"]).text_or("none"), "none\n");
    }

    #[test]
    fn cells_cannot_move_the_cursor() {
        let mut table = Table::default();
        table.row(["\x1b[2Jboo\r\nnext"]);
        assert_eq!(table.text(), "\u{fffd}[2Jboo  next\n");
    }
}
