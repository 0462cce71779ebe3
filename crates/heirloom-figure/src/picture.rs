//! A finished drawing and the files it becomes.

use std::path::Path;

use heirloom_record::write_file;

use crate::canvas::Canvas;
use crate::{Caption, Result, bitmap, svg};

/// A finished drawing. The same drawing gives the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub(crate) canvas: Canvas,
    description: String,
}

impl Picture {
    pub(crate) fn new(canvas: Canvas, description: String) -> Self {
        Self { canvas, description }
    }

    /// Width and height in points.
    pub fn size(&self) -> (f64, f64) {
        (self.canvas.width, self.canvas.height)
    }

    /// The picture as an SVG document, sized in points, with the font inside; its text can be selected.
    pub fn svg(&self) -> Result<String> {
        svg::document(&self.canvas, &self.description)
    }

    /// The picture as a PNG file at 300 dots per inch.
    pub fn png(&self) -> Result<Vec<u8>> {
        bitmap::png(&self.canvas)
    }

    /// Writes `stem.svg` and `stem.png`.
    ///
    /// # Errors
    /// The picture could not be rendered, or a file not be written.
    pub fn write(&self, stem: &Path) -> Result<()> {
        // Not `with_extension`: a stem may hold a dot, as in `layer-sweep.blackmail`.
        let file = |extension: &str| {
            let mut name = stem.as_os_str().to_owned();
            name.push(extension);
            std::path::PathBuf::from(name)
        };
        write_file(&file(".svg"), self.svg()?.as_bytes())?;
        Ok(write_file(&file(".png"), &self.png()?)?)
    }
}

/// A picture and what has to stand below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The drawing.
    pub picture: Picture,
    /// The words.
    pub caption: Caption,
}
