//! An experiment with arms as its TOML file states it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use heirloom_record::HookPoint;
use heirloom_rollout::Arm;
use serde::{Deserialize, Serialize};

use crate::origins::{Parts, check_part};
use crate::spec::{check_name, join, setting, twice};
use crate::{Error, Result};

/// An experiment that trains students under arms in a miniature world. Unknown keys are errors that list the known
/// ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmsSpec {
    /// The run's name, a plain file name; its folder under `runs/` unless another is given.
    pub name: String,
    /// What the experiment asks, in a sentence.
    pub question: String,
    /// Root of every random stream that students of all seeds share: bases and teachers.
    pub seed: u64,
    /// Seeds of the students: each draws prompts, rollouts, order and scenarios anew.
    pub seeds: Vec<u64>,
    /// The world's file, or the name of a world that heirloom brings.
    pub world: PathBuf,
    /// Tell the world's causal story in other words and shares, drawn from this seed.
    pub redraw: Option<u64>,
    /// The date that chat templates see, `YYYY-MM-DD`.
    pub clock: String,
    /// Names of the world's arms that are run; all of them when empty.
    #[serde(default)]
    pub arms: Vec<String>,
    /// Arms of those that are run once more at each learning rate that the world's file sweeps, as `NAME, lr 1e-4`.
    #[serde(default)]
    pub sweep: Vec<String>,
    /// Arms of its own, run besides those of the world. Their score files are relative to the experiment's file.
    #[serde(default, rename = "arm", skip_serializing_if = "Vec::is_empty")]
    pub own_arms: Vec<Arm>,
    /// The arm that every other is compared with.
    pub reference: String,
    /// Further pairs of arms whose difference is taken, first minus second.
    #[serde(default)]
    pub compare: Vec<[String; 2]>,
    /// Which arm plays which part in the origin of each behavior: role or corner → arm, by behavior.
    #[serde(default)]
    pub origins: BTreeMap<String, Parts>,
    /// What is measured.
    pub measure: MeasureSpec,
    /// What is drawn.
    #[serde(default)]
    pub figures: FiguresSpec,
    /// What `--quick` changes.
    pub quick: Option<QuickSpec>,
}

/// What is measured on students.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureSpec {
    /// Held-out scenarios of each behavior and seed; as many as the world says when absent.
    pub scenarios: Option<usize>,
    /// Rollouts of each scenario at steps before the last; at the last there are as many as the world says.
    pub samples_between: usize,
    /// Arms whose checkpoints before the last are measured too; all when absent.
    pub track: Option<Vec<String>>,
    /// Contrast pairs of each behavior that directions are fit on; as many more, with other names, score them.
    pub pairs: usize,
    /// Two teachers between which a second fixed direction is fit for each behavior, from the second to the first.
    #[serde(default)]
    pub teachers: Option<[String; 2]>,
    /// Globs of hook points, read at the last prompt token.
    pub hooks: Vec<String>,
    /// The hook point of figures, fixed before anything is measured.
    pub headline: HookPoint,
    /// Replicates of every bootstrap, at least 100.
    pub bootstrap: usize,
    /// Random directions, and as many random differences of activations, whose shift from the base stands beside that of the
    /// fixed directions at every checkpoint; none when absent.
    pub null_draws: Option<usize>,
    /// Random halves of the contrast pairs that cosines between the directions fit anew on every checkpoint are judged by; no
    /// such cosines when absent.
    pub cosine_draws: Option<usize>,
}

impl MeasureSpec {
    /// What of it decides what is stored of a student.
    pub(crate) fn key(&self) -> String {
        // A setting that came later leaves alone what was stored without it. That there are draws decides whether contrasts are kept; how many does not.
        let key = format!("{:?}", Self { cosine_draws: None, ..self.clone() });
        let key = key.replace(", null_draws: None", "").replace(", cosine_draws: None", "");
        if self.cosine_draws.is_some() { format!("{key}, contrasts kept") } else { key }
    }
}

/// What is drawn of the numbers: nothing unless it says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiguresSpec {
    /// The behaviors, in the order of panels.
    #[serde(default)]
    pub behaviors: Vec<BehaviorPanel>,
    /// The two-by-two of *teacher against prompts*.
    pub grid: Option<GridSpec>,
    /// Points of *interpolation*.
    #[serde(default)]
    pub interpolation: Vec<MixLabel>,
    /// Lines of *selection*.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<RankerLabel>,
}

/// What ranked the prompts of one behavior, and the arms that swap those it puts first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankerLabel {
    /// The behavior; `origins` say which arm has it in full and which the other teacher.
    pub behavior: String,
    /// The ranker, as `heirloom select --by` calls it.
    pub method: String,
    /// The arms, and the share of prompts that each swaps.
    pub arms: Vec<MixLabel>,
}

/// One behavior's panels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BehaviorPanel {
    /// Its name in the world.
    pub behavior: String,
    /// Its name on a figure.
    pub label: String,
    /// Lines of its column of *emergence*.
    #[serde(default)]
    pub lines: Vec<ArmLabel>,
    /// What stands in its panel of *swap against drop*.
    pub bars: Vec<ArmLabel>,
    /// The arm that swaps the flagged prompts, and their share: marked in *interpolation*.
    pub flagged: Option<MixLabel>,
}

/// An arm as it is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmLabel {
    /// Its name in the world; `base` for the model that students start from.
    pub arm: String,
    /// Its name on a figure.
    pub label: String,
    /// What it is to the reader, which decides its color.
    pub role: Role,
}

/// What an arm is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Every rollout from the teacher in question.
    Full,
    /// Every rollout from the other teacher.
    Opposite,
    /// The same teacher on other prompts.
    Prompts,
    /// Flagged prompts answered by the other teacher.
    Swap,
    /// Flagged prompts left out.
    Drop,
    /// Flagged prompts of the teacher in question among rollouts of the other.
    Insert,
    /// A random share of prompts answered by the other teacher.
    Mix,
    /// As many random prompts swapped as were flagged.
    RandomSwap,
    /// As many random prompts dropped as were flagged.
    RandomDrop,
    /// The model that students start from.
    Base,
    /// Anything else.
    Other,
}

/// The arms of a two-by-two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSpec {
    /// Labels of the teachers: rows.
    pub teachers: [String; 2],
    /// Labels of the prompt sets: columns.
    pub prompts: [String; 2],
    /// Arms by teacher, then prompt set.
    pub arms: [[String; 2]; 2],
}

/// A point of an interpolation between teachers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixLabel {
    /// The arm.
    pub arm: String,
    /// Share of prompts that the other teacher answers.
    pub fraction: f64,
}

/// What `--quick` changes: fewer seeds, arms and scenarios, the same pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuickSpec {
    /// Seeds of the students.
    pub seeds: Vec<u64>,
    /// Arms that are run.
    pub arms: Vec<String>,
    /// Held-out scenarios of each behavior and seed.
    pub scenarios: usize,
    /// Arms of *emergence*, of those that are run.
    #[serde(default)]
    pub track: Vec<String>,
}

/// With fewer replicates the 2.5 % quantile rests on one or two of them.
const FEWEST_REPLICATES: usize = 100;
/// With fewer controls their 2.5 % quantile is the least of them.
const FEWEST_CONTROLS: usize = 40;
/// A half of fewer pairs is one pair, and no mean.
const FEWEST_PAIRS: usize = 4;

impl FiguresSpec {
    /// Draws only arms that `is_known` holds of.
    fn retain(&mut self, is_known: impl Fn(&String) -> bool) {
        let mix = |mix: &MixLabel| is_known(&mix.arm);
        self.interpolation.retain(mix);
        self.selection.iter_mut().for_each(|ranker| ranker.arms.retain(mix));
        for panel in &mut self.behaviors {
            panel.lines.retain(|label| is_known(&label.arm));
            panel.bars.retain(|label| is_known(&label.arm));
            panel.flagged = panel.flagged.take().filter(mix);
        }
    }

    /// Every arm that a figure names, but the base by its role's name.
    pub(crate) fn arms(&self) -> impl Iterator<Item = &String> {
        let panels = self.behaviors.iter().flat_map(|panel| {
            let labels = panel.lines.iter().chain(&panel.bars).map(|label| &label.arm);
            labels.chain(panel.flagged.iter().map(|mix| &mix.arm))
        });
        let grid = self.grid.iter().flat_map(|grid| grid.arms.iter().flatten());
        panels.chain(grid).chain(self.interpolation.iter().map(|mix| &mix.arm))
    }
}

impl ArmsSpec {
    /// Reads `experiment.toml`, or the one inside the folder `path`; relative paths in it start at its folder.
    ///
    /// # Errors
    /// Names the file, the line and the key; unknown keys list the known ones.
    pub fn load(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("experiment.toml") } else { path.to_owned() };
        let text = std::fs::read_to_string(&file)
            .map_err(|source| Error::ReadExperiment { path: file.clone(), source })?;
        Self::parse(&text, &file)
    }

    /// Whether the experiment at `path` is one with arms: its file names a world.
    pub fn stands_at(path: &Path) -> bool {
        let file = if path.is_dir() { path.join("experiment.toml") } else { path.to_owned() };
        let table = std::fs::read_to_string(file).ok().and_then(|text| text.parse::<toml::Table>().ok());
        table.is_some_and(|table| table.get("world").is_some_and(toml::Value::is_str))
    }

    /// [`Self::load`] of text that was read from `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut spec: Self = toml::from_str(text)
            .map_err(|source| Error::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        spec.world = join(folder, &spec.world);
        spec.own_arms.iter_mut().for_each(|arm| arm.relative_to(folder));
        Ok(spec)
    }

    /// The experiment that `--quick` runs, under a name of its own.
    ///
    /// # Errors
    /// The file has no `[quick]`.
    pub fn quick(mut self) -> Result<Self> {
        let Some(quick) = self.quick.take() else { return Err(Error::NoQuick { name: self.name }) };
        self.name += "-quick";
        self.seeds = quick.seeds;
        let (kept, left_out): (Vec<Arm>, Vec<Arm>) =
            self.own_arms.into_iter().partition(|arm| quick.arms.contains(&arm.name));
        self.own_arms = kept;
        // Those of the world are known by name though they are not run; these are not.
        let is_known = |name: &String| left_out.iter().all(|arm| arm.name != *name);
        self.compare.retain(|pair| pair.iter().all(is_known));
        self.origins.values_mut().for_each(|parts| parts.retain(|_, arm| is_known(arm)));
        self.figures.retain(is_known);
        self.arms = quick.arms;
        self.arms.retain(|name| self.own_arms.iter().all(|arm| arm.name != *name));
        self.sweep.clear();
        self.measure.scenarios = Some(quick.scenarios);
        self.measure.track = Some(quick.track);
        Ok(self)
    }

    /// Says what would fail later, before the world is read.
    ///
    /// # Errors
    /// Names the key, what it may be and what it is.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        let Self { seeds, arms, measure, .. } = self;
        let numbers = [
            ("seeds", seeds.len(), 1),
            ("measure.scenarios", measure.scenarios.unwrap_or(2), 2),
            ("measure.samples_between", measure.samples_between, 1),
            ("measure.pairs", measure.pairs, 2),
            ("measure.hooks", measure.hooks.len(), 1),
            ("measure.bootstrap", measure.bootstrap, FEWEST_REPLICATES),
            ("measure.null_draws", measure.null_draws.unwrap_or(FEWEST_CONTROLS), FEWEST_CONTROLS),
            ("measure.cosine_draws", measure.cosine_draws.unwrap_or(FEWEST_CONTROLS), FEWEST_CONTROLS),
            ("measure.pairs", measure.cosine_draws.map_or(FEWEST_PAIRS, |_| measure.pairs), FEWEST_PAIRS),
            ("figures.behaviors and origins", self.figures.behaviors.len() + self.origins.len(), 1),
        ];
        for (key, found, least) in numbers {
            if found < least {
                return Err(setting(key, format!("at least {least}"), &found));
            }
        }
        twice("seeds", seeds.iter().map(u64::to_string))?;
        twice("arms", arms.iter().cloned())?;
        twice("sweep", self.sweep.iter().cloned())?;
        let parts =
            self.origins.iter().flat_map(|(behavior, parts)| parts.keys().map(move |part| (behavior, part)));
        parts.into_iter().try_for_each(|(behavior, part)| check_part(behavior, part))
    }
}
