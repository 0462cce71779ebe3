//! Students of an arm of a finished run, steered along the run's own directions.

use std::path::{Path, PathBuf};

use heirloom_figure::Made;
use heirloom_model::GenerateOptions;
use heirloom_record::{DataRow, HookPoint, NewFolder, Prompt};

use super::about::{About, At, Told};
use super::bench::{Asked, Bench, Coherent, Exam, Given, Graders};
use super::{Roots, Search, Steered};
use crate::arms::{ArmsExperiment, Steerable, Trained, slug};
use crate::origins::FitOn;
use crate::spec::setting;
use crate::streams::seed_of;
use crate::{Progress, Result};

/// How a check of a run's directions is made.
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
    /// How vectors are searched, on scenarios that the run measured on.
    pub search: Search,
}

impl SteerOptions {
    /// All seeds, at the hook point of the run's figures.
    pub fn new(arm: impl Into<String>) -> Self {
        Self { arm: arm.into(), seeds: vec![], fit_on: None, hook: None, search: Search::default() }
    }

    /// Says what would fail later; see [`Search::check`].
    ///
    /// # Errors
    /// Names the setting, what it may be and what it is.
    pub fn check(&self) -> Result<()> {
        self.search.check()
    }
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
        let about = this.about(options, fit_on, hook, &left);
        let spec = this.spec();
        let roots = Roots {
            seed: spec.seed,
            replicates: spec.measure.bootstrap,
            made: Made {
                experiment: spec.name.clone(),
                command: Some(format!("heirloom steer {} --arm '{}'", run.display(), options.arm)),
                seeds: spec.seeds.clone(),
                ..Made::default()
            },
        };
        let bench = Bench::new(this.given(left, &about)?, &options.search, spec.seed)?;
        Steered::new(&bench, &about, roots, (folder, out), progress)
    }

    /// Where a check is written when nobody says otherwise: beside what the run itself keeps.
    pub fn steer_folder(run: &Path, options: &SteerOptions) -> PathBuf {
        let seeds = options.seeds.iter().map(|seed| format!("s{seed}"));
        let name: Vec<String> = [slug(&options.arm)].into_iter().chain(seeds).collect();
        run.join("steer").join(name.join("-"))
    }

    fn about<'a>(
        &self,
        options: &'a SteerOptions,
        fit_on: FitOn,
        hook: HookPoint,
        left: &Steerable,
    ) -> About<'a> {
        let seeds = &self.spec().seeds;
        let numbers: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
        let fit = match fit_on {
            FitOn::Base => "Directions are fit on contrasts in context on the base. ",
            FitOn::Teachers => "Directions are fit on two teachers on the same prompts. ",
        };
        let whose = if seeds.len() > 1 { "students" } else { "one student" };
        let directions = left.directions.iter();
        About {
            arm: options.arm.clone(),
            students: seeds.clone(),
            unit: "seeds",
            hook,
            at: At::LastPrompt,
            fit_on: vec![fit_on.name().into(); left.directions.len()],
            search: &options.search,
            behaviors: directions.map(|(name, _)| (name.clone(), self.label(name))).collect(),
            told: Told {
                who: format!("`{}` ({noun} {})", options.arm, numbers.join(", ")),
                fit: fit.into(),
                scenarios: "held-out\nscenarios of each behavior and seed",
                well_formed: None,
                within: format!("{whose} of one base, at one token of one place"),
            },
        }
    }

    fn given(&self, left: Steerable, about: &About<'_>) -> Result<Given> {
        let Steerable { base, students, directions } = left;
        let sampled = self.world().sampled();
        let graders = self.behaviors().iter().map(|name| {
            let behavior = self.world().behavior(name)?;
            let coherent = Coherent::Rules(behavior.coherent.clone());
            Ok(Graders { shown: behavior.grader.clone(), coherent })
        });
        Ok(Given {
            hook: about.hook,
            at: about.at,
            base: Some(base),
            students: students.into_iter().map(|student| asked(student, about)).collect(),
            directions: directions.into_iter().map(|(_, vector)| vector).collect(),
            exam: Exam {
                graders: graders.collect::<Result<_>>()?,
                max_new_tokens: sampled.max_new_tokens,
                temperature: sampled.temperature,
                batch_tokens: GenerateOptions::default().max_tokens,
                in_turn: false,
            },
        })
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

/// A trained student with the scenarios of every behavior.
fn asked(trained: Trained, about: &About<'_>) -> Asked {
    let Trained { seed, student, scenarios } = trained;
    let of = |(behavior, _): &(String, String)| -> Vec<DataRow> {
        let prefix = format!("{behavior}/");
        let asked = scenarios.iter().filter(|scenario| scenario.id.starts_with(&prefix));
        asked.take(about.search.scenarios).map(Prompt::row).collect()
    };
    Asked { student, draws: seed_of(seed, "steering"), scenarios: about.behaviors.iter().map(of).collect() }
}
