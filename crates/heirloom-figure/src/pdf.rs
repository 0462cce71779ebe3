//! A drawing as PDF 1.7 with its fonts inside: one page of the figure's size, its text selectable.
//!
//! Written step by step with pdf-writer: a drawing is four kinds of shapes, and the embedded font is a subset already.
//! Nothing in the file is a date or drawn at random, so the same drawing gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use ab_glyph::Font as _;
use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{CidFontType, FontFlags, LineCapStyle, LineJoinStyle, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use crate::Result;
use crate::canvas::{Anchor, Canvas, Ink, Label, Point, Sheet};
use crate::style::Color;
use crate::text::{Weight, units_per_em};

/// Best compression of DEFLATE.
const LEVEL: u8 = 9;
/// Circles are four Bézier curves with handles of this length.
const HANDLE: f64 = 0.552_284_75;
const CATALOG: i32 = 1;
const PAGES: i32 = 2;
const PAGE: i32 = 3;
const CONTENT: i32 = 4;
const INFO: i32 = 5;
/// The first number of a font; each takes five.
const FONTS: i32 = 10;
/// The first number of a state of opacity.
const STATES: i32 = 30;
const SYSTEM: SystemInfo<'static> =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

/// The file's bytes.
pub(crate) fn document(canvas: &Canvas, title: &str) -> Result<Vec<u8>> {
    let mut sheet = PdfSheet {
        content: Content::new(),
        height: canvas.height,
        signs: BTreeMap::new(),
        opacities: vec![],
    };
    sheet.color(Color::WHITE);
    sheet.content.rect(0.0, 0.0, f(canvas.width), f(canvas.height)).fill_nonzero();
    sheet.content.set_line_join(LineJoinStyle::RoundJoin).set_line_cap(LineCapStyle::ButtCap);
    canvas.draw_on(&mut sheet)?;
    let PdfSheet { content, signs, opacities, .. } = sheet;

    let mut pdf = Pdf::new();
    pdf.set_version(1, 7);
    pdf.catalog(Ref::new(CATALOG)).pages(Ref::new(PAGES));
    pdf.pages(Ref::new(PAGES)).kids([Ref::new(PAGE)]).count(1);
    let mut page = pdf.page(Ref::new(PAGE));
    page.parent(Ref::new(PAGES)).media_box(Rect::new(0.0, 0.0, f(canvas.width), f(canvas.height)));
    page.contents(Ref::new(CONTENT));
    let mut resources = page.resources();
    let mut fonts = resources.fonts();
    for weight in signs.keys() {
        fonts.pair(Name(tag(*weight)), font_ref(*weight, 0));
    }
    fonts.finish();
    let mut states = resources.ext_g_states();
    for index in 0..opacities.len() {
        states.pair(Name(state(index).as_bytes()), state_ref(index));
    }
    states.finish();
    resources.finish();
    page.finish();
    let drawn = compress_to_vec_zlib(&content.finish(), LEVEL);
    pdf.stream(Ref::new(CONTENT), &drawn).filter(Filter::FlateDecode);
    for (index, opacity) in opacities.iter().enumerate() {
        pdf.ext_graphics(state_ref(index)).non_stroking_alpha(f(*opacity));
    }
    for (weight, signs) in &signs {
        write_font(&mut pdf, *weight, signs);
    }
    pdf.document_info(Ref::new(INFO)).title(TextStr(title)).producer(TextStr("heirloom"));
    Ok(pdf.finish())
}

struct PdfSheet {
    content: Content,
    /// PDF counts from the bottom.
    height: f64,
    /// What is set in each weight.
    signs: BTreeMap<Weight, BTreeSet<char>>,
    opacities: Vec<f64>,
}

impl PdfSheet {
    fn color(&mut self, Color(r, g, b): Color) {
        let [r, g, b] = [r, g, b].map(|channel| f32::from(channel) / 255.0);
        self.content.set_fill_rgb(r, g, b);
    }

    fn at(&self, (x, y): Point) -> (f32, f32) {
        (f(x), f(self.height - y))
    }

    /// Calls `draw` under an opacity.
    fn under(&mut self, opacity: f64, draw: impl FnOnce(&mut Self)) {
        if opacity >= 1.0 {
            return draw(self);
        }
        let known = self.opacities.iter().position(|other| other.total_cmp(&opacity).is_eq());
        let index = known.unwrap_or_else(|| {
            self.opacities.push(opacity);
            self.opacities.len() - 1
        });
        self.content.save_state();
        self.content.set_parameters(Name(state(index).as_bytes()));
        draw(self);
        self.content.restore_state();
    }

    fn path(&mut self, points: &[Point]) {
        for (index, point) in points.iter().enumerate() {
            let (x, y) = self.at(*point);
            let _ = if index == 0 { self.content.move_to(x, y) } else { self.content.line_to(x, y) };
        }
    }
}

impl Sheet for PdfSheet {
    fn fill(&mut self, outline: &[Point], ink: Ink) -> Result<()> {
        if ink.opacity <= 0.0 {
            return Ok(());
        }
        self.under(ink.opacity, |sheet| {
            sheet.color(ink.color);
            sheet.path(outline);
            sheet.content.close_path().fill_even_odd();
        });
        Ok(())
    }

    fn disc(&mut self, (x, y): Point, radius: f64, color: Color) -> Result<()> {
        self.color(color);
        let h = HANDLE * radius;
        let arcs = [
            [(x + radius, y + h), (x + h, y + radius), (x, y + radius)],
            [(x - h, y + radius), (x - radius, y + h), (x - radius, y)],
            [(x - radius, y - h), (x - h, y - radius), (x, y - radius)],
            [(x + h, y - radius), (x + radius, y - h), (x + radius, y)],
        ];
        self.path(&[(x + radius, y)]);
        for arc in arcs {
            let [(x1, y1), (x2, y2), (x3, y3)] = arc.map(|point| self.at(point));
            self.content.cubic_to(x1, y1, x2, y2, x3, y3);
        }
        self.content.close_path().fill_nonzero();
        Ok(())
    }

    fn stroke(&mut self, line: &[Point], width: f64, color: Color) -> Result<()> {
        let Color(r, g, b) = color;
        let [r, g, b] = [r, g, b].map(|channel| f32::from(channel) / 255.0);
        self.content.set_stroke_rgb(r, g, b).set_line_width(f(width));
        self.path(line);
        self.content.stroke();
        Ok(())
    }

    fn label(&mut self, label: &Label) -> Result<()> {
        self.color(label.color);
        let back = match label.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle | Anchor::End => label.before(),
        };
        let (x, y) = label.at;
        let start = if label.upright { (x, y + back) } else { (x - back, y) };
        let (x, y) = self.at(start);
        let font = label.weight.font();
        let glyphs: Vec<u8> =
            label.text.chars().flat_map(|sign| font.glyph_id(sign).0.to_be_bytes()).collect();
        self.signs.entry(label.weight).or_default().extend(label.text.chars());
        let turned = if label.upright { [0.0, 1.0, -1.0, 0.0, x, y] } else { [1.0, 0.0, 0.0, 1.0, x, y] };
        self.content
            .begin_text()
            .set_font(Name(tag(label.weight)), f(label.size))
            .set_text_matrix(turned)
            .show(Str(&glyphs))
            .end_text();
        Ok(())
    }
}

/// A font in five objects: the font, its glyphs' widths, its descriptor, its file, and what its glyphs mean.
fn write_font(pdf: &mut Pdf, weight: Weight, signs: &BTreeSet<char>) {
    let font = weight.font();
    let [whole, cid, descriptor, file, meanings] = [0, 1, 2, 3, 4].map(|part| font_ref(weight, part));
    let name = Name(if weight == Weight::Bold { b"Arimo-Bold" } else { b"Arimo-Regular" });
    let per_em = units_per_em(weight);
    let thousandth = |units: f32| f(f64::from(units) / per_em * 1000.0);
    pdf.type0_font(whole)
        .base_font(name)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(meanings);

    let mut glyphs: Vec<(u16, char)> = signs.iter().map(|sign| (font.glyph_id(*sign).0, *sign)).collect();
    glyphs.sort_unstable();
    let mut writer = pdf.cid_font(cid);
    writer.subtype(CidFontType::Type2).base_font(name).system_info(SYSTEM).font_descriptor(descriptor);
    writer.default_width(0.0).cid_to_gid_map_predefined(Name(b"Identity"));
    let mut widths = writer.widths();
    for (glyph, _) in &glyphs {
        let advance = font.h_advance_unscaled(ab_glyph::GlyphId(*glyph));
        widths.consecutive(*glyph, [thousandth(advance)]);
    }
    widths.finish();
    writer.finish();

    // The box of Arimo's `head` table in thousandths of an em is wider; nothing is clipped to it.
    let (up, down) = (thousandth(font.ascent_unscaled()), thousandth(font.descent_unscaled()));
    pdf.font_descriptor(descriptor)
        .name(name)
        .flags(FontFlags::NON_SYMBOLIC)
        .bbox(Rect::new(-600.0, down, 2000.0, up))
        .italic_angle(0.0)
        .ascent(up)
        .descent(down)
        .cap_height(688.0)
        .stem_v(if weight == Weight::Bold { 140.0 } else { 80.0 })
        .font_file2(file);
    let bytes = weight.ttf();
    let packed = compress_to_vec_zlib(bytes, LEVEL);
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    pdf.stream(file, &packed).filter(Filter::FlateDecode).pair(Name(b"Length1"), length);

    let mut map = UnicodeCmap::new(Name(b"Custom"), SYSTEM);
    for (glyph, sign) in glyphs {
        map.pair(glyph, sign);
    }
    let packed = compress_to_vec_zlib(&map.finish(), LEVEL);
    pdf.stream(meanings, &packed).filter(Filter::FlateDecode);
}

fn tag(weight: Weight) -> &'static [u8] {
    if weight == Weight::Bold { b"Bold" } else { b"Text" }
}

fn font_ref(weight: Weight, part: i32) -> Ref {
    Ref::new(FONTS + 5 * i32::from(weight == Weight::Bold) + part)
}

fn state(index: usize) -> String {
    format!("Faint{index}")
}

fn state_ref(index: usize) -> Ref {
    Ref::new(STATES + i32::try_from(index).unwrap_or(0))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a page is a few thousand points wide, drawn to a thousandth"
)]
fn f(points: f64) -> f32 {
    ((points * 1000.0).round() / 1000.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_its_fonts_its_text_and_no_date() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.label(Label::new("rate −0.5", (10.0, 20.0), 7.0));
        let file = document(&canvas, "what it shows").unwrap();
        assert_eq!(file, document(&canvas, "what it shows").unwrap());
        let text = String::from_utf8_lossy(&file);
        assert!(text.starts_with("%PDF-1.7") && text.contains("/MediaBox [0 0 100 50]"), "{text}");
        assert!(
            text.contains("/Arimo-Regular") && text.contains("/FontFile2") && text.contains("/ToUnicode")
        );
        assert!(!text.contains("Arimo-Bold"), "only weights in use are embedded");
        assert!(!text.contains("/CreationDate") && !text.contains("/ID"), "{text}");
    }
}
