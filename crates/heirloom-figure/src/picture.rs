//! A finished drawing and the formats it becomes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use heirloom_record::write_file;
use serde::{Deserialize, Serialize};

use crate::canvas::Canvas;
use crate::style::FULL_WIDTH;
use crate::{Caption, Error, Result, bitmap, pdf, svg};

/// A finished drawing. The same drawing gives the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub(crate) canvas: Canvas,
    description: String,
}

/// A format of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Vectors for the web.
    Svg,
    /// Vectors for LaTeX.
    Pdf,
    /// Pixels at 300 dots per inch.
    Png,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Svg, Self::Pdf, Self::Png];

    /// The file's extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Pdf => "pdf",
            Self::Png => "png",
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| Error::NoFormat { name: name.into() })
    }
}

/// `stem` with an extension. Not `with_extension`: a stem may hold a dot, as in `layer-sweep.blackmail`.
pub(crate) fn with(stem: &Path, extension: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

impl Picture {
    pub(crate) fn new(canvas: Canvas, description: String) -> Self {
        Self { canvas, description }
    }

    /// The same with another description, for those who hear it.
    pub(crate) fn described(self, description: &str) -> Self {
        Self { description: description.into(), ..self }
    }

    /// Width and height in points.
    pub fn size(&self) -> (f64, f64) {
        (self.canvas.width, self.canvas.height)
    }

    /// Whether it is as wide as a page of two columns.
    pub fn is_full_width(&self) -> bool {
        self.canvas.width >= FULL_WIDTH
    }

    /// The picture as an SVG document, sized in points, with the font inside; its text can be selected.
    pub fn svg(&self) -> Result<String> {
        svg::document(&self.canvas, &self.description)
    }

    /// The same without the font, for a page that has it already.
    pub fn inline_svg(&self) -> Result<String> {
        svg::inline(&self.canvas, &self.description)
    }

    /// The picture as a PDF file of one page, with the font inside; its text can be selected.
    pub fn pdf(&self) -> Result<Vec<u8>> {
        pdf::document(&self.canvas, &self.description)
    }

    /// The picture as a PNG file at 300 dots per inch.
    pub fn png(&self) -> Result<Vec<u8>> {
        bitmap::png(&self.canvas)
    }

    /// The picture in a format.
    pub fn bytes(&self, format: Format) -> Result<Vec<u8>> {
        match format {
            Format::Svg => self.svg().map(String::into_bytes),
            Format::Pdf => self.pdf(),
            Format::Png => self.png(),
        }
    }

    /// Writes `stem.svg`, `stem.pdf` and `stem.png`.
    ///
    /// # Errors
    /// The picture could not be rendered, or a file not be written.
    pub fn write(&self, stem: &Path) -> Result<()> {
        for format in Format::ALL {
            write_file(&with(stem, format.name()), &self.bytes(format)?)?;
        }
        Ok(())
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

impl Figure {
    /// A figure environment for LaTeX that includes `name.pdf` at its size, or as wide as the line where that is narrower, with the
    /// caption and a label.
    pub fn latex(&self, name: &str) -> String {
        let environment = if self.picture.is_full_width() { "figure*" } else { "figure" };
        let inches = self.picture.size().0 / crate::style::INCH;
        format!(
            "\\begin{{{environment}}}\n  \\centering\n  \\includegraphics[width=\\ifdim\\linewidth<{inches}in\\linewidth\\else{inches}in\\fi]{{{name}.pdf}}\n  \
             \\caption{{{}}}\n  \\label{{fig:{name}}}\n\\end{{{environment}}}\n",
            self.caption.latex()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latex_has_the_width_the_caption_and_a_label() {
        let caption = Caption { what: "Rates".into(), n: "n = 3 seeds".into(), ..Caption::default() };
        let of = |width: f64| {
            let picture = Picture::new(Canvas::new(width, 100.0), String::new());
            Figure { picture, caption: caption.clone() }.latex("rates")
        };
        assert_eq!(
            of(FULL_WIDTH),
            "\\begin{figure*}\n  \\centering\n  \\includegraphics[width=\\ifdim\\linewidth<7in\\linewidth\\else7in\\fi]{rates.pdf}\n  \
             \\caption{Rates. n = 3 seeds.}\n  \\label{fig:rates}\n\\end{figure*}\n"
        );
        assert!(
            of(crate::ONE_COLUMN)
                .contains("\\begin{figure}\n  \\centering\n  \\includegraphics[width=\\ifdim\\linewidth<3.4in\\linewidth\\else3.4in\\fi]")
        );
    }

    #[test]
    fn a_format_is_known_by_its_extension() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), format);
        }
        let error = "jpg".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "there is no format `jpg`: there are svg, pdf and png");
    }
}
