//! What all pictures share: their width, letters and colours, and how a shape becomes SVG.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Narrow, so that letters stay legible where a phone shrinks it.
pub(super) const WIDTH: i32 = 680;
pub(super) const DARK: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);
const GREY: RGBColor = RGBColor(0x59, 0x59, 0x59);
const RULE: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// What people who see colours differently can tell apart (Okabe and Ito, "Color Universal Design", 2008).
const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0x1a, 0x1a, 0x1a),
];
/// Of the palette: what is beside the matter.
pub(super) const BESIDE: usize = 6;
/// What a letter takes of its size, about.
const LETTER: f64 = 0.56;
/// A plotter's size of a font is that of its box, 1.24 times what SVG says.
const BOX: f64 = 1.24;

/// Sizes of letters, in pixels.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Title,
    Normal,
    Small,
}

impl Size {
    pub(super) const fn pixels(self) -> i32 {
        match self {
            Self::Title => 20,
            Self::Normal => 16,
            Self::Small => 14,
        }
    }
}

/// Where a text is held.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Left,
    Middle,
    Right,
    /// In the middle, read upwards.
    Upright,
}

/// A picture in the making.
pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// Draws on white.
pub(super) fn svg(height: i32, draw: impl FnOnce(&Canvas<'_>) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    let canvas = Canvas(SVGBackend::with_string(&mut text, size).into_drawing_area());
    canvas.0.fill(&WHITE)?;
    draw(&canvas)?;
    canvas.0.present()?;
    drop(canvas);
    Ok(text)
}

/// A picture of what nobody has measured.
pub(super) fn not_measured(title: &str) -> Result<String> {
    svg(120, |canvas| {
        canvas.title(title)?;
        canvas.text((WIDTH / 2, 75), "not measured", Size::Normal, Held::Middle, true)
    })
}

pub(super) fn colour(number: usize) -> RGBColor {
    PALETTE[number % PALETTE.len()]
}

/// What a text takes, about, in pixels.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "texts are short")]
pub(super) fn width(text: &str, size: Size) -> i32 {
    (text.chars().count() as f64 * f64::from(size.pixels()) * LETTER) as i32
}

/// A share of a length.
#[expect(clippy::cast_possible_truncation, reason = "pixels")]
pub(super) fn share(length: i32, part: f64) -> i32 {
    (f64::from(length) * part).round() as i32
}

impl Canvas<'_> {
    pub(super) fn title(&self, title: &str) -> Result<()> {
        self.text((12, 20), title, Size::Title, Held::Left, false)
    }

    /// `at` is the middle of its height.
    pub(super) fn text(&self, at: (i32, i32), text: &str, size: Size, held: Held, faint: bool) -> Result<()> {
        let font = ("sans-serif", f64::from(size.pixels()) * BOX).into_font();
        let (side, font) = match held {
            Held::Left => (HPos::Left, font),
            Held::Middle => (HPos::Center, font),
            Held::Right => (HPos::Right, font),
            Held::Upright => (HPos::Center, font.transform(FontTransform::Rotate270)),
        };
        let style = font.color(if faint { &GREY } else { &DARK }).pos(Pos::new(side, VPos::Center));
        Ok(self.0.draw(&Text::new(text.to_owned(), at, style))?)
    }

    pub(super) fn line(&self, points: Vec<(i32, i32)>, colour: RGBColor) -> Result<()> {
        Ok(self.0.draw(&PathElement::new(points, colour.stroke_width(2)))?)
    }

    /// As dashes of equal length.
    pub(super) fn dashed(&self, points: &[(i32, i32)], colour: RGBColor) -> Result<()> {
        const DASH: f64 = 7.0;
        for pair in points.windows(2) {
            let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
            let (wide, high) = (to_x - x, to_y - y);
            let length = f64::from(wide).hypot(f64::from(high));
            let mut at = 0.0;
            while at < length {
                let place = |at: f64| (x + share(wide, at / length), y + share(high, at / length));
                self.line(vec![place(at), place((at + DASH).min(length))], colour)?;
                at += 2.0 * DASH;
            }
        }
        Ok(())
    }

    pub(super) fn rule(&self, from: (i32, i32), to: (i32, i32), dark: bool) -> Result<()> {
        Ok(self.0.draw(&PathElement::new(vec![from, to], if dark { &GREY } else { &RULE }))?)
    }

    pub(super) fn dot(&self, at: (i32, i32), colour: RGBColor) -> Result<()> {
        Ok(self.0.draw(&Circle::new(at, 4, colour.filled()))?)
    }

    pub(super) fn cross(&self, at: (i32, i32), colour: RGBColor) -> Result<()> {
        let (x, y) = at;
        self.line(vec![(x - 5, y - 5), (x + 5, y + 5)], colour)?;
        self.line(vec![(x - 5, y + 5), (x + 5, y - 5)], colour)
    }

    pub(super) fn bar(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<()> {
        Ok(self.0.draw(&Rectangle::new([from, to], colour.filled()))?)
    }

    /// Names with their colours from `top` on, in as many lines as they need; where they end.
    pub(super) fn legend<'a>(
        &self,
        top: i32,
        names: impl IntoIterator<Item = (&'a str, RGBColor)>,
    ) -> Result<i32> {
        let (mut x, mut y) = (12, top);
        for (name, colour) in names {
            let wide = 22 + width(name, Size::Small) + 18;
            if x > 12 && x + wide > WIDTH {
                (x, y) = (12, y + LEGEND);
            }
            self.bar((x, y - 6), (x + 14, y + 6), colour)?;
            self.text((x + 22, y), name, Size::Small, Held::Left, false)?;
            x += wide;
        }
        Ok(y + LEGEND)
    }
}

/// Height of a line of a legend.
pub(super) const LEGEND: i32 = 22;

/// Lines that a legend takes.
pub(super) fn legend_height<'a>(names: impl IntoIterator<Item = &'a str>) -> i32 {
    let (mut x, mut lines) = (12, 1);
    for name in names {
        let wide = 22 + width(name, Size::Small) + 18;
        if x > 12 && x + wide > WIDTH {
            (x, lines) = (12, lines + 1);
        }
        x += wide;
    }
    lines * LEGEND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let svg = not_measured("a < b & \"c\" <script>").unwrap();
        assert!(!svg.contains("<script") && svg.contains("a &lt; b &amp;"), "{svg}");
    }
}
