//! The embedded font: what text measures, and shortening it to fit.

use std::sync::LazyLock;

use ab_glyph::{Font as _, FontRef};

/// Names in the order in which a renderer tries them; all have the widths of Arimo, or nearly.
pub(crate) const FAMILY: &str = "Arimo, Liberation Sans, Arial, Helvetica, sans-serif";

/// A weight of the embedded font.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

impl Weight {
    /// The font that pixels are drawn from and text is measured with.
    pub(crate) fn font(self) -> &'static FontRef<'static> {
        static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| parse(Weight::Regular.ttf()));
        static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| parse(Weight::Bold.ttf()));
        match self {
            Self::Regular => &REGULAR,
            Self::Bold => &BOLD,
        }
    }

    /// The file of that font, as it is embedded in PDF.
    pub(crate) fn ttf(self) -> &'static [u8] {
        match self {
            Self::Regular => include_bytes!("../fonts/Arimo-Regular.ttf"),
            Self::Bold => include_bytes!("../fonts/Arimo-Bold.ttf"),
        }
    }

    /// The same font as it is embedded in SVG.
    pub(crate) fn woff2(self) -> &'static [u8] {
        match self {
            Self::Regular => include_bytes!("../fonts/Arimo-Regular.woff2"),
            Self::Bold => include_bytes!("../fonts/Arimo-Bold.woff2"),
        }
    }
}

fn parse(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the embedded font was parsed by a test")
}

/// Font units in an em of `weight`.
pub(crate) fn units_per_em(weight: Weight) -> f64 {
    f64::from(weight.font().units_per_em().expect("the embedded font has its em size"))
}

/// Width of `text` in points, without kerning: the embedded font has none.
pub(crate) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let font = weight.font();
    let units: f64 = text.chars().map(|c| f64::from(font.h_advance_unscaled(font.glyph_id(c)))).sum();
    units / units_per_em(weight) * size
}

/// `text`, or its start and end around an ellipsis when it is wider than `room` points.
///
/// The end is kept because long names of one family differ there.
pub(crate) fn fit(text: &str, room: f64, size: f64, weight: Weight) -> String {
    if width(text, size, weight) <= room {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let shortened = (2..chars.len()).rev().map(|kept| {
        let head = kept - kept / 3;
        let start: String = chars[..head].iter().collect();
        let end: String = chars[chars.len() - (kept - head)..].iter().collect();
        format!("{}…{}", start.trim_end(), end.trim_start())
    });
    shortened.into_iter().find(|short| width(short, size, weight) <= room).unwrap_or_else(|| "…".into())
}

/// The first of `variants` that fits in `room` points; the last one shortened when none does.
pub(crate) fn first_that_fits(variants: &[String], room: f64, size: f64) -> String {
    let fits = variants.iter().find(|text| width(text, size, Weight::Regular) <= room);
    let last = variants.last().map_or("", String::as_str);
    fits.cloned().unwrap_or_else(|| fit(last, room, size, Weight::Regular))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_wide_as_helvetica_sets_them() {
        // Helvetica's digits advance 556 of 1000 units.
        assert!((width("0123456789", 1.0, Weight::Regular) - 5.56).abs() < 0.005);
        assert!((width("7", 7.0, Weight::Bold) - width("1", 7.0, Weight::Bold)).abs() < 1e-9);
    }

    #[test]
    fn the_font_knows_every_sign_that_figures_use() {
        for weight in [Weight::Regular, Weight::Bold] {
            for sign in "azAZ09 –—−×±≤≥≈…·°%αβΔμσ→∞[]()'`".chars() {
                assert_ne!(weight.font().glyph_id(sign).0, 0, "{sign}");
            }
        }
    }

    #[test]
    fn a_long_name_keeps_both_ends_and_fits() {
        let name = "a-family-of-prompts-with-a-very-long-name-number-12";
        let short = fit(name, 60.0, 7.0, Weight::Regular);
        assert!(width(&short, 7.0, Weight::Regular) <= 60.0);
        assert!(short.starts_with("a-fam") && short.ends_with("12") && short.contains('…'), "{short}");
        assert_eq!(fit("dom", 60.0, 7.0, Weight::Regular), "dom");
        assert_eq!(fit(name, 1.0, 7.0, Weight::Regular), "…");
    }
}
