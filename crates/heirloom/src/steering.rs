//! Does a direction cause its behavior? Students of a finished run answer while a direction is added, ablated or set
//! back to the base's, at the last prompt token alone.
//!
//! [`ArmsExperiment::steer`] reads like the check: students and directions of the run → edits along each direction and
//! along directions that mean nothing → answers, graded → doses, verdicts, a figure. Every direction, control or not, is
//! searched over the same doses on the same scenarios with the same random draws; only then its best dose is compared.
//!
//! A verdict asks for more than `heirloom_probe::causal::judge`, which compares with controls on the students at hand: an
//! effect whose interval over seeds and scenarios holds 0 is undecided, and so is one at no dose that leaves answers well formed.

mod answers;
mod bench;
mod checks;
mod doses;
mod summary;
mod weigh;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use heirloom_figure::Tables;
use heirloom_record::{CausalCheck, Dose, HookPoint, NewFolder, Table};

use crate::arms::ArmsExperiment;
use crate::origins::FitOn;
use crate::spec::setting;
use crate::{Progress, Result, figures};
use bench::Bench;
use weigh::Weighed;

/// How a check of directions is made.
#[derive(Clone, Debug, PartialEq)]
pub struct SteerOptions {
    /// The arm whose students are steered.
    pub arm: String,
    /// Seeds of the students; all of the run when empty.
    pub seeds: Vec<u64>,
    /// What directions were fit on; two teachers where the experiment names them, else the base.
    pub fit_on: Option<FitOn>,
    /// Name of a hook point that the run measured; that of its figures when absent.
    pub hook: Option<String>,
    /// Doses, in mean norms of the activations at the hook point.
    pub strengths: Vec<f64>,
    /// Random directions, and as many random differences of activations.
    pub controls: usize,
    /// Scenarios of each behavior and seed, of those that the run measured on.
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

impl SteerOptions {
    /// Six doses, 64 controls of each kind, 48 scenarios.
    pub fn new(arm: impl Into<String>) -> Self {
        Self {
            arm: arm.into(),
            seeds: vec![],
            fit_on: None,
            hook: None,
            strengths: vec![-1.0, -0.5, -0.25, 0.25, 0.5, 1.0],
            controls: 64,
            scenarios: 48,
            floor: 0.9,
        }
    }

    /// Says what would fail later.
    ///
    /// # Errors
    /// Names the setting, what it may be and what it is.
    pub fn check(&self) -> Result<()> {
        let Self { strengths, controls, scenarios, floor, .. } = self;
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

/// Everything that names a check in its tables.
struct About<'a> {
    arm: &'a str,
    seeds: Vec<u64>,
    hook: HookPoint,
    fit_on: FitOn,
    options: &'a SteerOptions,
    /// Behaviors: names in tables, and in words.
    behaviors: Vec<(String, String)>,
}

impl ArmsExperiment {
    /// Steers the students of an arm of the run at `run`, and writes what was found to the new folder `out`.
    ///
    /// **Determinism** the run's seeds decide everything, on any number of threads.
    ///
    /// **Cost** about `seeds × behaviors × 2 · controls × (strengths + 2 · directions) × scenarios` answers.
    ///
    /// # Errors
    /// Before any answer: `out` holds something; a setting is out of range; the run has no such arm, seed, hook point or
    /// directions, or lacks what the experiment says it holds.
    pub fn steer(
        self,
        run: &Path,
        options: &SteerOptions,
        out: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Steered> {
        options.check()?;
        let this = self.only_seeds(&options.seeds)?;
        let hook = this.measured_hook(options.hook.as_deref())?;
        let fit_on = this.fit_on(options.fit_on)?;
        let left = this.steerable(run, &options.arm, fit_on, hook)?;
        let folder = NewFolder::create(out)?;
        let about = About {
            arm: &options.arm,
            seeds: this.spec().seeds.clone(),
            hook,
            fit_on,
            options,
            behaviors: left.directions.iter().map(|(name, _)| (name.clone(), this.label(name))).collect(),
        };
        let bench = Bench::new(&this, left, &about)?;
        let answered = bench.answer(&this, progress)?;
        let (seed, replicates) = (this.spec().seed, this.spec().measure.bootstrap);
        let weighed = Weighed::new(&bench.edits, &answered, &about, seed, replicates)?;
        let doses = doses::table(&bench.edits, &answered, &weighed, &about);
        let checks = weighed.table(&about);
        Table(doses.clone()).write(&folder.work_path().join("doses"))?;
        Table(checks.clone()).write(&folder.work_path().join("checks"))?;
        let command = format!("heirloom steer {} --arm '{}'", run.display(), options.arm);
        let (name, place) = (&this.spec().name, folder.work_path());
        let made = figures::made(name, Some(command), &about.seeds, place, &["doses.csv"])?;
        let tables = Tables { doses: doses.clone(), ..Tables::default() };
        figures::write(&[doses::drawing(&weighed, &about)], &tables, &made, place)?;
        folder.commit()?;
        let summary = summary::summary(&bench, &weighed, &about, out);
        Ok(Steered { folder: out.to_owned(), doses, checks, summary })
    }

    /// Where a check is written when nobody says otherwise: beside what the run itself keeps.
    pub fn steer_folder(run: &Path, options: &SteerOptions) -> PathBuf {
        let seeds = options.seeds.iter().map(|seed| format!("s{seed}"));
        let name: Vec<String> = [crate::arms::slug(&options.arm)].into_iter().chain(seeds).collect();
        run.join("steer").join(name.join("-"))
    }

    fn fit_on(&self, asked: Option<FitOn>) -> Result<FitOn> {
        let two_teachers = self.spec().measure.teachers.is_some();
        match asked {
            Some(FitOn::Teachers) if !two_teachers => Err(setting(
                "direction",
                "`base`, because the experiment names no two teachers in `measure.teachers`",
                &"`teachers`",
            )),
            Some(asked) => Ok(asked),
            None if two_teachers => Ok(FitOn::Teachers),
            None => Ok(FitOn::Base),
        }
    }

    /// A behavior as figures name it.
    fn label(&self, behavior: &str) -> String {
        let mut panels = self.spec().figures.behaviors.iter();
        panels.find(|panel| panel.behavior == behavior).map_or(behavior, |panel| &panel.label).to_owned()
    }
}

impl Steered {
    /// What a stranger should read first: what moved, beside what moves by itself, and a verdict on each direction.
    pub fn summary(&self) -> &str {
        &self.summary
    }
}
