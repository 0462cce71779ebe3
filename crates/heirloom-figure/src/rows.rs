//! Which rows of a table a figure is drawn from: what stands beside it as its own table.

use heirloom_record::{Dose, Histogram, HookPoint, Metric};

use crate::arm::{Arm, Behavior, BehaviorArms, Quantity};
use crate::drawing::{FigureSpec, Tables};
use crate::{Against, Between, EmergenceSpec, LayerSweepSpec, TransferSpec};

impl FigureSpec {
    /// The rows that it shows; drawn from them alone it is the same picture.
    #[must_use]
    pub fn rows(&self, tables: &Tables) -> Tables {
        Tables {
            metrics: self.metrics(&tables.metrics),
            histograms: tables.histograms.iter().filter(|bin| self.takes_bin(bin)).cloned().collect(),
            doses: tables.doses.iter().filter(|dose| self.takes_dose(dose)).cloned().collect(),
        }
    }

    fn metrics(&self, rows: &[Metric]) -> Vec<Metric> {
        let taken: Vec<&Metric> = rows.iter().filter(|row| self.takes(row)).collect();
        // What has no step of its own is drawn at the last.
        let is_last = |row: &Metric| {
            let own = taken.iter().filter(|other| other.behavior == row.behavior && other.arm == row.arm);
            own.filter_map(|other| other.step).max() == row.step
        };
        let at_last = matches!(self, Self::ArmBars(_) | Self::TeacherPrompts(_) | Self::Interpolation(_));
        let steps = self.steps();
        let is_kept = |row: &Metric| {
            !at_last
                || row.step.is_some_and(|step| steps.contains(&step))
                || self.is_area(row)
                || is_last(row)
        };
        let kept = taken.iter().filter(|row| is_kept(row));
        kept.map(|row| (*row).clone()).collect()
    }

    /// Whether a row holds the area under a line, which belongs to no checkpoint.
    fn is_area(&self, row: &Metric) -> bool {
        matches!(self, Self::Interpolation(spec) if spec.area.as_ref() == Some(&row.metric))
    }

    /// Steps that arms of its kind name.
    fn steps(&self) -> Vec<i64> {
        self.arms().iter().filter_map(|arm| arm.step).collect()
    }

    /// Arms that it draws, whatever their behavior.
    fn arms(&self) -> Vec<&Arm> {
        match self {
            Self::Emergence(spec) => {
                spec.columns.iter().flat_map(|column| &column.arms).chain(&spec.base).collect()
            }
            Self::ArmBars(spec) => {
                spec.panels.iter().flat_map(|panel| &panel.arms).chain(&spec.references).collect()
            }
            Self::TeacherPrompts(spec) => spec.arms.iter().flatten().flatten().chain(&spec.base).collect(),
            Self::Interpolation(spec) => {
                let shares = spec
                    .panels
                    .iter()
                    .flat_map(|panel| panel.random.iter().chain(&panel.redrawn).chain(&panel.alone));
                shares.map(|share| &share.arm).chain(&spec.base).collect()
            }
            Self::Selection(spec) => {
                let rankers = spec.panels.iter().flat_map(|panel| &panel.rankers);
                rankers.flat_map(|ranker| &ranker.shares).map(|share| &share.arm).collect()
            }
            Self::HeatMap(spec) => vec![&spec.arm],
            Self::Trajectories(spec) => spec.columns.iter().flat_map(|column| &column.arms).collect(),
            _ => vec![],
        }
    }

    fn takes(&self, row: &Metric) -> bool {
        let is_drawn = || self.arms().iter().any(|arm| is_of(arm, row));
        match self {
            Self::Emergence(spec) => {
                let quantities = spec.tracks.iter().any(|quantity| takes(quantity, row));
                let own = quantities && in_columns(&spec.columns, spec.base.as_slice(), row);
                own || stands_beside(spec, row)
            }
            Self::ArmBars(spec) => {
                takes(&spec.quantity, row) && in_columns(&spec.panels, &spec.references, row)
            }
            Self::TeacherPrompts(spec) => {
                takes(&spec.quantity, row) && named(&spec.behaviors, row) && is_drawn()
            }
            Self::Interpolation(spec) => {
                let shown =
                    spec.panels.iter().filter(|panel| panel.behavior.name == row.behavior).any(|panel| {
                        let shares = panel.random.iter().chain(&panel.redrawn).chain(&panel.alone);
                        is_one_of(shares.map(|share| &share.arm).chain(&spec.base), row)
                    });
                let area =
                    self.is_area(row) && spec.panels.iter().any(|panel| panel.behavior.name == row.behavior);
                area || (takes(&spec.quantity, row) && shown)
            }
            Self::Selection(spec) => spec.panels.iter().any(|panel| {
                let ranked = panel.rankers.iter().any(|ranker| {
                    let own = ranker.shares.iter().any(|share| row.arm.as_ref() == Some(&share.arm.name));
                    own && row.method.as_ref() == Some(&ranker.method)
                });
                panel.behavior.name == row.behavior && ranked && row.metric == spec.quantity.metric
            }),
            Self::OriginBars(spec) => {
                let effect = spec.effects.iter().any(|effect| effect.metric() == row.metric);
                let quantity = if row.hook.is_some() { &spec.projection } else { &spec.rate };
                let quantity = quantity.as_ref().is_some_and(|quantity| alike(quantity, row));
                effect && quantity && named(&spec.behaviors, row)
            }
            Self::VerdictTable(spec) => {
                row.hook.is_none() && row.metric.starts_with("verdict_") && named(&spec.behaviors, row)
            }
            Self::HeatMap(spec) => {
                let anywhere = Quantity { hooks: std::collections::BTreeMap::new(), ..spec.quantity.clone() };
                takes(&anywhere, row) && named(&spec.behaviors, row) && is_drawn() && row.seed == spec.seed
            }
            Self::Trajectories(spec) => {
                let quantities = takes(&spec.x, row) || takes(&spec.y, row);
                quantities && in_columns(&spec.columns, &[], row)
            }
            Self::Cosines(spec) => {
                let prefix = if spec.against == Against::Arms { "arm:" } else { "checkpoint:" };
                let is_named = |cell: Option<&String>| {
                    let name = cell.and_then(|cell| cell.strip_prefix(prefix));
                    spec.names.is_empty() || spec.names.iter().any(|known| name == Some(known))
                };
                row.metric == "cosine"
                    && row.behavior == spec.behavior.name
                    && is(spec.arm.as_ref(), row.arm.as_ref())
                    && is(spec.method.as_ref(), row.method.as_ref())
                    && is(spec.hook.as_ref(), row.hook.as_ref())
                    && between(prefix, row)
                    && is_named(row.fit_on.as_ref())
                    && is_named(row.scored_on.as_ref())
            }
            Self::LayerSweep(spec) => swept(spec, row),
            Self::Transfer(spec) => transferred(spec, row),
            Self::Histograms(_) | Self::DoseResponse(_) => false,
        }
    }

    fn takes_bin(&self, bin: &Histogram) -> bool {
        let Self::Histograms(spec) = self else { return false };
        bin.method == spec.method && (spec.behaviors.is_empty() || spec.behaviors.contains(&bin.behavior))
    }

    fn takes_dose(&self, dose: &Dose) -> bool {
        let Self::DoseResponse(spec) = self else { return false };
        let known = dose.metric == spec.metric || Some(&dose.metric) == spec.coherence.as_ref();
        known
            && spec.behaviors.iter().any(|behavior| behavior.name == dose.behavior)
            && is(spec.arm.as_ref(), dose.arm.as_ref())
            && spec.hooks.get(&dose.behavior).is_none_or(|hook| *hook == dose.hook)
            && ["direction", "random", "difference"].contains(&dose.direction.as_str())
    }
}

/// Whether a row is of controls of a quantity, or says when it moves, in the first arm of its behavior's column.
fn stands_beside(spec: &EmergenceSpec, row: &Metric) -> bool {
    let own = spec.columns.iter().filter(|column| column.behavior.name == row.behavior);
    let is_first = own.filter_map(|column| column.arms.first()).any(|arm| is_of(arm, row));
    let here = |quantity: &Quantity| is(quantity.hooks.get(&row.behavior), row.hook.as_ref());
    let is_null = |quantity: &&Quantity| {
        let nulls = spec.nulls.get(&quantity.metric).into_iter().flatten();
        nulls.into_iter().any(|null| null.metric == row.metric) && here(quantity)
    };
    let is_mark =
        || spec.marks.iter().any(|mark| mark.metric == row.metric) && spec.tracks.first().is_some_and(here);
    is_first && (spec.tracks.iter().any(|quantity| is_null(&quantity)) || is_mark())
}

/// Whether a row holds what is wanted, if anything is.
fn is<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
    wanted.is_none() || wanted == found
}

fn takes(quantity: &Quantity, row: &Metric) -> bool {
    row.metric == quantity.metric && alike(quantity, row)
}

/// Whether a row agrees with all that a quantity names besides its metric.
fn alike(quantity: &Quantity, row: &Metric) -> bool {
    is(quantity.method.as_ref(), row.method.as_ref())
        && is(quantity.fit_on.as_ref(), row.fit_on.as_ref())
        && is(quantity.scored_on.as_ref(), row.scored_on.as_ref())
        && is(quantity.hooks.get(&row.behavior), row.hook.as_ref())
}

fn named(behaviors: &[Behavior], row: &Metric) -> bool {
    behaviors.iter().any(|behavior| behavior.name == row.behavior)
}

/// Whether a row is of an arm of its behavior's column, or of one that every column shows.
fn in_columns(columns: &[BehaviorArms], everywhere: &[Arm], row: &Metric) -> bool {
    let mut own = columns.iter().filter(|column| column.behavior.name == row.behavior);
    own.any(|column| is_one_of(column.arms.iter().chain(everywhere), row))
}

fn is_one_of<'a>(arms: impl IntoIterator<Item = &'a Arm>, row: &Metric) -> bool {
    arms.into_iter().any(|arm| is_of(arm, row))
}

fn is_of(arm: &Arm, row: &Metric) -> bool {
    row.arm.as_deref().unwrap_or_default() == arm.name
}

fn between(prefix: &str, row: &Metric) -> bool {
    [&row.fit_on, &row.scored_on]
        .into_iter()
        .all(|cell| cell.as_ref().is_some_and(|name| name.starts_with(prefix)))
}

fn swept(spec: &LayerSweepSpec, row: &Metric) -> bool {
    let known =
        ["auroc", "auroc_at_chosen_layer"].contains(&row.metric.as_str()) || spec.nulls.contains(&row.metric);
    let here = !matches!(row.hook, Some(HookPoint::Block { site, .. }) if site != spec.site);
    known
        && here
        && (spec.behaviors.is_empty() || spec.behaviors.contains(&row.behavior))
        && is(spec.arm.as_ref(), row.arm.as_ref())
}

fn transferred(spec: &TransferSpec, row: &Metric) -> bool {
    let between = match &spec.between {
        Between::Groups { behavior } => between("group:", row) && row.behavior == *behavior,
        Between::Behaviors => between("behavior:", row),
    };
    row.metric == "transfer_auroc"
        && between
        && row.method.as_ref() == Some(&spec.method)
        && is(spec.arm.as_ref(), row.arm.as_ref())
        && is(spec.hook.as_ref(), row.hook.as_ref())
}
