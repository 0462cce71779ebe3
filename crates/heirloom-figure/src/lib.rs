//! Result tables to figures in one house style.
//!
//! Each figure is a function from rows of a tidy table and a spec to a [`Figure`]: a [`Picture`] that becomes SVG
//! or PNG, and a [`Caption`]. Nothing is computed here: rows are chosen and laid out. What a table lacks is an
//! error that names it.

mod style;
mod text;

mod bitmap;
mod canvas;
mod caption;
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
mod mean;

mod arm_bars;
mod emergence;
mod interpolation;
mod selection;
mod teacher_prompts;

mod origin_bars;
mod verdict_table;

mod dose_response;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use arm::{Arm, Behavior, BehaviorArms, Quantity, Role};
pub use arm_bars::{ArmBarsSpec, arm_bars};
pub use caption::Caption;
pub use cosines::{Against, CosinesSpec, cosines};
pub use dose_response::{DoseResponseSpec, dose_response};
pub use emergence::{EmergenceSpec, emergence};
pub use error::{Error, Result};
pub use histogram::{HistogramSpec, histograms};
pub use interpolation::{BehaviorShares, InterpolationSpec, Share, interpolation};
pub use layer_sweep::{LayerSweepSpec, layer_sweep};
pub use origin_bars::{Effect, OriginBarsSpec, origin_bars};
pub use picture::{Figure, Picture};
pub use selection::{BehaviorRankers, Ranker, SelectionSpec, selection};
pub use style::{
    ARMS, BEHAVIORS, CONTROL, Color, Dash, FULL_WIDTH, Look, METHODS, Marker, ONE_COLUMN, ORIGINS, RANKERS,
    ROWS, diverging, look_of, sequential,
};
pub use teacher_prompts::{TeacherPromptsSpec, teacher_prompts};
pub use transfer::{Between, TransferSpec, transfer};
pub use verdict_table::{VERDICTS, VerdictTableSpec, verdict_table};
