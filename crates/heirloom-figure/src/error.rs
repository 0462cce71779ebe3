//! What can keep a table from becoming a figure.

use std::path::PathBuf;

/// The result of drawing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can keep a table from becoming a figure. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The table has no rows that the figure is drawn from.
    #[error("no rows to draw: the table holds no `{metric}`")]
    NoMetric {
        /// The rows the figure needs.
        metric: String,
        /// Metrics the table does hold.
        found: Vec<String>,
    },
    /// Rows are there, but none with the value asked for.
    #[error("no `{metric}` row has {column} `{wanted}`")]
    NoRows {
        /// The rows the figure needs.
        metric: String,
        /// The column that was asked about.
        column: &'static str,
        /// What it should hold.
        wanted: String,
        /// What it holds instead, over all candidate rows.
        found: Vec<String>,
    },
    /// Rows differ in a column that one figure cannot show.
    #[error("the `{metric}` rows differ in {column}: {}", quoted(found))]
    Ambiguous {
        /// The rows the figure needs.
        metric: String,
        /// The column in which they differ.
        column: &'static str,
        /// The values they have.
        found: Vec<String>,
    },
    /// Two rows claim the same place in the figure.
    #[error("two `{metric}` rows are both for {place}")]
    Twice {
        /// The rows the figure needs.
        metric: String,
        /// The place, in words.
        place: String,
    },
    /// A number that cannot be drawn.
    #[error("the `{metric}` row for {place} holds {value}")]
    NotFinite {
        /// The rows the figure needs.
        metric: String,
        /// The place, in words.
        place: String,
        /// The number.
        value: f64,
    },
    /// More of something than a page has room for.
    #[error("{found} {what} do not fit on a page: at most {most} do")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many fit.
        most: usize,
    },
    /// A figure that names nothing to show.
    #[error("nothing to draw: the figure names no panels")]
    NoPanels,
    /// Colors that run over no numbers.
    #[error("could not color {low} to {high}: expected a range whose second end is greater than its first")]
    Range {
        /// Its first end.
        low: f64,
        /// Its second end.
        high: f64,
    },
    /// A name that files cannot have.
    #[error("could not name a figure `{name}`: expected the name of one file, without its folder")]
    Name {
        /// The name.
        name: String,
    },
    /// A name that something else has.
    #[error("the figure `{name}` would take the name of `{}`, which is not a figure's", path.display())]
    Taken {
        /// The figure's name.
        name: String,
        /// What has it already.
        path: PathBuf,
    },
    /// A format that pictures do not have.
    #[error("there is no format `{name}`: there are svg, pdf and png")]
    NoFormat {
        /// The format.
        name: String,
    },
    /// A picture could not be turned into its file format.
    #[error("could not draw the figure as {format}")]
    Render {
        /// `SVG` or `PNG`.
        format: &'static str,
        /// The drawing library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A figure could not be written.
    #[error(transparent)]
    Record(#[from] heirloom_record::Error),
}

impl Error {
    /// What the user can do about it, when there is something particular to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoMetric { metric, found } => near_or_all(metric, found, "metrics in the table"),
            Self::NoRows { wanted, found, .. } => near_or_all(wanted, found, "the table has"),
            Self::Ambiguous { column, .. } => Some(format!("name the {column} to draw")),
            Self::Taken { .. } => Some("give the figure another name, or draw into another folder".into()),
            Self::Record(error) => error.hint(),
            _ => None,
        }
    }
}

fn near_or_all(wanted: &str, found: &[String], all: &str) -> Option<String> {
    let near = heirloom_record::near(wanted, found.iter().map(String::as_str));
    match (near.is_empty(), found.is_empty()) {
        (false, _) => Some(format!("near names: {}", quoted(&near))),
        (true, false) => Some(format!("{all}: {}", quoted(found))),
        (true, true) => None,
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
