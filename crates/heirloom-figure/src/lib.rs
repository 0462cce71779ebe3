//! Result tables to figures in one house style.
//!
//! Each figure is a function from rows of a tidy table and a spec to a [`Figure`]: a [`Picture`] that becomes SVG,
//! PDF or PNG, and a [`Caption`]. A [`Drawing`] is a spec that a file can hold; written, it stands beside the rows it
//! shows and a [`Provenance`], from which it can be drawn again. Nothing is computed here: rows are chosen and laid out. What a table lacks is an
//! error that names it.

mod style;
mod text;

mod bitmap;
mod canvas;
mod caption;
mod pdf;
mod picture;
mod svg;

mod error;
mod select;

mod axes;
mod cells;
mod legend;
mod marks;
mod place;
mod steps;

mod histogram;
mod layer_sweep;
mod square;
mod transfer;

mod cosines;

mod arm;
mod beside;
mod mean;

mod arm_bars;
mod emergence;
mod heat_map;
mod interpolation;
mod selection;
mod teacher_prompts;
mod trajectories;

mod origin_bars;
mod verdict_table;

mod dose_response;

mod drawing;
mod made;
mod rows;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use arm::{Arm, Behavior, BehaviorArms, Quantity, Role};
pub use arm_bars::{ArmBarsSpec, arm_bars};
pub use beside::Beside;
pub use caption::Caption;
pub use cosines::{Against, CosinesSpec, cosines};
pub use dose_response::{DoseResponseSpec, dose_response};
pub use drawing::{Drawing, FigureSpec, TableName, Tables};
pub use emergence::{EmergenceSpec, emergence};
pub use error::{Error, Result};
pub use heat_map::{HeatMapSpec, heat_map};
pub use histogram::{HistogramSpec, histograms};
pub use interpolation::{BehaviorShares, InterpolationSpec, Share, interpolation};
pub use layer_sweep::{LayerSweepSpec, layer_sweep};
pub use made::{Checked, Made, Provenance};
pub use origin_bars::{Effect, OriginBarsSpec, origin_bars};
pub use picture::{Figure, Format, Picture};
pub use selection::{BehaviorRankers, Ranker, SelectionSpec, selection};
pub use style::{
    ARMS, BEHAVIORS, CONTROL, Color, Dash, FULL_WIDTH, Look, METHODS, Marker, ONE_COLUMN, ORIGINS, RANKERS,
    ROWS, diverging, look_of, sequential,
};
pub use svg::font_faces;
pub use teacher_prompts::{TeacherPromptsSpec, teacher_prompts};
pub use trajectories::{TrajectoriesSpec, trajectories};
pub use transfer::{Between, TransferSpec, transfer};
pub use verdict_table::{VERDICTS, VerdictTableSpec, verdict_table};
