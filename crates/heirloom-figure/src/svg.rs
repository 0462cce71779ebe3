//! A drawing as SVG, through plotters, with the font inside.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use plotters::prelude::{
    DrawingBackend, FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, SVGBackend, ShapeStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, TextStyle};

use crate::canvas::{Anchor, Canvas, Ink, Label, Point, Sheet};
use crate::style::Color;
use crate::text::{FAMILY, Weight};
use crate::{Error, Result};

/// User units in a point: plotters writes whole numbers only.
const UNITS: f64 = 20.0;

/// The font of `weight`, as a style sheet embeds it.
fn face(weight: Weight) -> String {
    let name = if weight == Weight::Bold { "bold" } else { "normal" };
    format!(
        "@font-face{{font-family:Arimo;font-weight:{name};src:url(data:font/woff2;base64,{})format(\"woff2\")}}\n",
        BASE64_STANDARD.encode(weight.woff2())
    )
}

/// Both weights of the font, for a page of many drawings.
pub fn font_faces() -> String {
    [Weight::Regular, Weight::Bold].map(face).concat()
}

/// The document without the font, for a page that embeds [`font_faces`].
pub(crate) fn inline(canvas: &Canvas, description: &str) -> Result<String> {
    let (width, height, body) = drawn(canvas)?;
    Ok(format!(
        "{}>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n{body}",
        head(canvas, description)
    ))
}

fn head(canvas: &Canvas, description: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}pt\" height=\"{}pt\" viewBox=\"0 0 {} {}\" \
         role=\"img\" aria-label=\"{}\" stroke-linejoin=\"round\"",
        canvas.width,
        canvas.height,
        units(canvas.width),
        units(canvas.height),
        escaped(description)
    )
}

/// Width and height in units, and everything but the first line.
fn drawn(canvas: &Canvas) -> Result<(i32, i32, String)> {
    let (width, height) = (units(canvas.width), units(canvas.height));
    let mut drawn = String::new();
    let mut sheet =
        SvgSheet(SVGBackend::with_string(&mut drawn, (width.unsigned_abs(), height.unsigned_abs())));
    canvas.draw_on(&mut sheet)?;
    sheet.0.present().map_err(render)?;
    drop(sheet);
    // plotters' own first line has no unit, no description and no font.
    let body = drawn.split_once('\n').map_or("", |(_, body)| body);
    Ok((width, height, body.to_owned()))
}

/// The document: sized in points, white, readable without the font being installed.
pub(crate) fn document(canvas: &Canvas, description: &str) -> Result<String> {
    let (width, height, body) = drawn(canvas)?;
    let fonts: String = canvas.weights().into_iter().map(face).collect();
    Ok(format!(
        "{}>\n<style>\n{fonts}</style>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n{body}",
        head(canvas, description)
    ))
}

struct SvgSheet<'a>(SVGBackend<'a>);

impl Sheet for SvgSheet<'_> {
    fn fill(&mut self, outline: &[Point], ink: Ink) -> Result<()> {
        let color = rgba(ink.color, ink.opacity);
        self.0.fill_polygon(outline.iter().map(|point| grid(*point)), &color).map_err(render)
    }

    fn disc(&mut self, center: Point, radius: f64, color: Color) -> Result<()> {
        let radius = units(radius).unsigned_abs();
        self.0.draw_circle(grid(center), radius, &rgba(color, 1.0), true).map_err(render)
    }

    fn stroke(&mut self, line: &[Point], width: f64, color: Color) -> Result<()> {
        let style =
            ShapeStyle { color: rgba(color, 1.0), filled: false, stroke_width: units(width).unsigned_abs() };
        self.0.draw_path(line.iter().map(|point| grid(*point)), &style).map_err(render)
    }

    fn label(&mut self, label: &Label) -> Result<()> {
        let em = label.size * UNITS;
        let h_pos = match label.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // plotters writes 1/1.24 of the size it is given, and for `Top` puts the baseline 0.76 em below.
        let weight = if label.weight == Weight::Bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::Name(FAMILY), em * 1.24, weight);
        let font = if label.upright { font.transform(FontTransform::Rotate270) } else { font };
        let color = rgba(label.color, 1.0);
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h_pos, VPos::Top));
        let (x, y) = label.at;
        let up = 0.76 * label.size;
        let at = if label.upright { (x - up, y) } else { (x, y - up) };
        self.0.draw_text(&label.text, &style, grid(at)).map_err(render)
    }
}

fn rgba(color: Color, opacity: f64) -> RGBAColor {
    plotters::style::RGBColor(color.0, color.1, color.2).mix(opacity)
}

fn render(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Render { format: "SVG", source: Box::new(error) }
}

#[expect(clippy::cast_possible_truncation, reason = "a page is a few thousand points wide")]
fn units(points: f64) -> i32 {
    (points * UNITS).round() as i32
}

fn grid((x, y): Point) -> (i32, i32) {
    (units(x), units(y))
}

/// Text as it stands inside an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_sits_on_its_baseline() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.label(Label::new("<b> & \"c\"", (10.0, 20.0), 7.0));
        let svg = document(&canvas, "a < b").unwrap();
        assert!(svg.contains("&lt;b&gt; &amp; &quot;c&quot;"));
        assert!(svg.contains("aria-label=\"a &lt; b\""));
        assert!(svg.contains("width=\"100pt\" height=\"50pt\" viewBox=\"0 0 2000 1000\""));
        // 20 pt below the top, less 0.76 of 7 pt, in twentieths.
        assert!(svg.contains("y=\"294\" dy=\"0.76em\""), "{svg}");
        assert!(svg.contains("font-size=\"140\""), "{svg}");
        assert!(!svg.contains("font-weight:bold"), "only weights in use are embedded");
    }
}
