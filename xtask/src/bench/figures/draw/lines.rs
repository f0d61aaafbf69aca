//! Lines and marks over two axes.

use anyhow::Result;

use super::canvas::{Canvas, Held, Size, WIDTH, colour, legend_height, not_measured, share, svg, width};
use super::scale::{Kind, Scale, written};

/// Height of the field.
const FIELD: i32 = 300;
const TITLE: i32 = 44;
const BELOW: i32 = 56;
/// Between legend and field.
const GAP: i32 = 8;
const RIGHT: i32 = WIDTH - 24;

/// A picture of lines.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// Name and unit, and how it counts.
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// Places on both axes.
pub(super) type Points = Vec<(f64, f64)>;

/// One line with its name.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) look: Look,
    pub(super) points: Points,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Dots, joined.
    Joined,
    /// Joined, without dots: there are many.
    Smooth,
    /// Nothing measured: a bound to compare with.
    Dashed,
    /// Dots alone.
    Dots,
    /// Crosses at the bottom: what failed there.
    Crosses,
}

impl Axis {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind }
    }
}

impl Lines {
    pub(super) fn svg(&self) -> Result<String> {
        let measured = |line: &&Line| line.look != Look::Dashed && !line.points.is_empty();
        if !self.lines.iter().any(|line| measured(&line)) {
            return not_measured(&self.title);
        }
        let lines: Vec<&Line> = self.lines.iter().filter(|line| !line.points.is_empty()).collect();
        let all =
            || lines.iter().flat_map(|line| line.points.iter().copied().map(move |point| (line.look, point)));
        let x = Scale::of(self.x.kind, all().map(|(_, (x, _))| x));
        // What failed has no height of its own.
        let heights = all().filter(|(look, _)| *look != Look::Crosses).map(|(_, (_, y))| y);
        let y = Scale::of(self.y.kind, heights);
        let legend = legend_height(lines.iter().map(|line| line.name.as_str()));
        let widest = y.ticks().iter().map(|tick| width(&written(*tick), Size::Small)).max().unwrap_or(0);
        let field = Field { left: 44 + widest, top: TITLE + legend + GAP, x, y };
        svg(TITLE + legend + GAP + FIELD + BELOW, |canvas| {
            canvas.title(&self.title)?;
            canvas.legend(TITLE + 4, lines.iter().map(|line| (line.name.as_str(), colour(line.colour))))?;
            field.axes(canvas, &self.x.name, &self.y.name)?;
            lines.iter().try_for_each(|line| field.line(canvas, line))
        })
    }
}

/// Where lines lie.
struct Field {
    left: i32,
    top: i32,
    x: Scale,
    y: Scale,
}

impl Field {
    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let across = self.left + share(RIGHT - self.left, self.x.at(x));
        (across, self.top + FIELD - share(FIELD, self.y.at(y)))
    }

    fn axes(&self, canvas: &Canvas<'_>, x: &str, y: &str) -> Result<()> {
        let bottom = self.top + FIELD;
        for tick in self.y.ticks() {
            let (_, height) = self.at((self.x.from(), tick));
            canvas.rule((self.left, height), (RIGHT, height), false)?;
            canvas.text((self.left - 8, height), &written(tick), Size::Small, Held::Right, true)?;
        }
        for tick in self.x.ticks() {
            let (across, _) = self.at((tick, self.y.from()));
            canvas.rule((across, self.top), (across, bottom), false)?;
            canvas.text((across, bottom + 14), &written(tick), Size::Small, Held::Middle, true)?;
        }
        canvas.rule((self.left, bottom), (RIGHT, bottom), true)?;
        canvas.rule((self.left, self.top), (self.left, bottom), true)?;
        canvas.text((self.left.midpoint(RIGHT), bottom + 38), x, Size::Small, Held::Middle, true)?;
        canvas.text((14, self.top + FIELD / 2), y, Size::Small, Held::Upright, true)
    }

    fn line(&self, canvas: &Canvas<'_>, line: &Line) -> Result<()> {
        let colour = colour(line.colour);
        let places: Vec<(i32, i32)> = line.points.iter().map(|point| self.at(*point)).collect();
        match line.look {
            Look::Dashed => return canvas.dashed(&places, colour),
            Look::Crosses => {
                let mut places = places.iter();
                return places.try_for_each(|(x, _)| canvas.cross((*x, self.top + FIELD - 8), colour));
            }
            Look::Joined | Look::Smooth => canvas.line(places.clone(), colour)?,
            Look::Dots => {}
        }
        if line.look == Look::Smooth {
            return Ok(());
        }
        places.into_iter().try_for_each(|place| canvas.dot(place, colour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(value: f64, look: Look) -> String {
        let line = |look, points| Line { name: "shared & fast".to_owned(), colour: 0, look, points };
        let lines = vec![
            line(look, vec![(8.0, 2.0), (16.0, value)]),
            line(Look::Dashed, vec![(8.0, 8.0), (16.0, 16.0)]),
        ];
        let axis = |name| Axis::new(name, Kind::Doublings);
        Lines { title: "T".to_owned(), x: axis("allocated, MiB"), y: axis("usable, MiB"), lines }
            .svg()
            .unwrap()
    }

    #[test]
    fn a_value_that_changes_changes_the_drawing() {
        let first = drawn(4.0, Look::Joined);
        assert_ne!(first, drawn(5.0, Look::Joined));
        assert!(first.contains("shared &amp; fast") && first.contains("usable, MiB"), "{first}");
        assert_ne!(first, drawn(4.0, Look::Dots));
    }

    #[test]
    fn a_bound_alone_is_no_measurement() {
        assert!(drawn(4.0, Look::Dashed).contains("not measured"));
    }
}
