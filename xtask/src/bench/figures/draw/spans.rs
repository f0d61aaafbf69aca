//! Bars of several stages, one behind another or each where it began, in panels with an axis each.

use anyhow::Result;

use super::canvas::{colour, legend_height, not_measured, svg};
use super::rows::{AXIS, BAR, Frame, ROW};
use super::scale::{Kind, Scale, written};

/// Height of a panel's name.
const NAME: i32 = 30;
const TITLE: i32 = 44;

/// A picture of stages.
pub(super) struct Spans {
    pub(super) title: String,
    /// Name and unit.
    pub(super) axis: String,
    /// Names of stages with their colours, as the legend has them.
    pub(super) stages: Vec<(String, usize)>,
    pub(super) panels: Vec<Panel>,
}

/// Rows that share an axis.
pub(super) struct Panel {
    /// Empty if there is one panel only.
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

/// One bar.
pub(super) struct Row {
    pub(super) name: String,
    /// Or why there are none.
    pub(super) spans: Result<Vec<Span>, String>,
}

/// A stage: its number, its beginning and its length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) stage: usize,
    pub(super) start: f64,
    pub(super) length: f64,
}

/// One behind another.
pub(super) fn stacked(lengths: impl IntoIterator<Item = (usize, f64)>) -> Vec<Span> {
    let mut start = 0.0;
    let mut next = |(stage, length): (usize, f64)| {
        let span = Span { stage, start, length: length.max(0.0) };
        start += span.length;
        span
    };
    lengths.into_iter().map(&mut next).collect()
}

impl Spans {
    pub(super) fn svg(&self) -> Result<String> {
        let panels: Vec<&Panel> =
            self.panels.iter().filter(|panel| panel.rows.iter().any(|row| row.spans.is_ok())).collect();
        if panels.is_empty() {
            return not_measured(&self.title);
        }
        let legend = legend_height(self.stages.iter().map(|(name, _)| name.as_str()));
        let height = |panel: &Panel| {
            let name = if panel.name.is_empty() { 0 } else { NAME };
            Ok::<_, anyhow::Error>(name + i32::try_from(panel.rows.len())? * ROW + AXIS)
        };
        let total = panels.iter().map(|panel| height(panel)).sum::<Result<i32>>()?;
        // One width for all names, so that panels stand below each other.
        let names = || self.panels.iter().flat_map(|panel| &panel.rows).map(|row| row.name.as_str());
        svg(TITLE + legend + total + 6, |canvas| {
            canvas.title(&self.title)?;
            let stages = self.stages.iter().map(|(name, number)| (name.as_str(), colour(*number)));
            let mut top = canvas.legend(TITLE + 4, stages)?;
            for panel in &panels {
                let below = height(panel)?;
                if !panel.name.is_empty() {
                    canvas.text(
                        (12, top + 12),
                        &panel.name,
                        super::canvas::Size::Normal,
                        super::canvas::Held::Left,
                        false,
                    )?;
                    top += NAME;
                }
                let ends = panel
                    .rows
                    .iter()
                    .flat_map(|row| row.spans.iter().flatten())
                    .map(|span| span.start + span.length);
                let frame = Frame::new(top, names(), Scale::of(Kind::Linear, ends));
                self.panel(canvas, &frame, panel)?;
                top += below - if panel.name.is_empty() { 0 } else { NAME };
            }
            Ok(())
        })
    }

    fn panel(&self, canvas: &super::canvas::Canvas<'_>, frame: &Frame, panel: &Panel) -> Result<()> {
        frame.axis(canvas, i32::try_from(panel.rows.len())?, &self.axis)?;
        for (number, row) in (0..).zip(&panel.rows) {
            let top = frame.name(canvas, number, &row.name)?;
            let spans = match &row.spans {
                Ok(spans) => spans,
                Err(why) => {
                    frame.not_measured(canvas, number, why)?;
                    continue;
                }
            };
            let mut end = 0.0_f64;
            for span in spans {
                let (from, to) = (frame.x(span.start), frame.x(span.start + span.length));
                let number = self.stages.get(span.stage).map_or(span.stage, |(_, number)| *number);
                if to > from {
                    canvas.bar((from, top), (to, top + BAR), colour(number))?;
                }
                end = end.max(span.start + span.length);
            }
            frame.words(canvas, number, frame.x(end), &written(end))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(length: f64) -> String {
        let rows = vec![
            Row { name: "cold".to_owned(), spans: Ok(stacked([(0, 10.0), (1, length)])) },
            Row { name: "warm".to_owned(), spans: Err("asleep".to_owned()) },
        ];
        let stages = vec![("boot".to_owned(), 0), ("transfer".to_owned(), 1)];
        let panels = vec![Panel { name: "1.5 MiB".to_owned(), rows }];
        Spans { title: "T".to_owned(), axis: "time, ms".to_owned(), stages, panels }.svg().unwrap()
    }

    #[test]
    fn a_value_that_changes_changes_the_drawing_and_missing_ones_are_said() {
        let first = drawn(30.0);
        assert_ne!(first, drawn(25.0));
        assert!(
            first.contains("not measured: asleep") && first.contains("1.5 MiB") && first.contains("transfer")
        );
    }

    #[test]
    fn stages_stand_one_behind_another() {
        let spans = stacked([(0, 2.0), (1, -1.0), (2, 3.0)]);
        assert_eq!(spans[2], Span { stage: 2, start: 2.0, length: 3.0 });
    }

    #[test]
    fn nothing_measured_is_no_picture() {
        let rows = vec![Row { name: "cold".to_owned(), spans: Err(String::new()) }];
        let panels = vec![Panel { name: String::new(), rows }];
        let spans = Spans { title: "T".to_owned(), axis: String::new(), stages: Vec::new(), panels };
        assert!(spans.svg().unwrap().contains("not measured"));
    }
}
