//! A drawing as PNG at 300 dots per inch, on a plotters bitmap.
//!
//! Drawn three times as fine and averaged down. plotters' own polygon sweep draws joints of translucent areas
//! twice and its text loses each glyph's left bearing, so areas are filled by spans and glyphs set here.

use ab_glyph::{Font as _, point};
use plotters::prelude::{BitMapBackend, Color as _, DrawingBackend, RGBColor};

use crate::canvas::{Canvas, Ink, Label, Point, Sheet};
use crate::style::{Color, INCH};
use crate::text::units_per_em;
use crate::{Error, Result};

/// Dots per inch of a PNG.
pub(crate) const DPI: u32 = 300;
/// Fine pixels along one side of a dot.
const FINE: u32 = 3;

/// The file's bytes.
pub(crate) fn png(canvas: &Canvas) -> Result<Vec<u8>> {
    let dots = |points: f64| pixel(points / INCH * f64::from(DPI)).unsigned_abs().max(1);
    let (width, height) = (dots(canvas.width), dots(canvas.height));
    let mut fine = vec![255; (width * FINE * height * FINE * 3) as usize];
    let backend = BitMapBackend::with_buffer(&mut fine, (width * FINE, height * FINE));
    let mut sheet = PixelSheet { backend, scale: f64::from(DPI * FINE) / INCH };
    canvas.draw_on(&mut sheet)?;
    drop(sheet);
    encoded(&averaged(&fine, width as usize, height as usize), width, height)
}

struct PixelSheet<'a> {
    backend: BitMapBackend<'a>,
    /// Fine pixels in a point.
    scale: f64,
}

impl PixelSheet<'_> {
    /// Fills what lies inside an odd number of edges, at pixel centers.
    fn spans(&mut self, outline: &[Point], ink: Ink) -> Result<()> {
        let corners: Vec<Point> = outline.iter().map(|(x, y)| (x * self.scale, y * self.scale)).collect();
        let top = corners.iter().map(|corner| corner.1).fold(f64::INFINITY, f64::min);
        let bottom = corners.iter().map(|corner| corner.1).fold(f64::NEG_INFINITY, f64::max);
        let color = RGBColor(ink.color.0, ink.color.1, ink.color.2).mix(ink.opacity);
        for row in pixel(top - 0.5)..=pixel(bottom + 0.5) {
            let y = f64::from(row) + 0.5;
            let next = corners.iter().cycle().skip(1);
            let mut crossings: Vec<f64> = corners
                .iter()
                .zip(next)
                .filter(|(a, b)| (a.1 <= y) != (b.1 <= y))
                .map(|(a, b)| a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1))
                .collect();
            crossings.sort_by(f64::total_cmp);
            for span in crossings.chunks_exact(2) {
                // plotters fills up to but without its second corner.
                let (from, to) = (pixel(span[0]), pixel(span[1]));
                if from < to {
                    self.backend.draw_rect((from, row), (to, row + 1), &color, true).map_err(render)?;
                }
            }
        }
        Ok(())
    }
}

impl Sheet for PixelSheet<'_> {
    fn fill(&mut self, outline: &[Point], ink: Ink) -> Result<()> {
        self.spans(outline, ink)
    }

    fn disc(&mut self, (x, y): Point, radius: f64, color: Color) -> Result<()> {
        let angles = (0..32).map(|step| f64::from(step) / 32.0 * std::f64::consts::TAU);
        let outline: Vec<Point> = angles.map(|a| (x + radius * a.cos(), y + radius * a.sin())).collect();
        self.spans(&outline, color.into())
    }

    fn stroke(&mut self, line: &[Point], width: f64, color: Color) -> Result<()> {
        for (index, pair) in line.windows(2).enumerate() {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let length = (x1 - x0).hypot(y1 - y0);
            if length > 0.0 {
                let (dx, dy) = ((y1 - y0) / length * width / 2.0, (x0 - x1) / length * width / 2.0);
                let side = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)];
                self.spans(&side, color.into())?;
            }
            if index > 0 {
                self.disc((x0, y0), width / 2.0, color)?;
            }
        }
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "glyphs are placed in f32")]
    fn label(&mut self, label: &Label) -> Result<()> {
        let font = label.weight.font();
        let em = label.size * self.scale;
        // ab_glyph's scale is the height from ascent to descent, not the em.
        let height = f64::from(font.height_unscaled()) / units_per_em(label.weight) * em;
        let color = RGBColor(label.color.0, label.color.1, label.color.2);
        let (x, y) = (pixel(label.at.0 * self.scale), pixel(label.at.1 * self.scale));
        let (wide, high) = self.backend.get_size();
        let mut pen = -label.before() * self.scale;
        for sign in label.text.chars() {
            let glyph = font.glyph_id(sign);
            let placed = glyph.with_scale_and_position(height as f32, point(pen as f32, 0.0));
            pen += f64::from(font.h_advance_unscaled(glyph)) / units_per_em(label.weight) * em;
            let Some(outlined) = font.outline_glyph(placed) else { continue };
            let corner = outlined.px_bounds().min;
            let (left, top) = (corner.x as i32, corner.y as i32);
            let mut dots = vec![];
            outlined.draw(|dx, dy, covered| {
                dots.push((left + dx.cast_signed(), top + dy.cast_signed(), covered));
            });
            for (right, down, covered) in dots {
                let (px, py) = if label.upright { (x + down, y - right) } else { (x + right, y + down) };
                let inside = (0..wide.cast_signed()).contains(&px) && (0..high.cast_signed()).contains(&py);
                if inside && covered > 0.0 {
                    let ink = color.mix(f64::from(covered.min(1.0)));
                    self.backend.draw_pixel((px, py), ink.to_backend_color()).map_err(render)?;
                }
            }
        }
        Ok(())
    }
}

fn averaged(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let side = FINE as usize;
    let mut dots = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let row = |dy: usize| ((y * side + dy) * width * side + x * side) * 3 + channel;
                let sum: usize = (0..side)
                    .flat_map(|dy| (0..side).map(move |dx| (dy, dx)))
                    .map(|(dy, dx)| usize::from(fine[row(dy) + dx * 3]))
                    .sum();
                dots.push(u8::try_from((sum + side * side / 2) / (side * side)).unwrap_or(u8::MAX));
            }
        }
    }
    dots
}

fn encoded(dots: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Best);
    encoder.set_adaptive_filter(png::AdaptiveFilterType::Adaptive);
    let per_meter = pixel(f64::from(DPI) / 0.0254).unsigned_abs();
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_meter,
        yppu: per_meter,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(render)?;
    writer.write_image_data(dots).map_err(render)?;
    writer.finish().map_err(render)?;
    Ok(file)
}

fn render(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Render { format: "PNG", source: Box::new(error) }
}

#[expect(clippy::cast_possible_truncation, reason = "a page is a few thousand pixels wide")]
fn pixel(place: f64) -> i32 {
    place.round() as i32
}
