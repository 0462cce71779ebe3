//! When behaviors appear in tracked arms: the step at which rate and projection leave the base's, and which moves first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use heirloom_probe::Resampling;
use heirloom_probe::rate::Observation;
use heirloom_probe::track::{Crossing, Emergence, Lead, Track, emergence, lead};
use heirloom_record::Metric;

use super::ArmsExperiment;
use super::origins::shown;
use super::tables::Seen;
use crate::origins::{FitOn, Measure};
use crate::streams::stream;
use crate::words::number;
use crate::{Progress, Result};

/// When one behavior appears in one arm.
#[derive(Clone, Debug)]
pub struct Appears {
    /// The behavior.
    pub behavior: String,
    /// The arm.
    pub arm: String,
    /// By what was measured: steps at which it leaves the base's.
    pub emergence: Vec<(Measure, Emergence)>,
    /// How much later the rate moves than the projection, in doublings of training.
    pub lead: Option<Lead>,
}

impl ArmsExperiment {
    /// When every behavior appears in every tracked arm.
    pub(crate) fn tracks(&self, seen: &[Seen], progress: &mut dyn Progress) -> Result<Vec<Appears>> {
        let arms: Vec<_> = self.arms.iter().filter(|arm| self.tracked(&arm.name)).collect();
        progress.begin("tracks", "checkpoints", arms.len() as u64, "arms");
        let mut all = vec![];
        for (done, arm) in arms.into_iter().enumerate() {
            for behavior in &self.behaviors {
                all.extend(self.track(seen, behavior, &arm.name, &arm.base)?);
            }
            progress.advance(done as u64 + 1);
        }
        progress.end();
        Ok(all)
    }

    /// Nothing for an arm with one checkpoint.
    fn track(&self, seen: &[Seen], behavior: &str, arm: &str, base: &str) -> Result<Option<Appears>> {
        let resampling = Resampling { replicates: self.spec.measure.bootstrap, ..Resampling::default() };
        let rng = stream(self.spec.seed, &format!("track {behavior} {arm}"));
        let hook = self.spec.measure.headline;
        let directions = [FitOn::Base, FitOn::Teachers].map(|fit_on| Measure::Projection { hook, fit_on });
        let mut tracks = vec![];
        for measure in [Measure::Rate].into_iter().chain(directions) {
            let mut steps: BTreeMap<usize, Vec<Observation>> = BTreeMap::new();
            for one in seen.iter().filter(|one| one.arm == arm || one.arm == base) {
                let run = self.run_of(one);
                for step in one.measured.iter().map(|measured| measured.step) {
                    let observation = |(cluster, value)| Observation { run, cluster, value };
                    let observed = shown(one, behavior, measure, step).into_iter().map(observation);
                    steps.entry(step).or_default().extend(observed);
                }
            }
            steps.retain(|_, seen| !seen.is_empty());
            if steps.len() > 1 {
                tracks.push((measure, Track::new(steps.into_iter().collect())?));
            }
        }
        let Some((_, rate)) = tracks.first() else { return Ok(None) };
        // The direction that the figures draw, where there is one.
        let projection = tracks[1..].last().map(|(_, projection)| projection);
        let lead = projection.map(|projection| lead(projection, rate, resampling, &rng)).transpose()?;
        let when = tracks.iter().map(|(measure, track)| Ok((*measure, emergence(track, resampling, &rng)?)));
        let emergence = when.collect::<Result<_>>()?;
        Ok(Some(Appears { behavior: behavior.into(), arm: arm.into(), emergence, lead }))
    }
}

impl Appears {
    /// Steps and lags as rows of the table; a step that does not exist is a row without a value.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let row = |metric: &str| Metric {
            behavior: self.behavior.clone(),
            arm: Some(self.arm.clone()),
            metric: metric.into(),
            ..Metric::default()
        };
        let step = |step: Option<usize>| step.map(|step| step as f64);
        let mut rows = vec![];
        for (measure, Emergence { crossing, by_run, median, .. }) in &self.emergence {
            let (hook, fit_on) = match measure {
                Measure::Rate => (None, None),
                Measure::Projection { hook, fit_on } => (Some(*hook), Some(fit_on.name().to_owned())),
            };
            let row = |metric: &str| Metric { hook, fit_on: fit_on.clone(), ..row(metric) };
            let Crossing { first, lasting } = *crossing;
            let n = i64::try_from(by_run.len()).ok();
            rows.push(Metric { value: step(first), n, ..row("emergence_first") });
            rows.push(Metric { value: step(lasting), n, ..row("emergence_lasting") });
            rows.extend(median.iter().map(|median| Metric {
                value: step(median.step),
                low: step(median.low),
                high: step(median.high),
                n,
                interval: Some(median.describe("seeds")),
                ..row("emergence_median")
            }));
        }
        rows.extend(self.lead.iter().map(|lead| match lead {
            Lead::Lag(lag) => Metric {
                value: Some(lag.octaves.value),
                low: Some(lag.octaves.low),
                high: Some(lag.octaves.high),
                n: i64::try_from(lag.by_run.len()).ok(),
                interval: Some(lag.octaves.describe("seeds", "scenarios")),
                ..row("rate_lag_octaves")
            },
            Lead::Undefined(_) => row("rate_lag_octaves"),
        }));
        rows
    }

    /// A line: the lasting steps, and the lag where both move.
    pub(crate) fn line(&self, width: usize) -> String {
        let mut out = format!("  {:<width$}", self.arm);
        for (_, found) in &self.emergence {
            let _ = write!(out, "{:>26}", moved(found));
        }
        // A lag is told of two quantities that move for good; that they do not is said in their own columns.
        let lag = match &self.lead {
            Some(Lead::Lag(lag)) => {
                let [value, low, high] = [lag.octaves.value, lag.octaves.low, lag.octaves.high].map(number);
                format!("{value} [{low}, {high}]")
            }
            _ => "–".into(),
        };
        let _ = write!(out, "{lag:>24}");
        out
    }
}

/// Whether a quantity rises or falls away from its first checkpoint for good, and from which step on; else what it did on the way.
pub(crate) fn moved(Emergence { crossing, differences, .. }: &Emergence) -> String {
    let word = |step: usize| {
        let rises = differences.iter().any(|(at, by)| *at == step && by.value > 0.0);
        if rises { "above" } else { "below" }
    };
    match (crossing.lasting, crossing.first) {
        (Some(step), Some(first)) if word(first) != word(step) => {
            format!("{} at {first}, {} from {step}", word(first), word(step))
        }
        (Some(step), _) => format!("{} from {step}", word(step)),
        (None, Some(step)) => format!("{} at {step}, not kept", word(step)),
        (None, None) => "never".into(),
    }
}
