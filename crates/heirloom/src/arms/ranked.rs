//! Rankings of prompts, judged by the students that were retrained without their choice.

use std::collections::BTreeMap;

use heirloom_figure::{
    Arm, Behavior, BehaviorRankers, Drawing, FigureSpec, Ranker, Role, SelectionSpec, Share,
};
use heirloom_probe::Resampling;
use heirloom_probe::attribution::removal_per_percent;
use heirloom_probe::joint::{JointDraws, Ratio};
use heirloom_probe::origin::share_removed;
use heirloom_probe::rate::Observation;
use heirloom_record::Metric;

use super::spec::{ArmsSpec, RankerLabel};
use super::{ArmsExperiment, Seen};
use crate::streams::stream;
use crate::{Error, Result};

impl ArmsExperiment {
    /// What swapping each ranker's choice removes: as a share of what the other teacher removes, and of the rate per
    /// percent of prompts swapped.
    pub(crate) fn selection(&self, seen: &[Seen]) -> Result<Vec<Metric>> {
        let mut rows = vec![];
        let rankers = &self.spec.figures.selection;
        for behavior in self.behaviors.iter().filter(|name| rankers.iter().any(|one| one.behavior == **name))
        {
            let own = rankers.iter().filter(|ranker| ranker.behavior == *behavior).collect::<Vec<_>>();
            rows.extend(self.ranked(seen, behavior, &own)?);
        }
        Ok(rows)
    }

    fn ranked(&self, seen: &[Seen], behavior: &str, rankers: &[&RankerLabel]) -> Result<Vec<Metric>> {
        let part = |name: &str| {
            let parts = self.spec.origins.get(behavior).and_then(|parts| parts.get(name));
            parts.cloned().ok_or_else(|| Error::Setting {
                key: "origins",
                expected: format!("`{name}` of {behavior}, which `figures.selection` is measured with"),
                found: "nothing".into(),
            })
        };
        let (full, other) = (part("full")?, part("other-teacher")?);
        let ranked = rankers.iter().flat_map(|ranker| &ranker.arms).map(|mix| &mix.arm);
        let mut arms: BTreeMap<&String, Vec<Observation>> = BTreeMap::new();
        for arm in [&full, &other].into_iter().chain(ranked) {
            arms.entry(arm).or_insert_with(|| self.shown(seen, behavior, arm));
        }
        // Arms that `--quick` leaves out have no row.
        arms.retain(|_, seen| !seen.is_empty());
        let resampling = Resampling { replicates: self.spec.measure.bootstrap, ..Resampling::default() };
        let rng = stream(self.spec.seed, &format!("selection {behavior}"));
        let observed: Vec<(&str, &[Observation])> =
            arms.iter().map(|(name, seen)| (name.as_str(), seen.as_slice())).collect();
        let draws = JointDraws::new(&observed, resampling, &rng)?;
        let (runs, clusters) = draws.units();
        let mut rows = vec![];
        for ranker in rankers {
            for mix in ranker.arms.iter().filter(|mix| arms.contains_key(&mix.arm)) {
                let observed = &arms[&mix.arm];
                let row = |metric: &str| Metric {
                    behavior: behavior.to_owned(),
                    arm: Some(mix.arm.clone()),
                    method: Some(ranker.method.clone()),
                    scored_on: Some("held-out scenarios".into()),
                    metric: metric.into(),
                    n: i64::try_from(observed.len()).ok(),
                    ..Metric::default()
                };
                let [whole, left, least] = [&arms[&full], observed, &arms[&other]];
                for (run, seed) in self.spec.seeds.iter().enumerate() {
                    let [whole, left, least] = [whole, left, least].map(|seen| mean(seen, run));
                    rows.push(Metric {
                        seed: i64::try_from(*seed).ok(),
                        value: Some((whole - left) / (whole - least)).filter(|share| share.is_finite()),
                        n: i64::try_from(observed.iter().filter(|seen| seen.run == run).count()).ok(),
                        ..row("selection_removed")
                    });
                }
                let share = row("selection_removed");
                rows.push(match share_removed(&draws, &full, &mix.arm, &other)? {
                    Ratio::Defined(found) => Metric {
                        value: Some(found.value),
                        low: Some(found.low),
                        high: Some(found.high),
                        interval: Some(format!(
                            "95 % of joint draws over {runs} seeds and {clusters} scenarios"
                        )),
                        ..share
                    },
                    Ratio::Undefined { .. } => share,
                });
                let percent = 100.0 * mix.fraction;
                let found = removal_per_percent(whole, left, percent, resampling, &rng)?;
                rows.push(Metric {
                    value: Some(found.value),
                    low: Some(found.low),
                    high: Some(found.high),
                    interval: Some(found.describe("seeds", "scenarios")),
                    ..row("selection_removed_per_percent")
                });
            }
        }
        Ok(rows)
    }

    /// Whether each answer of an arm's last checkpoint shows the behavior.
    pub(super) fn shown(&self, seen: &[Seen], behavior: &str, arm: &str) -> Vec<Observation> {
        let mut all = vec![];
        for (run, seed) in self.spec.seeds.iter().enumerate() {
            for one in seen.iter().filter(|one| one.arm == arm && one.seed == *seed) {
                let own = one.verdicts.iter().filter(|((_, name), _)| name == behavior);
                let Some((_, verdicts)) = own.max_by_key(|((step, _), _)| *step) else { continue };
                let shown = verdicts.shown.iter();
                all.extend(shown.map(|(cluster, met)| Observation {
                    run,
                    cluster: *cluster,
                    value: f64::from(u8::from(*met)),
                }));
            }
        }
        all
    }
}

fn mean(seen: &[Observation], run: usize) -> f64 {
    let own: Vec<f64> = seen.iter().filter(|seen| seen.run == run).map(|seen| seen.value).collect();
    own.iter().sum::<f64>() / own.len() as f64
}

/// *Selection*, where the file asks for it and its arms were run.
pub(crate) fn drawing(spec: &ArmsSpec, metrics: &[Metric]) -> Option<Drawing> {
    let ran = |arm: &str| {
        metrics.iter().any(|row| row.metric == "selection_removed" && row.arm.as_deref() == Some(arm))
    };
    let ranker = |label: &RankerLabel| -> Option<Ranker> {
        let own = label.arms.iter().filter(|mix| ran(&mix.arm));
        let shares: Vec<Share> =
            own.map(|mix| Share { fraction: mix.fraction, arm: Arm::new(&mix.arm, Role::Swap) }).collect();
        (!shares.is_empty()).then(|| Ranker::new(&label.method, shares))
    };
    let panels = spec.figures.behaviors.iter().map(|panel| BehaviorRankers {
        behavior: Behavior { name: panel.behavior.clone(), label: panel.label.clone() },
        rankers: spec
            .figures
            .selection
            .iter()
            .filter(|label| label.behavior == panel.behavior)
            .filter_map(ranker)
            .collect(),
    });
    let panels: Vec<BehaviorRankers> = panels.filter(|panel| !panel.rankers.is_empty()).collect();
    let drawing = || Drawing::new("selection", FigureSpec::Selection(SelectionSpec::new(panels.clone())));
    (!panels.is_empty()).then(drawing)
}
