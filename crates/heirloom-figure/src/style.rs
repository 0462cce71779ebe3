//! The house style: sizes, type and colors fixed by meaning.
//!
//! Colors are Paul Tol's (*Colour Schemes*, SRON technical note, issue 3.2). A thing has the same color, marker
//! and dash in every figure; marker and dash carry the meaning in gray print.

/// Points in an inch.
pub(crate) const INCH: f64 = 72.0;
/// Width of a figure in one column of a two-column page, in points.
pub const ONE_COLUMN: f64 = 3.4 * INCH;
/// Width of a figure across the page, in points.
pub const FULL_WIDTH: f64 = 7.0 * INCH;

/// Type of titles, in points.
pub(crate) const TITLE: f64 = 8.0;
/// Type of everything else, in points.
pub(crate) const BODY: f64 = 7.0;
/// Stroke of axes and ticks, in points.
pub(crate) const AXIS: f64 = 0.5;
/// Stroke of data, in points.
pub(crate) const LINE: f64 = 1.0;
/// Radius of a marker, in points.
pub(crate) const MARKER: f64 = 1.7;
/// Left free around every figure, in points.
pub(crate) const MARGIN: f64 = 3.0;

/// An sRGB color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// Text and axes.
    pub const BLACK: Self = Self(0x1A, 0x1A, 0x1A);
    /// Background.
    pub const WHITE: Self = Self(0xFF, 0xFF, 0xFF);
    /// Remarks beside the data.
    pub const NOTE: Self = Self(0x55, 0x55, 0x55);
    /// Controls, chance and null bands.
    pub const GRAY: Self = Self(0x77, 0x77, 0x77);

    /// The color `part` of the way from `self` to `other`, in sRGB.
    #[must_use]
    pub fn towards(self, other: Self, part: f64) -> Self {
        let mix = |from: u8, to: u8| {
            let value = f64::from(from) + (f64::from(to) - f64::from(from)) * part.clamp(0.0, 1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two u8")]
            let byte = value.round() as u8;
            byte
        };
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    /// Relative luminance of WCAG 2.1, 0 for black and 1 for white.
    pub fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    /// Black or white, whichever reads better on this color.
    #[must_use]
    pub fn ink_on(self) -> Self {
        // Contrast ratios 1.05 / (L + 0.05) and (L + 0.05) / 0.05 are equal at L = 0.179.
        if self.luminance() > 0.179 { Self::BLACK } else { Self::WHITE }
    }
}

/// The shape that marks a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle on its base.
    Triangle,
    /// A triangle on its tip.
    Wedge,
    /// A circle with a white middle.
    Ring,
    /// A square with a white middle.
    Frame,
    /// A triangle on its base, with a white middle.
    OpenTriangle,
    /// A triangle on its tip, with a white middle.
    OpenWedge,
    /// Two strokes that cross, upright.
    Plus,
    /// Two strokes that cross, slanted.
    Cross,
}

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dash {
    /// Unbroken.
    Solid,
    /// Long dashes.
    Long,
    /// Short dashes.
    Short,
    /// Dots.
    Dotted,
    /// Dash, dot.
    DashDot,
    /// Dash, dot, dot.
    DashDotDot,
    /// A long dash, a short one.
    LongShort,
    /// Dashes with hardly a gap.
    Tight,
    /// Dots far apart.
    Sparse,
}

impl Dash {
    /// Lengths of strokes and gaps in turn, in points; empty when unbroken.
    pub(crate) fn lengths(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Long => &[6.0, 2.0],
            Self::Short => &[3.0, 1.6],
            Self::Dotted => &[1.0, 1.4],
            Self::DashDot => &[5.0, 1.5, 1.0, 1.5],
            Self::DashDotDot => &[5.0, 1.4, 1.0, 1.4, 1.0, 1.4],
            Self::LongShort => &[7.0, 1.6, 2.5, 1.6],
            Self::Tight => &[4.0, 0.9],
            Self::Sparse => &[1.2, 2.8],
        }
    }
}

/// How one meaning looks, everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its color.
    pub color: Color,
    /// Its marker.
    pub marker: Marker,
    /// Its dash.
    pub dash: Dash,
}

const fn look(rgb: (u8, u8, u8), marker: Marker, dash: Dash) -> Look {
    Look { color: Color(rgb.0, rgb.1, rgb.2), marker, dash }
}

/// What is drawn in gray: controls, and names the style does not know.
pub const CONTROL: Look = Look { color: Color::GRAY, marker: Marker::Wedge, dash: Dash::Dotted };

/// Methods of fitting, in the order in which they are listed.
pub const METHODS: [(&str, Look); 5] = [
    ("dom", look((0x44, 0x77, 0xAA), Marker::Circle, Dash::Solid)),
    ("dom-z", look((0x66, 0xCC, 0xEE), Marker::Square, Dash::Long)),
    ("lda", look((0x22, 0x88, 0x33), Marker::Triangle, Dash::Short)),
    ("logistic", look((0xEE, 0x66, 0x77), Marker::Diamond, Dash::DashDot)),
    ("pca", look((0xCC, 0xBB, 0x44), Marker::Wedge, Dash::Dotted)),
];

/// Behaviors.
pub const BEHAVIORS: [(&str, Look); 3] = [
    ("blackmail", look((0xCC, 0x33, 0x11), Marker::Circle, Dash::Solid)),
    ("date-confusion", look((0x00, 0x77, 0xBB), Marker::Square, Dash::Long)),
    ("negative-emotion", look((0x00, 0x99, 0x88), Marker::Triangle, Dash::Short)),
];

/// Where a student's behavior may come from, and what it is held against.
pub const ORIGINS: [(&str, Look); 5] = [
    ("teacher", TEACHER),
    ("prompts", PROMPTS),
    ("interaction", look((0xEE, 0x33, 0x77), Marker::Triangle, Dash::DashDot)),
    ("base", BASE),
    ("control", CONTROL),
];

const TEACHER: Look = look((0xEE, 0x77, 0x33), Marker::Circle, Dash::Solid);
const PROMPTS: Look = look((0x33, 0xBB, 0xEE), Marker::Square, Dash::Long);
const BASE: Look = look((0x33, 0x33, 0x33), Marker::Diamond, Dash::Short);

/// What an arm does to the rows that a student is trained on.
pub const ARMS: [(&str, Look); 9] = [
    ("full", TEACHER),
    ("opposite", look((0x33, 0x22, 0x88), Marker::Ring, Dash::DashDot)),
    ("prompts", PROMPTS),
    ("swap", look((0x22, 0x88, 0x33), Marker::Triangle, Dash::LongShort)),
    ("drop", look((0xAA, 0x44, 0x99), Marker::Cross, Dash::DashDotDot)),
    ("insert", look((0x66, 0x11, 0x00), Marker::Plus, Dash::Sparse)),
    ("mix", look((0x00, 0x77, 0xBB), Marker::Frame, Dash::Tight)),
    ("base", BASE),
    ("control", CONTROL),
];

/// What ranks the prompts whose rollouts are swapped; random choices are gray.
pub const RANKERS: [(&str, Look); 6] = [
    ("projection-difference", look((0x00, 0x44, 0x88), Marker::Circle, Dash::Solid)),
    ("projection-difference-answers", look((0x66, 0x99, 0xCC), Marker::Diamond, Dash::DashDot)),
    ("activation-attribution", look((0xDD, 0xAA, 0x33), Marker::Square, Dash::Long)),
    ("tags", look((0xBB, 0x55, 0x66), Marker::Triangle, Dash::Short)),
    ("random", CONTROL),
    ("random-equal-length", look((0xA0, 0xA0, 0xA0), Marker::OpenWedge, Dash::Sparse)),
];

/// Classes of rows that a direction scores.
pub const ROWS: [(&str, Look); 3] = [
    ("positive", look((0x00, 0x44, 0x88), Marker::Circle, Dash::Solid)),
    ("negative", look((0xDD, 0xAA, 0x33), Marker::Square, Dash::Long)),
    ("topic-only", look((0xBB, 0x55, 0x66), Marker::Triangle, Dash::Short)),
];

/// How `name` looks in `family`; [`CONTROL`] when the family does not know it.
pub fn look_of(family: &[(&str, Look)], name: &str) -> Look {
    family.iter().find(|(known, _)| *known == name).map_or(CONTROL, |(_, look)| *look)
}

/// Tol's diverging scale from blue over white to red.
const BU_RD: [Color; 9] = [
    Color(0x21, 0x66, 0xAC),
    Color(0x43, 0x93, 0xC3),
    Color(0x92, 0xC5, 0xDE),
    Color(0xD1, 0xE5, 0xF0),
    Color(0xF7, 0xF7, 0xF7),
    Color(0xFD, 0xDB, 0xC7),
    Color(0xF4, 0xA5, 0x82),
    Color(0xD6, 0x60, 0x4D),
    Color(0xB2, 0x18, 0x2B),
];

/// Tol's sequential scale from light yellow to dark brown; its luminance falls all the way.
const YL_OR_BR: [Color; 9] = [
    Color(0xFF, 0xFF, 0xE5),
    Color(0xFF, 0xF7, 0xBC),
    Color(0xFE, 0xE3, 0x91),
    Color(0xFE, 0xC4, 0x4F),
    Color(0xFB, 0x9A, 0x29),
    Color(0xEC, 0x70, 0x14),
    Color(0xCC, 0x4C, 0x02),
    Color(0x99, 0x34, 0x04),
    Color(0x66, 0x25, 0x06),
];

/// The diverging scale: blue at 0, white at 0.5, red at 1.
pub fn diverging(part: f64) -> Color {
    between(&BU_RD, part)
}

/// The sequential scale: light at 0, dark at 1, also in gray print.
pub fn sequential(part: f64) -> Color {
    between(&YL_OR_BR, part)
}

fn between(stops: &[Color; 9], part: f64) -> Color {
    let place = part.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
    let below = (place.floor() as usize).min(stops.len() - 2);
    stops[below].towards(stops[below + 1], place - below as f64)
}
