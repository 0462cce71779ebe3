//! Two arms that no run of this tool made: checkpoints of one base, their grades and their rollouts, a list over seeds
//! of each.

mod activations;
mod answers;
mod summary;

use std::path::PathBuf;

use heirloom_figure::{Drawing, FigureSpec};
use heirloom_model::LoadOptions;
use heirloom_probe::Resampling;
use heirloom_record::{DataRow, Directions, HookPoint, Metric};

use super::{Comparison, Pairing, rates};
use crate::spec::setting;
use crate::words::brackets;
use crate::{Error, Progress, Result};
use activations::Looking;
use answers::Graded;

/// One of two arms. Lists are over seeds, in the same order in every list of both arms.
#[derive(Clone, Debug)]
pub struct Students {
    /// Its name.
    pub name: String,
    /// A checkpoint of each seed: a model, or an adapter on the base.
    pub checkpoints: Vec<PathBuf>,
    /// Grades of what each seed's student answered; may be empty.
    pub grades: Vec<PathBuf>,
    /// The rollouts that were graded; may be empty.
    pub rollouts: Vec<PathBuf>,
}

/// What is looked at in the students' activations.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The model that the students were trained from.
    pub base: PathBuf,
    /// A direction that was fit on the base.
    pub along: Option<Along>,
    /// Text that has nothing to do with a behavior; may be empty.
    pub unrelated: Vec<DataRow>,
    /// The hook point that is shown, of a direction with several; without a direction, where text is read.
    pub hook: Option<HookPoint>,
    /// How models are loaded.
    pub load: LoadOptions,
    /// Whether an adapter may change nothing.
    pub allow_empty_adapter: bool,
    /// Most tokens in a batch.
    pub max_tokens: usize,
    /// Random directions, and as many random differences, beside every projection.
    pub null_draws: usize,
}

/// A direction with the rows that are read along it.
#[derive(Clone, Debug)]
pub struct Along {
    /// Its file, for errors.
    pub path: PathBuf,
    /// What is in the file.
    pub directions: Directions,
    /// Rows that are projected.
    pub rows: Vec<DataRow>,
    /// Labelled rows that define the units, and on which directions are fit anew.
    pub reference: Vec<DataRow>,
}

/// How both arms are held against each other.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Each seed was asked prompts of its own, though their ids come again.
    pub own_scenarios: bool,
    /// For every interval.
    pub resampling: Resampling,
    /// Root of the random streams.
    pub seed: u64,
}

/// Two arms that can be held against each other.
pub struct Own {
    pairing: Pairing,
    graded: Option<Graded>,
    looking: Option<Looking>,
}

impl Own {
    /// Two arms, and what is looked at in them; no weights are read.
    ///
    /// # Errors
    /// Both arms have one name, or lists of other lengths; a checkpoint is none, or an adapter without a base; grades are of
    /// different prompts or by different graders, or of rollouts that are not there; the direction was fit on another model
    /// or lies where the models have nothing.
    pub fn new(arms: &[Students; 2], looks: Option<Looks>, settings: Settings) -> Result<Self> {
        let [first, second] = arms;
        if first.name == second.name {
            return Err(Error::Twice { key: "--students", name: first.name.clone() });
        }
        if arms.iter().any(|arm| arm.name == activations::BASE) {
            let expected = "another name than that of the model both were trained from";
            return Err(setting("--students", expected, &activations::BASE));
        }
        same_seeds(arms)?;
        let graded = Graded::read(arms, settings.own_scenarios)?;
        if looks.is_none() {
            activations::check(arms)?;
        }
        let looking = looks.map(|looks| Looking::new(looks, arms)).transpose()?;
        if graded.is_none() && looking.is_none() {
            let expected = "something to compare: `--grades`, `--direction` with `--data`, or `--text`";
            return Err(setting("--students", expected, &"checkpoints alone"));
        }
        let pairing = Pairing {
            labels: [first.name.clone(), second.name.clone()],
            seeds: (1..=first.checkpoints.len() as u64).collect(),
            resampling: settings.resampling,
            seed: settings.seed,
        };
        Ok(Self { pairing, graded, looking })
    }

    /// Holds both arms against each other; every checkpoint is looked into once.
    ///
    /// # Errors
    /// A checkpoint cannot be loaded, reads other tokens than the base or has no such activations.
    pub fn compare(&self, progress: &mut dyn Progress) -> Result<Comparison> {
        let mut found = Found::default();
        let mut moved = None;
        if let Some(graded) = &self.graded {
            found.metrics.extend(graded.rates(&self.pairing)?);
            found.behaviors.clone_from(&graded.behaviors);
            found.notes.extend(graded.notes());
            let caption =
                format!("Behavior rate of students under two arms: {}", graded.behaviors.join(", "));
            let drawing = rates(self.pairing.bars(&graded.behaviors));
            found.drawings.push(Drawing { caption: Some(caption), ..drawing });
            moved = graded.moved(&self.pairing);
        }
        if let Some(looking) = &self.looking {
            looking.compare(&self.pairing, progress, &mut found)?;
        }
        let Found { metrics, behaviors, notes, drawings, beyond } = found;
        let drawings = drawings.into_iter().map(|drawing| self.noting(drawing, &metrics)).collect();
        let mut comparison = Comparison {
            arms: self.pairing.labels.clone(),
            seeds: self.pairing.seeds.clone(),
            behaviors,
            metrics,
            moved,
            notes,
            drawings,
            summary: String::new(),
        };
        comparison.summary = summary::summary(&comparison, self, beyond);
        Ok(comparison)
    }

    /// A figure of both arms with their differences below, which whiskers of each arm do not show.
    fn noting(&self, drawing: Drawing, metrics: &[Metric]) -> Drawing {
        let FigureSpec::ArmBars(bars) = &drawing.draw else { return drawing };
        let (metric, hooks) = (format!("{}_difference", bars.quantity.metric), bars.quantity.hooks.clone());
        let is_drawn = |row: &&Metric| row.metric == metric && row.hook == hooks.get(&row.behavior).copied();
        let told = |row: &Metric| {
            let difference = brackets(row.value?, row.low?, row.high?);
            Some(format!("{difference} of {}", row.behavior))
        };
        let told: Vec<String> = metrics.iter().filter(is_drawn).filter_map(told).collect();
        let [first, second] = self.pairing.labels.each_ref();
        drawing.noting([format!("{first} less {second}, paired: {}", told.join(", "))])
    }
}

/// What was found, part by part.
#[derive(Default)]
struct Found {
    metrics: Vec<Metric>,
    behaviors: Vec<String>,
    notes: Vec<String>,
    drawings: Vec<Drawing>,
    /// Whether the difference of projections that is shown lies beyond both families of controls.
    beyond: Option<bool>,
}

/// One of the lists of an arm.
type List = fn(&Students) -> &Vec<PathBuf>;

/// Lists of both arms are over the same seeds.
fn same_seeds(arms: &[Students; 2]) -> Result<()> {
    let [first, _] = arms;
    let expected = first.checkpoints.len();
    if expected == 0 {
        return Err(setting("--students", "a checkpoint of each seed", &"none"));
    }
    let any = |of: List| arms.iter().any(|arm| !of(arm).is_empty());
    let lists: [(&'static str, List); 3] = [
        ("--students", |arm| &arm.checkpoints),
        ("--grades", |arm| &arm.grades),
        ("--rollouts", |arm| &arm.rollouts),
    ];
    for (key, of) in lists {
        for arm in arms.iter().filter(|_| any(of)) {
            let found = of(arm).len();
            if found != expected {
                let text = format!("{expected}, one for each seed of `{}` in --students", first.name);
                return Err(setting(key, text, &format!("{found} of `{}`", arm.name)));
            }
            crate::spec::twice(key, of(arm).iter().map(|path| path.display().to_string()))?;
        }
    }
    Ok(())
}
