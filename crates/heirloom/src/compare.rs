//! Two arms held against each other: rates and projections, directions, activations on unrelated text, and the
//! scenarios that moved most. Nothing is sampled.
//!
//! Students are those of runs that have ended ([`compare`]), or a user's own ([`Own`]).

mod moved;
mod numbers;
mod own;
mod run;
mod shift;
mod summary;
mod turned;

use std::path::Path;

use heirloom_figure::{Arm, ArmBarsSpec, Behavior, BehaviorArms, Drawing, FigureSpec, Role, Tables};
use heirloom_probe::Resampling;
use heirloom_record::{Metric, Table, rows_to_jsonl, write_file};
use serde::Serialize;

use crate::{Result, figures};

pub use moved::{Answer, Moved};
pub use own::{Along, Looks, Own, Settings, Students};
pub use run::{Request, compare};

/// Two arms, held against each other. Differences are the first minus the second.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Names of the two arms, each with its run where there are two.
    pub arms: [String; 2],
    /// The seeds that both were measured on; of checkpoints of one's own, their places in the lists.
    pub seeds: Vec<u64>,
    /// The behaviors that both were measured on.
    pub behaviors: Vec<String>,
    /// Every number.
    pub metrics: Vec<Metric>,
    /// The scenarios that moved most, by behavior; nothing where answers are not known.
    pub moved: Option<Vec<Moved>>,
    /// What could not be compared, in words.
    pub notes: Vec<String>,
    #[serde(skip)]
    drawings: Vec<Drawing>,
    #[serde(skip)]
    summary: String,
}

/// What pairs two arms.
struct Pairing {
    labels: [String; 2],
    seeds: Vec<u64>,
    resampling: Resampling,
    /// The root of the random streams.
    seed: u64,
}

impl Pairing {
    /// Whether both are the same arm of the same run.
    fn is_one(&self) -> bool {
        self.labels[0] == self.labels[1]
    }

    /// Rates of both arms below each other, a panel per behavior.
    fn bars(&self, behaviors: &[String]) -> ArmBarsSpec {
        let [first, second] = self.labels.each_ref();
        let mut arms = vec![Arm::new(first, Role::Full)];
        if !self.is_one() {
            arms.push(Arm::new(second, Role::Swap));
        }
        let behaviors: Vec<Behavior> = behaviors.iter().map(Behavior::named).collect();
        ArmBarsSpec::new(BehaviorArms::alike(&behaviors, &arms))
    }
}

impl Comparison {
    /// What a stranger should read first.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Names of the figures that [`Self::write`] draws.
    pub fn figures(&self) -> impl Iterator<Item = &str> {
        self.drawings.iter().map(|drawing| drawing.name.as_str())
    }

    /// Writes the table, the moved scenarios and figures of both arms into the folder `folder`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Table(self.metrics.clone()).write(&folder.join("table"))?;
        if let Some(moved) = &self.moved {
            write_file(&folder.join("moved.jsonl"), rows_to_jsonl(moved).as_bytes())?;
        }
        let made = figures::made("compare", None, &self.seeds, folder, &["table.csv"])?;
        figures::write(&self.drawings, &Tables::of(&self.metrics), &made, folder)?;
        Ok(())
    }
}

/// The drawing of [`Pairing::bars`].
fn rates(bars: ArmBarsSpec) -> Drawing {
    Drawing::new("arms", FigureSpec::ArmBars(bars))
}
