//! Does a direction cause its behavior? Students answer while a direction is added, ablated or set back to the base's.
//!
//! Students, directions and scenarios are those of a run with arms ([`ArmsExperiment::steer`](crate::arms::ArmsExperiment::steer)),
//! steered at the last prompt token alone, or a user's own ([`Own`]). Both read like the check: students and directions →
//! edits along each direction and along directions that mean nothing → answers, graded → doses, verdicts, a figure. Every
//! direction, control or not, is searched over the same doses on the same scenarios with the same random draws; only then
//! its best dose is compared.
//!
//! A verdict asks for more than `heirloom_probe::causal::judge`, which compares with controls on the students at hand: an
//! effect whose interval over seeds and scenarios holds 0 is undecided, and so is one at no dose that leaves answers well formed.

mod about;
mod answers;
mod bench;
mod checks;
mod doses;
mod own;
mod run;
mod summary;
mod weigh;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use heirloom_figure::{Made, Tables};
use heirloom_record::{CausalCheck, Dose, NewFolder, Table};

use crate::spec::setting;
use crate::{Progress, Result, figures};
use about::About;
use bench::Bench;
use weigh::Weighed;

pub use about::At;
pub use own::{Own, OwnOptions, SteerPlan};
pub use run::SteerOptions;

/// How every vector is searched, direction or control.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Doses, in mean norms of the activations at the hook point.
    pub strengths: Vec<f64>,
    /// Random directions, and as many random differences of activations.
    pub controls: usize,
    /// Scenarios of each behavior and student.
    pub scenarios: usize,
    /// Share of the unsteered model's well-formed answers below which a dose does not count.
    pub floor: f64,
}

/// What steering has found.
#[derive(Clone, Debug)]
pub struct Steered {
    /// The folder with tables and figure.
    pub folder: PathBuf,
    /// Rates, coherence and likelihood by strength.
    pub doses: Vec<Dose>,
    /// Effects beside those of controls, with verdicts.
    pub checks: Vec<CausalCheck>,
    summary: String,
}

impl Default for Search {
    /// Six doses, 64 controls of each kind, 48 scenarios.
    fn default() -> Self {
        let strengths = vec![-1.0, -0.5, -0.25, 0.25, 0.5, 1.0];
        Self { strengths, controls: 64, scenarios: 48, floor: 0.9 }
    }
}

impl Search {
    /// Says what would fail later.
    ///
    /// # Errors
    /// Names the setting, what it may be and what it is.
    pub fn check(&self) -> Result<()> {
        let Self { strengths, controls, scenarios, floor } = self;
        let wrong = strengths.iter().find(|strength| !strength.is_finite() || **strength == 0.0);
        if let Some(wrong) = wrong {
            return Err(setting("strengths", "finite numbers other than 0", wrong));
        }
        let mut sorted = strengths.clone();
        sorted.sort_by(f64::total_cmp);
        if let Some([twice, ..]) = sorted.windows(2).find(|pair| pair[0].total_cmp(&pair[1]).is_eq()) {
            return Err(setting("strengths", "each number once", &format!("{twice} twice")));
        }
        let counts =
            [("strengths", strengths.len(), 1), ("directions", *controls, 1), ("scenarios", *scenarios, 2)];
        for (key, found, least) in counts {
            if found < least {
                return Err(setting(key, format!("at least {least}"), &found));
            }
        }
        if !(*floor > 0.0 && *floor <= 1.0) {
            return Err(setting("floor", "above 0 and at most 1", floor));
        }
        Ok(())
    }
}

/// What every interval is drawn from, and what made the figure.
struct Roots {
    seed: u64,
    replicates: usize,
    /// What the figure's record says of the run; the hashes of its tables come to it.
    made: Made,
}

impl Steered {
    /// Answers, verdicts, tables and a figure in `folder`, which is to stand at `out`.
    fn new(
        bench: &Bench,
        about: &About<'_>,
        roots: Roots,
        (folder, out): (NewFolder, &Path),
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let Roots { seed, replicates, made } = roots;
        let answered = bench.answer(progress)?;
        let weighed = Weighed::new(&bench.edits, &answered, about, seed, replicates)?;
        let (doses, checks) = (doses::table(&bench.edits, &answered, &weighed, about), weighed.table(about));
        let place = folder.work_path();
        Table(doses.clone()).write(&place.join("doses"))?;
        Table(checks.clone()).write(&place.join("checks"))?;
        let made = figures::made(&made.experiment, made.command, &made.seeds, place, &["doses.csv"])?;
        let tables = Tables { doses: doses.clone(), ..Tables::default() };
        figures::write(&[doses::drawing(&weighed, about)], &tables, &made, place)?;
        folder.commit()?;
        let summary = summary::summary(bench, &weighed, about, out);
        Ok(Self { folder: out.to_owned(), doses, checks, summary })
    }

    /// What a stranger should read first: what moved, beside what moves by itself, and a verdict on each direction.
    pub fn summary(&self) -> &str {
        &self.summary
    }
}
