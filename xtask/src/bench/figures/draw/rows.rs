//! The frame of pictures with a row for each thing: names at the left, an axis below, words where nothing was measured.

use anyhow::Result;

use super::canvas::{Canvas, Held, Size, WIDTH, share, width};
use super::scale::{Scale, written};

/// Height of a row.
pub(super) const ROW: i32 = 30;
/// Of that its bar.
pub(super) const BAR: i32 = 20;
/// Of the axis with its name.
pub(super) const AXIS: i32 = 50;
/// Behind the longest bar, for its number.
const BEHIND: i32 = 84;
/// The most that names may take.
const NAMES: i32 = 300;

/// Where rows lie.
pub(super) struct Frame {
    pub(super) left: i32,
    right: i32,
    top: i32,
    pub(super) scale: Scale,
}

impl Frame {
    /// Wide enough for these names.
    pub(super) fn new<'a>(top: i32, names: impl IntoIterator<Item = &'a str>, scale: Scale) -> Self {
        let longest = names.into_iter().map(|name| width(name, Size::Small)).max().unwrap_or(0);
        Self { left: 24 + longest.min(NAMES), right: WIDTH - BEHIND, top, scale }
    }

    /// The axis with its rules, for so many rows.
    pub(super) fn axis(&self, canvas: &Canvas<'_>, rows: i32, name: &str) -> Result<()> {
        let bottom = self.top + rows * ROW;
        let mut free = 0;
        for tick in self.scale.ticks() {
            let (x, text) = (self.x(tick), written(tick));
            canvas.rule((x, self.top), (x, bottom), false)?;
            let half = width(&text, Size::Small) / 2 + 4;
            if x - half >= free {
                canvas.text((x, bottom + 12), &text, Size::Small, Held::Middle, true)?;
                free = x + half;
            }
        }
        canvas.rule((self.left, self.top), (self.left, bottom), true)?;
        canvas.text((self.left.midpoint(self.right), bottom + 33), name, Size::Small, Held::Middle, true)
    }

    /// A row's name; where the top of its bar is.
    pub(super) fn name(&self, canvas: &Canvas<'_>, row: i32, name: &str) -> Result<i32> {
        let y = self.top + row * ROW + ROW / 2;
        canvas.text((self.left - 8, y), name, Size::Small, Held::Right, false)?;
        Ok(y - BAR / 2)
    }

    /// Behind a bar that ends at `x`.
    pub(super) fn words(&self, canvas: &Canvas<'_>, row: i32, x: i32, words: &str) -> Result<()> {
        let y = self.top + row * ROW + ROW / 2;
        canvas.text((x + 6, y), words, Size::Small, Held::Left, true)
    }

    /// In the place of a bar.
    pub(super) fn not_measured(&self, canvas: &Canvas<'_>, row: i32, why: &str) -> Result<()> {
        let room = (WIDTH - self.left - 12) / width("n", Size::Small).max(1);
        let text = if why.is_empty() { "not measured".to_owned() } else { format!("not measured: {why}") };
        let cut: String = text.chars().take(usize::try_from(room).unwrap_or(0).max(12)).collect();
        let text = if cut == text { text } else { cut + "…" };
        self.words(canvas, row, self.left, &text)
    }

    /// Of a value.
    pub(super) fn x(&self, value: f64) -> i32 {
        self.left + share(self.right - self.left, self.scale.at(value))
    }
}
