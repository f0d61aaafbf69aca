//! A bar for each thing.

use anyhow::Result;

use super::canvas::{colour, not_measured, svg};
use super::rows::{AXIS, BAR, Frame, ROW};
use super::scale::{Kind, Scale, written};

/// A picture of bars.
pub(super) struct Bars {
    pub(super) title: String,
    /// Name and unit.
    pub(super) axis: String,
    pub(super) kind: Kind,
    pub(super) bars: Vec<Bar>,
}

/// One of them.
pub(super) struct Bar {
    pub(super) name: String,
    /// Or why there is none.
    pub(super) value: Result<f64, String>,
    pub(super) colour: usize,
}

impl Bars {
    pub(super) fn svg(&self) -> Result<String> {
        let values: Vec<f64> = self.bars.iter().filter_map(|bar| bar.value.as_ref().ok().copied()).collect();
        if values.is_empty() {
            return not_measured(&self.title);
        }
        let rows = i32::try_from(self.bars.len())?;
        let names = self.bars.iter().map(|bar| bar.name.as_str());
        // On a logarithm's axis the shortest bar is to be a bar as well.
        let below = values.iter().copied().reduce(f64::min).map(|least| least / 2.0);
        let frame = Frame::new(44, names, Scale::of(self.kind, values.into_iter().chain(below)));
        svg(44 + rows * ROW + AXIS, |canvas| {
            canvas.title(&self.title)?;
            frame.axis(canvas, rows, &self.axis)?;
            for (row, bar) in (0..).zip(&self.bars) {
                let top = frame.name(canvas, row, &bar.name)?;
                match &bar.value {
                    Ok(value) => {
                        let x = frame.x(*value);
                        canvas.bar(
                            (frame.left, top),
                            (x.max(frame.left + 2), top + BAR),
                            colour(bar.colour),
                        )?;
                        frame.words(canvas, row, x, &written(*value))?;
                    }
                    Err(why) => frame.not_measured(canvas, row, why)?,
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(value: f64) -> String {
        let bar = |name: &str, value| Bar { name: name.to_owned(), value, colour: 0 };
        let bars = vec![bar("a <b>", Ok(value)), bar("c", Ok(900.0)), bar("d", Err("too slow".to_owned()))];
        let (title, axis) = ("T".to_owned(), "time, ms (log)".to_owned());
        Bars { title, axis, kind: Kind::Decades, bars }.svg().unwrap()
    }

    #[test]
    fn a_value_that_changes_changes_the_drawing_and_missing_ones_are_said() {
        let drawn = bars(20.0);
        assert_ne!(drawn, bars(40.0));
        assert!(
            drawn.contains("not measured: too slow")
                && drawn.contains("a &lt;b&gt;")
                && drawn.contains("time, ms"),
            "{drawn}"
        );
    }

    #[test]
    fn no_bars_are_no_picture() {
        let bars = Bars { title: "T".to_owned(), axis: String::new(), kind: Kind::Linear, bars: Vec::new() };
        assert!(bars.svg().unwrap().contains("not measured"));
    }
}
