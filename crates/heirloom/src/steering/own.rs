//! Steering a model that no run made: with adapters or bare, along directions that `heirloom fit` wrote, on the scenarios
//! of behaviors' folders.

mod aims;
mod plan;
mod settings;
mod told;

use std::path::{Path, PathBuf};

use heirloom_figure::Made;
use heirloom_model::{LoadOptions, PeftAdapter, Source, Student};
use heirloom_record::{Directions, HookPoint, NewFolder};
use heirloom_rollout::Behavior;

use super::about::At;
use super::bench::{Asked, Bench, Coherent, Edits, Exam, Given, Graders};
use super::{Roots, Search, Steered};
use crate::activations::check_model;
use crate::room::check_room;
use crate::spec::setting;
use crate::streams::seed_of;
use crate::{Progress, Result};
use aims::Aim;

pub use plan::SteerPlan;

/// How a model of one's own is steered.
#[derive(Clone, Debug)]
pub struct OwnOptions {
    /// What students are called in tables; by the model's name when absent.
    pub name: Option<String>,
    /// Where the directions are used; may be left out where every file has one hook point, or one was chosen.
    pub hook: Option<HookPoint>,
    /// Which tokens are steered.
    pub at: At,
    /// How every vector is searched.
    pub search: Search,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    /// Logits are divided by it; 0 takes the likeliest token.
    pub temperature: f64,
    /// Most tokens that answers drawn together may hold.
    pub batch_tokens: usize,
    /// Replicates of the bootstrap.
    pub replicates: usize,
    /// Root of the random streams.
    pub seed: u64,
    /// How the model is loaded.
    pub load: LoadOptions,
    /// Accept an adapter that changes nothing.
    pub allow_empty_adapter: bool,
}

/// A check of directions on a model of one's own, found fit to be made before any weight is loaded.
pub struct Own {
    source: Source,
    sha256: String,
    adapters: Vec<PeftAdapter>,
    aims: Vec<Aim>,
    hook: HookPoint,
    options: OwnOptions,
}

impl Own {
    /// Each of `adapters` on the model is a student; the bare model is the one student where there is none. A direction
    /// and a behavior of one name belong together, and so do the only two.
    ///
    /// Cost: reads the model's weights once, for their hash.
    ///
    /// # Errors
    /// A setting is out of range; directions and behaviors are no pairs; a direction is of another model or has not the
    /// hook point, or the files of several do not agree on one; a behavior has fewer than two scenarios, or one that leaves
    /// no room for an answer; an adapter does not fit the model.
    pub fn new(
        source: Source,
        adapters: &[PathBuf],
        directions: Vec<(PathBuf, Directions)>,
        behaviors: Vec<Behavior>,
        options: OwnOptions,
    ) -> Result<Self> {
        options.check()?;
        let pairs = aims::paired(directions, behaviors)?;
        let hook = aims::common_hook(&pairs, options.hook)?;
        let aims = pairs.into_iter().map(|(behavior, (_, found))| Aim::new(behavior, &found, hook, &options));
        let aims: Vec<Aim> = aims.collect::<Result<_>>()?;
        let config = source.config();
        for aim in &aims {
            aim.ablation(hook, options.at).check(config)?;
        }
        let adapters = adapters.iter().map(|path| PeftAdapter::read(path, config));
        let adapters = adapters.collect::<Result<_, _>>()?;
        let asked = aims.iter().flat_map(|aim| aim.scenarios.iter().cloned());
        check_room(&source, options.load.clock, asked, options.max_new_tokens)?;
        let sha256 = source.sha256()?;
        for aim in &aims {
            check_model(&aim.header, &source.name(), &sha256)?;
        }
        Ok(Self { source, sha256, adapters, aims, hook, options })
    }

    /// What steering will take.
    pub fn plan(&self) -> SteerPlan {
        let Search { strengths, controls, .. } = &self.options.search;
        let edits = Edits::new(self.aims.len(), *controls, strengths, !self.adapters.is_empty());
        SteerPlan::new(
            edits.looks.len(),
            (self.adapters.len().max(1), self.aims.iter().map(|aim| aim.scenarios.len()).sum()),
            self.options.max_new_tokens,
            (self.aims.len(), *controls),
        )
    }

    /// Steers and writes what was found to `folder`, which is to stand at `out`; `command` is what figures name.
    ///
    /// **Determinism** the seed decides everything in f32 on the processor, on any number of threads.
    ///
    /// **Cost** the answers of [`Own::plan`]; the weights in memory twice, whatever the number of adapters.
    ///
    /// # Errors
    /// The weights are damaged; an adapter changes nothing; numbers are not finite.
    pub fn steer(
        self,
        command: Option<String>,
        (folder, out): (NewFolder, &Path),
        progress: &mut dyn Progress,
    ) -> Result<Steered> {
        let Self { source, sha256, adapters, aims, hook, options } = self;
        let base = source.load(&options.load)?;
        let put = |adapter| base.with_adapter(adapter, options.allow_empty_adapter);
        let students: Vec<Student> = adapters.iter().map(put).collect::<Result<_, _>>()?;
        let paths: Vec<&Path> = adapters.iter().map(PeftAdapter::folder).collect();
        let settings = settings::Settings::new((&base, &sha256), (&paths, &students), &aims, hook, &options)?;
        settings.write(folder.work_path())?;
        let about = told::about(&base.name(), &paths, &aims, hook, &options);
        let made = Made { experiment: "steer".into(), command, seeds: vec![options.seed], ..Made::default() };
        let roots = Roots { seed: options.seed, replicates: options.replicates, made };
        let bench = Bench::new(given(base, students, &aims, hook, &options), &options.search, options.seed)?;
        Steered::new(&bench, &about, roots, (folder, out), progress)
    }
}

impl OwnOptions {
    fn check(&self) -> Result<()> {
        self.search.check()?;
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(setting("temperature", "0 or more", &self.temperature));
        }
        if self.name.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return Err(setting("arm", "a name", &"nothing"));
        }
        let counts = [("max-new-tokens", self.max_new_tokens), ("batch-tokens", self.batch_tokens)];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((key, _)) => Err(setting(key, "1 or more", &0)),
            None => Ok(()),
        }
    }
}

/// The bare model is the student where there is no other.
fn given(
    base: Student,
    students: Vec<Student>,
    aims: &[Aim],
    hook: HookPoint,
    options: &OwnOptions,
) -> Given {
    let (base, students) = if students.is_empty() { (None, vec![base]) } else { (Some(base), students) };
    let asked = |(n, student): (usize, Student)| Asked {
        student,
        draws: seed_of(options.seed, &format!("steering student {}", n + 1)),
        scenarios: aims.iter().map(|aim| aim.scenarios.clone()).collect(),
    };
    let graders = aims.iter().map(|aim| Graders { shown: aim.grader.clone(), coherent: Coherent::Text });
    Given {
        hook,
        at: options.at,
        base,
        students: students.into_iter().enumerate().map(asked).collect(),
        directions: aims.iter().map(|aim| aim.vector.clone()).collect(),
        exam: Exam {
            graders: graders.collect(),
            max_new_tokens: options.max_new_tokens,
            temperature: options.temperature,
            batch_tokens: options.batch_tokens,
            in_turn: true,
        },
    }
}
