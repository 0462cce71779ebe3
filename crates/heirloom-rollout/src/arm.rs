//! Arms: one condition of training data each, base × prompts × teacher and what is done to the rows.

mod draft;
mod problem;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use draft::Draft;
pub use problem::{ArmProblem, PoolProblem};

use crate::subset::{Selection, at_random, check_share, part, percent};
use crate::{Applied, Error, Manifest, Pool, Result, Subset, error};

/// One condition: which base learns from which teacher's answers to which prompts, after which interventions.
///
/// ```toml
/// [[arm]]
/// name = "swap mail"
/// prompts = "A"
/// teacher = "A"
/// do = [{ swap = { on = { tags = ["mail"] }, to = "B" } }]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Unique among the arms it is compared with.
    pub name: String,
    /// The checkpoint that students start from; `base` where an experiment has only one.
    #[serde(default = "only_base")]
    pub base: String,
    /// The prompt set.
    pub prompts: String,
    /// Who answered.
    pub teacher: String,
    /// What is done to the rows, in this order.
    #[serde(default, rename = "do", skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<DataIntervention>,
}

/// What is done to an arm's rows.
///
/// Rows that are not meant keep their places: a swapped row stands where the old one stood, and a refilled one
/// where a dropped one stood. A trainer that shuffles places by seed therefore shows the untouched rows of two arms
/// in the same steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "an intervention with its settings, such as `{ drop = { on = \"all\" } }` or `{ order = { on = \"all\", place = \"early\" } }`"
)]
pub enum DataIntervention {
    /// Another teacher's answers on a subset: patching in a clean run.
    Swap {
        /// On which prompts.
        on: Subset,
        /// Whose answers they get.
        to: String,
    },
    /// The subset removed: zero ablation.
    Drop {
        /// Which prompts.
        on: Subset,
        /// Whether the rows that remain are repeated until there are as many as before.
        ///
        /// Without it a student takes fewer optimizer steps, and what the drop did cannot be told from training
        /// less. Rows are repeated, not drawn anew, because new prompts would be a second intervention. The ones
        /// that stand least often are repeated first, in an order drawn by the seed.
        #[serde(default = "yes")]
        refill: bool,
    },
    /// Everything but the subset removed.
    #[serde(alias = "keep-only")]
    KeepOnly {
        /// Which prompts.
        on: Subset,
        /// As in [`DataIntervention::Drop`].
        #[serde(default = "yes")]
        refill: bool,
    },
    /// Another teacher's answers on a random share, for interpolating between two teachers.
    ///
    /// The prompts of a fraction are among those of every larger one, by seed. On all prompts it is `swap` on
    /// [`Subset::RandomShare`].
    Mix {
        /// The share of the prompts in `on`, above 0 and at most 1, rounded to the nearest number of prompts.
        fraction: f64,
        /// Whose answers they get.
        to: String,
        /// Among which prompts.
        #[serde(default = "all")]
        on: Subset,
        /// Another number draws other prompts.
        #[serde(default)]
        draw: u64,
    },
    /// The subset before or after all others, each of the two parts shuffled by the seed.
    ///
    /// The trainer then takes the rows as they stand; over several epochs, each epoch runs in this order.
    Order {
        /// Which prompts.
        on: Subset,
        /// Where they stand.
        place: Place,
    },
}

/// Where [`DataIntervention::Order`] puts its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before all others.
    Early,
    /// After all others.
    Late,
}

/// A file of arms.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmsFile {
    arm: Vec<Arm>,
}

impl Arm {
    /// An arm without interventions.
    pub fn new(name: &str, prompts: &str, teacher: &str) -> Self {
        let [name, prompts, teacher] = [name, prompts, teacher].map(str::to_owned);
        Self { name, base: only_base(), prompts, teacher, interventions: vec![] }
    }

    /// The arm with one more intervention.
    #[must_use]
    pub fn then(mut self, intervention: DataIntervention) -> Self {
        self.interventions.push(intervention);
        self
    }

    /// Reads the `[[arm]]` tables of a TOML file and checks them. Score files are relative to the file's folder.
    ///
    /// # Errors
    /// Names the file, and the line or the arm.
    pub fn load(path: &Path) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let file: ArmsFile = toml::from_str(&text).map_err(|source| error::in_toml(path, &text, source))?;
        let mut arms = file.arm;
        let folder = path.parent().unwrap_or(Path::new(""));
        for arm in &mut arms {
            arm.relative_to(folder);
        }
        Self::check_all(&arms)?;
        Ok(arms)
    }

    /// Joins the relative score files of its subsets to `folder`, where the arm was read.
    pub fn relative_to(&mut self, folder: &Path) {
        for intervention in &mut self.interventions {
            intervention.on_mut().relative_to(folder);
        }
    }

    /// Checks what can be known to be wrong without prompts, and that no two arms share a name.
    ///
    /// # Errors
    /// Names the arm and the intervention.
    pub fn check_all(arms: &[Self]) -> Result<()> {
        let mut names = HashMap::new();
        for (index, arm) in arms.iter().enumerate() {
            if let Some(first) = names.insert(&arm.name, index) {
                return Err(arm.problem(ArmProblem::RepeatedName { first: first + 1 }));
            }
            arm.check()?;
        }
        Ok(())
    }

    /// The rows that students of this arm are trained on: one per prompt, or more where they were refilled.
    ///
    /// # Determinism
    /// The same pool and seed give the same manifest. What is drawn at random does not depend on the arm's name or
    /// on its other interventions.
    ///
    /// # Errors
    /// Names the arm and the intervention: an unknown prompt set or teacher; prompts that a teacher did not answer,
    /// all of them; an empty subset, with the tags there are; ids, tags or scores that are not there; a share
    /// outside (0, 1]; a pattern that is none; an intervention that changes nothing or leaves nothing; rows removed
    /// after they were ordered.
    pub fn manifest(&self, pool: &Pool, seed: u64) -> Result<Manifest> {
        self.check()?;
        let mut draft = Draft::start_with(pool, &self.prompts, &self.teacher, seed)
            .map_err(|source| self.problem(source))?;
        let mut applied = vec![];
        for (index, intervention) in self.interventions.iter().enumerate() {
            let done = intervention.apply(&mut draft);
            applied.push(done.map_err(|source| self.step_problem(index, source))?);
        }
        Ok(Manifest {
            arm: self.name.clone(),
            base: self.base.clone(),
            prompts: self.prompts.clone(),
            teacher: self.teacher.clone(),
            seed,
            ordered: draft.ordered,
            applied,
            rows: draft.rows(),
        })
    }

    fn check(&self) -> Result<()> {
        let names = [
            ("name", &self.name),
            ("base", &self.base),
            ("prompts", &self.prompts),
            ("teacher", &self.teacher),
        ];
        if let Some((key, _)) = names.iter().find(|(_, name)| name.trim().is_empty()) {
            return Err(self.problem(ArmProblem::Empty { key }));
        }
        let mut ordered = false;
        for (index, intervention) in self.interventions.iter().enumerate() {
            intervention.check(ordered).map_err(|source| self.step_problem(index, source))?;
            ordered |= matches!(intervention, DataIntervention::Order { .. });
        }
        Ok(())
    }

    fn problem(&self, source: ArmProblem) -> Error {
        Error::Arm { arm: self.name.clone(), source: Box::new(source) }
    }

    fn step_problem(&self, index: usize, source: ArmProblem) -> Error {
        let (arm, intervention) = (self.name.clone(), self.interventions[index].to_string());
        Error::Intervention { arm, number: index + 1, intervention, source: Box::new(source) }
    }
}

impl DataIntervention {
    /// The prompts it is about.
    pub fn on(&self) -> &Subset {
        match self {
            Self::Swap { on, .. }
            | Self::Drop { on, .. }
            | Self::KeepOnly { on, .. }
            | Self::Mix { on, .. }
            | Self::Order { on, .. } => on,
        }
    }

    fn on_mut(&mut self) -> &mut Subset {
        match self {
            Self::Swap { on, .. }
            | Self::Drop { on, .. }
            | Self::KeepOnly { on, .. }
            | Self::Mix { on, .. }
            | Self::Order { on, .. } => on,
        }
    }

    fn check(&self, after_order: bool) -> Result<(), ArmProblem> {
        self.on().check()?;
        match self {
            Self::Drop { .. } | Self::KeepOnly { .. } if after_order => Err(ArmProblem::AfterOrder),
            Self::Mix { fraction, .. } => check_share("fraction", *fraction),
            Self::Swap { to, .. } if to.trim().is_empty() => Err(ArmProblem::Empty { key: "to" }),
            _ => Ok(()),
        }
    }

    /// Does it, and says how much was done.
    fn apply(&self, draft: &mut Draft<'_>) -> Result<Applied, ArmProblem> {
        let Selection { mut prompts, lengths } = self.on().select(draft)?;
        let of = draft.prompts().len();
        let rows = match self {
            Self::Swap { to, .. } => draft.swap(&prompts, to)?,
            Self::Mix { fraction, to, draw, .. } => {
                let among = prompts.len();
                prompts = at_random(part(*fraction, among), *draw, draft, &prompts);
                if prompts.is_empty() {
                    let reason = format!("{} of {among} prompts are none", percent(*fraction));
                    return Err(ArmProblem::NoEffect { reason });
                }
                draft.swap(&prompts, to)?
            }
            Self::Drop { on, .. } if prompts.len() == of => {
                return Err(ArmProblem::NothingLeft { subset: on.to_string(), of });
            }
            Self::KeepOnly { on, .. } | Self::Order { on, .. } if prompts.len() == of => {
                let reason = format!("{on} are all {of} prompts there");
                return Err(ArmProblem::NoEffect { reason });
            }
            Self::Drop { refill, .. } => draft.keep(&(&draft.prompts() - &prompts), *refill),
            Self::KeepOnly { refill, .. } => draft.keep(&prompts, *refill),
            Self::Order { place, .. } => draft.order(&prompts, *place),
        };
        Ok(Applied { intervention: self.to_string(), prompts: prompts.len(), of, rows, lengths })
    }
}

impl fmt::Display for DataIntervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refilled = |refill: &bool| if *refill { "refilled" } else { "not refilled" };
        match self {
            Self::Swap { on, to } => write!(f, "swap {on} to `{to}`"),
            Self::Drop { on, refill } => write!(f, "drop {on}, {}", refilled(refill)),
            Self::KeepOnly { on, refill } => write!(f, "keep only {on}, {}", refilled(refill)),
            Self::Mix { fraction, to, on, draw } => {
                write!(f, "mix {} of {on} to `{to}`", percent(*fraction))?;
                if *draw == 0 { Ok(()) } else { write!(f, " (draw {draw})") }
            }
            Self::Order { on, place: Place::Early } => write!(f, "order {on} early"),
            Self::Order { on, place: Place::Late } => write!(f, "order {on} late"),
        }
    }
}

fn only_base() -> String {
    "base".into()
}

fn yes() -> bool {
    true
}

fn all() -> Subset {
    Subset::All
}
