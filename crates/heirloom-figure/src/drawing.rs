//! A figure as a file states it: which rows of which table, how they are drawn, under which name.

use heirloom_record::{Dose, Histogram, Metric};
use serde::{Deserialize, Serialize};

use crate::{
    ArmBarsSpec, CosinesSpec, DoseResponseSpec, EmergenceSpec, Figure, HeatMapSpec, HistogramSpec,
    InterpolationSpec, LayerSweepSpec, OriginBarsSpec, Result, SelectionSpec, TeacherPromptsSpec,
    TrajectoriesSpec, TransferSpec, VerdictTableSpec, arm_bars, cosines, dose_response, emergence, heat_map,
    histograms, interpolation, layer_sweep, origin_bars, selection, teacher_prompts, trajectories, transfer,
    verdict_table,
};

/// A kind of figure and what it shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureSpec {
    /// [`emergence`].
    Emergence(EmergenceSpec),
    /// [`arm_bars`].
    ArmBars(ArmBarsSpec),
    /// [`teacher_prompts`].
    TeacherPrompts(TeacherPromptsSpec),
    /// [`interpolation`].
    Interpolation(InterpolationSpec),
    /// [`selection`].
    Selection(SelectionSpec),
    /// [`origin_bars`].
    OriginBars(OriginBarsSpec),
    /// [`verdict_table`].
    VerdictTable(VerdictTableSpec),
    /// [`heat_map`].
    HeatMap(HeatMapSpec),
    /// [`trajectories`].
    Trajectories(TrajectoriesSpec),
    /// [`cosines`].
    Cosines(CosinesSpec),
    /// [`layer_sweep`].
    LayerSweep(LayerSweepSpec),
    /// [`transfer`].
    Transfer(TransferSpec),
    /// [`histograms`].
    Histograms(HistogramSpec),
    /// [`dose_response`].
    DoseResponse(DoseResponseSpec),
}

/// A figure with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawing {
    /// The files' name without extension, and the label in LaTeX.
    pub name: String,
    /// What the figure shows, in place of the sentence that its kind has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Sentences below those that its kind has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is drawn.
    pub draw: FigureSpec,
}

/// The tables that figures are drawn from; those that a run has not are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// `table`.
    pub metrics: Vec<Metric>,
    /// `histograms`.
    pub histograms: Vec<Histogram>,
    /// `doses`.
    pub doses: Vec<Dose>,
}

impl Tables {
    /// A table of metrics alone.
    pub fn of(metrics: &[Metric]) -> Self {
        Self { metrics: metrics.to_vec(), ..Self::default() }
    }
}

/// Which of the [`Tables`] a figure is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableName {
    /// `table`.
    Metrics,
    /// `histograms`.
    Histograms,
    /// `doses`.
    Doses,
}

impl TableName {
    /// The table's file without extension.
    pub fn stem(self) -> &'static str {
        match self {
            Self::Metrics => "table",
            Self::Histograms => "histograms",
            Self::Doses => "doses",
        }
    }
}

impl FigureSpec {
    /// The table that it is drawn from.
    pub fn table(&self) -> TableName {
        match self {
            Self::Histograms(_) => TableName::Histograms,
            Self::DoseResponse(_) => TableName::Doses,
            _ => TableName::Metrics,
        }
    }

    /// Draws it.
    ///
    /// # Errors
    /// As the function of its kind.
    pub fn draw(&self, tables: &Tables) -> Result<Figure> {
        let rows = &tables.metrics;
        match self {
            Self::Emergence(spec) => emergence(rows, spec),
            Self::ArmBars(spec) => arm_bars(rows, spec),
            Self::TeacherPrompts(spec) => teacher_prompts(rows, spec),
            Self::Interpolation(spec) => interpolation(rows, spec),
            Self::Selection(spec) => selection(rows, spec),
            Self::OriginBars(spec) => origin_bars(rows, spec),
            Self::VerdictTable(spec) => verdict_table(rows, spec),
            Self::HeatMap(spec) => heat_map(rows, spec),
            Self::Trajectories(spec) => trajectories(rows, spec),
            Self::Cosines(spec) => cosines(rows, spec),
            Self::LayerSweep(spec) => layer_sweep(rows, spec),
            Self::Transfer(spec) => transfer(rows, spec),
            Self::Histograms(spec) => histograms(&tables.histograms, spec),
            Self::DoseResponse(spec) => dose_response(&tables.doses, spec),
        }
    }
}

impl Drawing {
    /// A drawing with the words of its kind.
    pub fn new(name: impl Into<String>, draw: FigureSpec) -> Self {
        Self { name: name.into(), caption: None, notes: vec![], draw }
    }

    /// The same with a sentence below.
    #[must_use]
    pub fn noting(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Draws it, with its own words.
    ///
    /// # Errors
    /// As [`FigureSpec::draw`].
    pub fn draw(&self, tables: &Tables) -> Result<Figure> {
        let mut figure = self.draw.draw(tables)?;
        if let Some(caption) = &self.caption {
            figure.caption.what.clone_from(caption);
            figure.picture = figure.picture.described(caption);
        }
        figure.caption.notes.extend(self.notes.iter().cloned());
        Ok(figure)
    }
}
