//! The heat map.
#![deny(clippy::arithmetic_side_effects)]

use std::fmt::{self, Write};
use std::string::{String, ToString};
use std::vec::Vec;

use super::score::{Scores, Tally};

/// Viridis (van der Walt and Smith 2015) at 0, 25, 50, 75 and 100 %: its lightness grows evenly, also for those who see
/// no red or no green.
const COLOURS: [[u8; 3]; 5] = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const NOTHING: [u8; 3] = [226, 226, 226];

/// Pixels of a character of a label at most, on average.
const CHAR: u32 = 7;
const TOP: u32 = 76;
const SCALE_HEIGHT: u32 = 160;

impl Scores {
    /// The heat map as an SVG 1.1 file: length from left to right, depth from the start of the text down, and each cell in the
    /// colour of its rate. `ledger` is what exact recall came to, in a line below.
    ///
    /// The same scores give the same bytes. The text is plain, and every character of `title` that XML cannot hold is left out.
    #[must_use]
    pub fn to_svg(&self, title: &str, ledger: Option<&Tally>) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.draw(title, ledger, &mut out);
        out
    }

    #[allow(clippy::arithmetic_side_effects)] // Pixels: at most 64 rows and columns of at most 300 each.
    fn draw(&self, title: &str, ledger: Option<&Tally>, out: &mut String) -> fmt::Result {
        let rows: Vec<(String, Tally)> =
            self.depths().map(|(band, tally)| (band.to_string(), tally)).collect();
        let columns: Vec<(String, Tally)> =
            self.lengths().map(|(band, tally)| (band.to_string(), tally)).collect();
        let (down, across) = (rows.len() as u32, columns.len() as u32);
        let width = match across {
            // Wide enough for the title of the axis.
            0..=8 => (240 / across.max(1)).max(76),
            9..=16 => 48,
            _ => (800 / across).max(14),
        };
        let height = match down {
            // As high as the scale beside it.
            0..=12 => (SCALE_HEIGHT / down.max(1)).max(36),
            _ => (440 / down).max(14),
        };
        let longest = |labels: &[(String, Tally)]| {
            labels.iter().map(|(label, _)| label.len() as u32 * CHAR).max().unwrap_or(0).min(280)
        };
        let left = 46 + longest(&rows);
        let slanted = longest(&columns) + 6 > width;
        let under = if slanted { 28 + longest(&columns) * 7 / 10 } else { 22 };
        let (right, bottom) = (left + width * across, TOP + height * down.max(1));
        let axis_title = bottom + under + 18;
        let full_height = (axis_title + if ledger.is_some() { 46 } else { 16 }).max(TOP + SCALE_HEIGHT + 60);
        let summary = self.total().to_string();
        let words =
            longest_of(&[title.chars().map(|c| if c.is_ascii() { 10 } else { 17 }).sum(), summary.len() * 6]);
        let full_width = (right + 120).max(left + words + 16);

        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{full_width}" height="{full_height}" role="img""#
        )?;
        writeln!(
            out,
            r##"viewBox="0 0 {full_width} {full_height}" font-family="sans-serif" font-size="12" fill="#222222">"##
        )?;
        writeln!(out, "<title>{}</title>", Xml(title))?;
        writeln!(out, r##"<rect width="100%" height="100%" fill="#ffffff"/>"##)?;
        writeln!(out, r#"<text x="{left}" y="28" font-size="16" font-weight="bold">{}</text>"#, Xml(title))?;
        writeln!(out, r##"<text x="{left}" y="50" fill="#555555">{}</text>"##, Xml(&summary))?;

        for (row, (depth, _)) in rows.iter().enumerate() {
            let y = TOP + height * row as u32;
            for (column, (length, _)) in columns.iter().enumerate() {
                let tally = self.cell(row, column).unwrap_or_default();
                let x = left + width * column as u32;
                write!(
                    out,
                    r##"<g><rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{}" stroke="#ffffff"/>"##,
                    Colour(colour(&tally))
                )?;
                writeln!(out, "<title>depth {}, length {}: {}</title>", Xml(depth), Xml(length), tally)?;
                if let Some(percent) = tally.whole_percent()
                    && width >= 36
                    && height >= 16
                {
                    let ink = if is_dark(colour(&tally)) { "#ffffff" } else { "#111111" };
                    let (x, y) = (x + width / 2, y + height / 2 + 4);
                    write!(
                        out,
                        r#"<text x="{x}" y="{y}" fill="{ink}" text-anchor="middle">{percent}%</text>"#
                    )?;
                }
                writeln!(out, "</g>")?;
            }
            let (x, y) = (left - 8, y + height / 2 + 4);
            writeln!(out, r#"<text x="{x}" y="{y}" text-anchor="end">{}</text>"#, Xml(depth))?;
        }
        for (column, (length, _)) in columns.iter().enumerate() {
            let x = left + width * column as u32 + width / 2;
            let y = bottom + 18;
            let length = Xml(length);
            match slanted {
                false => writeln!(out, r#"<text x="{x}" y="{y}" text-anchor="middle">{length}</text>"#)?,
                true => {
                    let x = x + 4;
                    writeln!(
                        out,
                        r#"<text x="{x}" y="{y}" text-anchor="end" transform="rotate(-45 {x} {y})">{length}</text>"#
                    )?;
                }
            }
        }
        let middle = left + width * across / 2;
        writeln!(
            out,
            r#"<text x="{middle}" y="{axis_title}" text-anchor="middle">Length of the context (characters)</text>"#
        )?;
        let middle = TOP + (bottom - TOP) / 2;
        writeln!(
            out,
            r#"<text x="20" y="{middle}" text-anchor="middle" transform="rotate(-90 20 {middle})">Depth of the passkey</text>"#
        )?;

        let scale = right + 24;
        writeln!(out, r#"<defs><linearGradient id="scale" x1="0" y1="1" x2="0" y2="0">"#)?;
        for (stop, colour) in COLOURS.into_iter().enumerate() {
            writeln!(out, r#"<stop offset="{}%" stop-color="{}"/>"#, stop * 25, Colour(colour))?;
        }
        writeln!(out, "</linearGradient></defs>")?;
        writeln!(
            out,
            r#"<rect x="{scale}" y="{TOP}" width="14" height="{SCALE_HEIGHT}" fill="url(#scale)"/>"#
        )?;
        for (percent, y) in [(100, TOP + 10), (50, TOP + SCALE_HEIGHT / 2 + 4), (0, TOP + SCALE_HEIGHT)] {
            writeln!(out, r#"<text x="{}" y="{y}">{percent}%</text>"#, scale + 20)?;
        }
        writeln!(out, r#"<text x="{scale}" y="{}">found</text>"#, TOP + SCALE_HEIGHT + 20)?;

        let places = (0..rows.len()).flat_map(|row| (0..columns.len()).map(move |column| (row, column)));
        if places
            .into_iter()
            .any(|(row, column)| self.cell(row, column).is_none_or(|tally| tally.samples == 0))
        {
            let y = TOP + SCALE_HEIGHT + 34;
            writeln!(
                out,
                r#"<rect x="{scale}" y="{y}" width="14" height="12" fill="{}"/>"#,
                Colour(NOTHING)
            )?;
            writeln!(out, r#"<text x="{}" y="{}">no sample</text>"#, scale + 20, y + 10)?;
        }

        if let Some(tally) = ledger {
            let y = axis_title + 28;
            writeln!(
                out,
                r#"<rect x="{left}" y="{}" width="12" height="12" fill="{}"/>"#,
                y - 10,
                Colour(colour(tally))
            )?;
            writeln!(
                out,
                r#"<text x="{}" y="{y}">Exact recall of the ledger: {} of {}{}</text>"#,
                left + 20,
                tally.correct,
                tally.samples,
                tally.whole_percent().map_or(String::new(), |percent| std::format!(", {percent}%"))
            )?;
        }
        writeln!(out, "</svg>")
    }
}

fn longest_of(pixels: &[usize]) -> u32 {
    pixels.iter().copied().max().unwrap_or(0).min(4000) as u32
}

/// The colour of a rate.
fn colour(tally: &Tally) -> [u8; 3] {
    let Some(rate) = tally.rate() else { return NOTHING };
    let place = rate.clamp(0.0, 1.0) * 4.0;
    let stop = (place as usize).min(3);
    let part = place - stop as f64;
    let (from, to) = match COLOURS.get(stop..) {
        Some([from, to, ..]) => (from, to),
        _ => return NOTHING,
    };
    let mut mixed = [0; 3];
    for ((mixed, &from), &to) in mixed.iter_mut().zip(from).zip(to) {
        *mixed = (f64::from(from) + (f64::from(to) - f64::from(from)) * part).round() as u8;
    }
    mixed
}

/// Whether white stands out on it more than black: by the luminance of ITU-R BT.601.
fn is_dark([red, green, blue]: [u8; 3]) -> bool {
    0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue) < 120.0
}

struct Colour([u8; 3]);

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// Text within XML.
struct Xml<'a>(&'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\u{fffe}' | '\u{ffff}' => {}
                c if c.is_control() => {}
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
