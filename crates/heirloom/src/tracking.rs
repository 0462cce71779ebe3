//! A fixed direction across checkpoints: projections with intervals and null bands, when they leave the first checkpoint's,
//! and how far a direction that is fit anew has turned.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use heirloom_model::{CaptureOptions, CapturePlan, Student, TokenRow};
use heirloom_probe::control::{NullBand, random_differences_within, random_directions};
use heirloom_probe::random::ChaCha8Rng;
use heirloom_probe::rate::{Estimate, Observation, difference, mean};
use heirloom_probe::score::Reference;
use heirloom_probe::subspace::cosine;
use heirloom_probe::track::{Controls, Emergence, Track, emergence, mean_shift_band};
use heirloom_probe::{Dataset, FitOptions, Method, Resampling, auroc_interval, fit};
use heirloom_record::{DataRow, Directions, HookPoint, Input, Metric, Readout};
use ndarray::{Array1, Array2};

use crate::activations::dataset;
use crate::arms::moved;
use crate::rows::{banded, count, estimated};
use crate::scenarios::number_of;
use crate::series::SeriesRows;
use crate::streams::stream;
use crate::words::{brackets, number};
use crate::{Error, Result};

/// What is tracked.
#[derive(Clone, Copy, Debug)]
pub struct Tracking<'a> {
    /// The directions, each at its hook point.
    pub directions: &'a Directions,
    /// Most tokens in a batch, the same at every checkpoint.
    pub max_tokens: usize,
    /// Random directions, and as many random differences, beside every checkpoint.
    pub null_draws: usize,
    /// For every interval.
    pub resampling: Resampling,
    /// Root of the random streams.
    pub seed: u64,
}

/// What is read at every checkpoint.
pub struct TrackedRows {
    /// Rows that are projected.
    pub rows: SeriesRows,
    /// Labelled rows that define the units, and on which directions are fit anew.
    pub reference: SeriesRows,
}

impl TrackedRows {
    /// Tokenizes both as `first` does.
    ///
    /// # Errors
    /// Those of [`Student::prepare`].
    pub fn new(first: &Student, rows: &[DataRow], reference: &[DataRow]) -> Result<Self> {
        Ok(Self { rows: SeriesRows::new(first, rows)?, reference: SeriesRows::new(first, reference)? })
    }
}

/// One checkpoint, looked into.
#[derive(Clone, Debug)]
pub struct Looked {
    step: usize,
    pub(crate) by_hook: BTreeMap<HookPoint, Reading>,
    /// Number of each row's cluster: rows of one pair are one, and so are rows that ask the same.
    clusters: Vec<usize>,
    /// What a cluster is, in the plural.
    pub(crate) unit: &'static str,
    /// Of every pair of reference rows; none where they are not pairs of answers.
    margins: Vec<f64>,
}

/// What the first checkpoint of all defines for every one.
#[derive(Debug)]
struct Units {
    reference: Reference,
    /// Random directions, and random differences.
    controls: [Controls; 2],
}

/// One checkpoint at one hook point.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    units: Arc<Units>,
    projections: Vec<f64>,
    /// Mean projections along random directions and along random differences.
    controls: [Vec<f64>; 2],
    /// Of the direction on the reference rows.
    pub(crate) auroc: heirloom_probe::Interval,
    /// The direction of the difference of means of this checkpoint's reference rows.
    pub(crate) refit: Array1<f64>,
    /// The direction with that one.
    pub(crate) cosine: f64,
}

/// Every number of a tracking, and what a stranger should read first.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Rows of the table.
    pub metrics: Vec<Metric>,
    /// A few lines for each hook point.
    pub summary: String,
}

impl Looked {
    /// Projections of the rows at a hook point, as those of seed number `run`.
    pub(crate) fn observed(&self, run: usize, hook: HookPoint) -> impl Iterator<Item = Observation> {
        let values = self.clusters.iter().zip(&self.by_hook[&hook].projections);
        values.map(move |(cluster, value)| Observation { run, cluster: *cluster, value: *value })
    }

    /// Clusters among the rows.
    pub(crate) fn n_clusters(&self) -> usize {
        self.clusters.iter().collect::<BTreeSet<_>>().len()
    }
}

/// Checks that a direction of answers is read from rows with answers; each list of rows comes with its place.
///
/// # Errors
/// Names the row that has none.
pub fn check_answers(readout: &Readout, data: &[(&Path, &[DataRow])]) -> Result<()> {
    let answered = |row: &DataRow| match &row.input {
        Input::Messages(messages) => messages.last().is_some_and(|message| message.role == "assistant"),
        _ => false,
    };
    for (path, rows) in data.iter().filter(|_| *readout == Readout::ResponseMean) {
        if let Some(row) = rows.iter().find(|row| !answered(row)) {
            return Err(Error::Unanswered { path: (*path).into(), row: row.id.clone() });
        }
    }
    Ok(())
}

/// Checks that rows that define the units are labelled, in groups.
///
/// # Errors
/// Names the row and what it lacks.
pub fn check_reference(path: &Path, rows: &[DataRow]) -> Result<()> {
    let lacking = |row: &DataRow| match (row.label, &row.group) {
        (None, _) => Some("label"),
        (_, None) => Some("group"),
        _ => None,
    };
    let Some((row, field)) = rows.iter().find_map(|row| Some((row.id.clone(), lacking(row)?))) else {
        return Ok(());
    };
    Err(Error::NoReference { path: path.into(), row, field })
}

impl Tracking<'_> {
    /// Looks into one checkpoint; `first` is the first one of all, whose units the others have.
    ///
    /// # Errors
    /// Other token ids than the first checkpoint's, another width, rows without a label, activations that are not finite.
    pub fn look(
        &self,
        step: usize,
        student: &Student,
        rows: &TrackedRows,
        first: Option<&Looked>,
    ) -> Result<Looked> {
        let looked = self.project(step, student, rows, first, &mut |_, _| Ok(()))?;
        Ok(Looked { margins: margins(student, rows.reference.rows())?, ..looked })
    }

    /// [`Self::look`] without log-probabilities of answers; `and_reference` is handed the reference rows at every hook point.
    pub(crate) fn project(
        &self,
        step: usize,
        student: &Student,
        rows: &TrackedRows,
        first: Option<&Looked>,
        and_reference: &mut dyn FnMut(HookPoint, &Dataset) -> Result<()>,
    ) -> Result<Looked> {
        let hooks: Vec<String> = self.directions.by_hook.keys().map(ToString::to_string).collect();
        let plan = CapturePlan::new(student.config(), &hooks, self.directions.header.readout.clone())?;
        let capture = |rows: &SeriesRows| {
            rows.check(step, student)?;
            let mut options = CaptureOptions { max_tokens: self.max_tokens, ..CaptureOptions::default() };
            Ok::<_, Error>(student.capture(rows.rows(), &plan, &mut options)?)
        };
        let (seen, known) = (capture(&rows.rows)?, capture(&rows.reference)?);
        let mut by_hook = BTreeMap::new();
        for (hook, direction) in &self.directions.by_hook {
            let known = dataset(&known, *hook, &[], Path::new("the reference rows"))?;
            let vector = direction.vector.mapv(f64::from);
            let reading =
                self.read(&seen.tensors[hook], &known, &vector, first.map(|first| &first.by_hook[hook]))?;
            by_hook.insert(*hook, reading);
            and_reference(*hook, &known)?;
        }
        let (clusters, unit) = clusters(rows.rows.rows());
        Ok(Looked { step, by_hook, clusters, unit, margins: vec![] })
    }

    fn read(
        &self,
        seen: &Array2<f32>,
        known: &Dataset,
        vector: &Array1<f64>,
        first: Option<&Reading>,
    ) -> Result<Reading> {
        let project = |x| heirloom_probe::direction::project(x, vector.view());
        let on_reference = project(known.x())?;
        let units = match first {
            Some(first) => Arc::clone(&first.units),
            None => Arc::new(self.units(known, &on_reference)?),
        };
        let Units { reference, controls: [random, differences] } = &*units;
        let refit = fit(Method::DifferenceOfMeans, known, &FitOptions::default())?;
        Ok(Reading {
            projections: reference.units(&project(seen.view())?),
            controls: [random.means(seen.view())?, differences.means(seen.view())?],
            auroc: auroc_interval(
                &on_reference,
                known.labels(),
                known.clusters(),
                self.resampling,
                &self.rng("auroc"),
            )?,
            cosine: cosine(refit.direction.view(), vector.view())?,
            refit: refit.direction,
            units,
        })
    }

    /// Those that reference rows define, with the rows' own projections.
    fn units(&self, known: &Dataset, on_reference: &[f64]) -> Result<Units> {
        let random = random_directions(known.d_model(), self.null_draws, &self.rng("random directions"));
        let differences = random_differences_within(known, self.null_draws, &self.rng("random differences"))?;
        Ok(Units {
            reference: Reference::of(on_reference, known.labels())?,
            controls: [Controls::new(known, random)?, Controls::new(known, differences)?],
        })
    }

    fn rng(&self, name: &str) -> ChaCha8Rng {
        stream(self.seed, &format!("track {name}"))
    }

    /// Rows and lines of what [`Self::look`] saw, one list of checkpoints for each seed.
    ///
    /// # Errors
    /// Seeds with other checkpoints, fewer than two checkpoints.
    pub fn tracks(&self, runs: &[Vec<Looked>]) -> Result<Tracked> {
        let (mut metrics, mut summary, mut compared) = (vec![], String::new(), 0);
        let unit = runs.iter().flatten().next().map_or("rows", |one| one.unit);
        let header = &self.directions.header;
        let _ = writeln!(summary, "{}: {}", header.behavior, header.towards);
        for hook in self.directions.by_hook.keys() {
            let mut steps: BTreeMap<usize, Vec<Observation>> = BTreeMap::new();
            for (run, seen) in runs.iter().enumerate() {
                for one in seen {
                    steps.entry(one.step).or_default().extend(one.observed(run, *hook));
                }
            }
            let _ = writeln!(
                summary,
                "\n{hook}\n  {:>8}{:>24}{:>9}{:>18}{:>18}{:>10}{:>8}",
                "step", "projection", "shift*", "random*", "differences*", "AUROC", "cosine"
            );
            let track = Track::new(steps.into_iter().collect())?;
            let found = emergence(&track, self.resampling, &stream(self.seed, "track emergence"))?;
            let started = &track.checkpoints()[0].1;
            let mut beyond: Vec<(usize, Option<f64>)> = vec![];
            for (step, observed) in track.checkpoints() {
                let projection = mean(observed, self.resampling, &stream(self.seed, "track projection"))?;
                let shift =
                    difference(observed, started, self.resampling, &stream(self.seed, "track shift"))?;
                let row = self.row(*hook, *step);
                for (metric, one) in [("projection", &projection), ("shift", &shift)] {
                    metrics.push(Metric { n: count(one.clusters), ..estimated(row(metric), one, unit) });
                }
                // Fits are those of the first seed that has the step.
                let looked = runs.iter().flatten().find(|one| one.step == *step);
                let Some(reading) = looked.map(|one| &one.by_hook[hook]) else { continue };
                let bands = control_shifts(runs, *hook, *step)?;
                metrics.push(banded(row("shift_random_direction"), &bands[0]));
                metrics.push(banded(row("shift_random_difference"), &bands[1]));
                beyond.push((*step, side_beyond(&shift, &bands)));
                let auroc = &reading.auroc;
                metrics.push(Metric {
                    value: Some(auroc.value),
                    low: Some(auroc.low),
                    high: Some(auroc.high),
                    n: i64::try_from(auroc.n).ok(),
                    interval: Some(auroc.describe("pairs")),
                    ..row("auroc")
                });
                metrics.push(Metric { value: Some(reading.cosine), ..row("cosine_to_refit") });
                let band = |band: &NullBand| format!("[{}, {}]", number(band.low), number(band.high));
                let _ = writeln!(
                    summary,
                    "  {step:>8}{:>24}{:>9}{:>18}{:>18}{:>10}{:>8}",
                    brackets(projection.value, projection.low, projection.high),
                    number(shift.value),
                    band(&bands[0]),
                    band(&bands[1]),
                    number(auroc.value),
                    number(reading.cosine)
                );
            }
            let beyond = lasting(&beyond);
            metrics.extend(self.emerged(*hook, &found, beyond));
            compared += found.differences.len();
            let _ = writeln!(
                summary,
                "  outside the interval of zero: {}; beyond controls, too: {}",
                moved(&found),
                beyond.map_or("never".into(), |step| format!("from {step}"))
            );
        }
        let _ = writeln!(
            summary,
            "\nOf {compared} shifts, over {} hook points, about {} exclude 0 by chance where nothing moves; what training moves \
             anyway, controls show: a shift is beyond them where it lies outside the middle 95 % of both families.",
            self.directions.by_hook.len(),
            number(compared as f64 * (1.0 - self.resampling.level))
        );
        metrics.extend(self.answers(runs, &mut summary)?);
        summary.push_str(
            "\nprojection: mean over rows in standard deviations of the reference rows at the first checkpoint, with its 95 % interval\n\
             * how far it has moved from the first checkpoint; random, differences: 2.5 % to 97.5 % of how far as many random directions and \
             differences of activations have, each in units of its own and the mean over seeds\n\
             AUROC: the direction on the reference rows, in sample where it was fit on them; cosine: with a direction fit on this checkpoint; both of the first seed\n",
        );
        Ok(Tracked { metrics, summary })
    }

    /// How much more likely every checkpoint finds the answers that show the behavior; nothing without pairs of answers.
    fn answers(&self, runs: &[Vec<Looked>], summary: &mut String) -> Result<Vec<Metric>> {
        let mut steps: BTreeMap<usize, Vec<Observation>> = BTreeMap::new();
        for (run, seen) in runs.iter().enumerate() {
            for one in seen {
                let margins = one.margins.iter().enumerate();
                let observed = margins.map(|(cluster, value)| Observation { run, cluster, value: *value });
                steps.entry(one.step).or_default().extend(observed);
            }
        }
        steps.retain(|_, observed| !observed.is_empty());
        let Some(started) = steps.values().next().cloned() else { return Ok(vec![]) };
        summary.push_str(
            "\nanswers that show it less those that do not, log-probability per token in nats, and how far it has moved\n",
        );
        let mut metrics = vec![];
        for (step, observed) in steps {
            let rng = stream(self.seed, "track answers");
            let margin = mean(&observed, self.resampling, &rng)?;
            let shift = difference(&observed, &started, self.resampling, &rng)?;
            let told = |one: &Estimate| brackets(one.value, one.low, one.high);
            let _ = writeln!(summary, "  {step:>8}{:>24}{:>24}", told(&margin), told(&shift));
            for (metric, one) in [("answer_margin", margin), ("answer_margin_shift", shift)] {
                let row = Metric {
                    behavior: self.directions.header.behavior.clone(),
                    step: count(step),
                    scored_on: Some("answers of the reference rows".into()),
                    metric: metric.into(),
                    ..Metric::default()
                };
                metrics.push(Metric { n: count(one.clusters), ..estimated(row, &one, "pairs") });
            }
        }
        Ok(metrics)
    }

    fn row(&self, hook: HookPoint, step: usize) -> impl Fn(&str) -> Metric {
        let header = self.directions.header.clone();
        move |metric| Metric {
            behavior: header.behavior.clone(),
            step: i64::try_from(step).ok(),
            hook: Some(hook),
            method: Some(header.method.clone()),
            fit_on: Some(header.model.clone()),
            metric: metric.into(),
            ..Metric::default()
        }
    }

    fn emerged(&self, hook: HookPoint, found: &Emergence, beyond: Option<usize>) -> Vec<Metric> {
        let steps = [
            ("emergence_first", found.crossing.first),
            ("emergence_lasting", found.crossing.lasting),
            ("emergence_beyond_controls", beyond),
        ];
        let row = |(metric, step): (&str, Option<usize>)| Metric {
            step: None,
            value: step.map(|step| step as f64),
            n: i64::try_from(found.by_run.len()).ok(),
            ..self.row(hook, 0)(metric)
        };
        steps.into_iter().map(row).collect()
    }
}

/// Each row's cluster, and what clusters are in the plural. Rows of one pair are one cluster, and so are rows that ask the same, by
/// the tokens before the answer or by all where there is none; a cluster's number is the same in every run.
fn clusters(rows: &[TokenRow]) -> (Vec<usize>, &'static str) {
    let asked = |row: &TokenRow| {
        let asked = row.response.as_ref().map_or(row.ids.len(), |response| response.start);
        number_of(&format!("{:?}", &row.ids[..asked]))
    };
    let asked: Vec<usize> = rows.iter().map(asked).collect();
    let mut found = asked.clone();
    loop {
        let (mut by_pair, mut by_asked) = (BTreeMap::new(), BTreeMap::new());
        for ((row, asked), cluster) in rows.iter().zip(&asked).zip(&found) {
            let least = |seen: &mut usize| *seen = (*seen).min(*cluster);
            by_asked.entry(*asked).and_modify(least).or_insert(*cluster);
            if let Some(pair) = &row.pair {
                by_pair.entry(pair).and_modify(least).or_insert(*cluster);
            }
        }
        let joined = rows.iter().zip(&asked).map(|(row, asked)| {
            let pair = row.pair.as_ref().map_or(usize::MAX, |pair| by_pair[pair]);
            pair.min(by_asked[asked])
        });
        let joined: Vec<usize> = joined.collect();
        if joined == found {
            break;
        }
        found = joined;
    }
    let distinct = found.iter().collect::<BTreeSet<_>>().len();
    // A pair is two sides of one thing; answers to one prompt, which rollouts have as their pair, are none.
    let side = |row: &TokenRow| row.label.and(row.pair.clone());
    let pairs: Option<BTreeSet<String>> = rows.iter().map(side).collect();
    let unit = match pairs {
        _ if distinct == rows.len() => "rows",
        Some(pairs) if pairs.len() == distinct => "pairs",
        _ => "scenarios",
    };
    (found, unit)
}

/// The side on which a shift lies outside both ranges of controls and its interval excludes zero.
pub(crate) fn side_beyond(shift: &Estimate, bands: &[NullBand; 2]) -> Option<f64> {
    let above = shift.low > 0.0 && bands.iter().all(|band| shift.value > band.high);
    let below = shift.high < 0.0 && bands.iter().all(|band| shift.value < band.low);
    match (above, below) {
        (true, _) => Some(1.0),
        (_, true) => Some(-1.0),
        _ => None,
    }
}

/// The first step from which on all have a side, the same one.
fn lasting(sides: &[(usize, Option<f64>)]) -> Option<usize> {
    let last = sides.last()?.1?;
    sides.iter().rev().take_while(|(_, side)| *side == Some(last)).last().map(|(step, _)| *step)
}

/// How far the controls of both families have moved at a step from each run's first checkpoint, each the mean over runs.
fn control_shifts(runs: &[Vec<Looked>], hook: HookPoint, step: usize) -> Result<[NullBand; 2]> {
    let moved = runs.iter().filter_map(|run| Some((&run[0], run.iter().find(|one| one.step == step)?)));
    control_bands(&moved.collect::<Vec<_>>(), hook)
}

/// How far the controls of both families are from the first of two checkpoints to the second, each the mean over seeds.
pub(crate) fn control_bands(pairs: &[(&Looked, &Looked)], hook: HookPoint) -> Result<[NullBand; 2]> {
    let band = |family: usize| {
        mean_shift_band(pairs.iter().map(|(from, to)| {
            (&from.by_hook[&hook].controls[family][..], &to.by_hook[&hook].controls[family][..])
        }))
    };
    Ok([band(0)?, band(1)?])
}

/// Of every pair of answers to one prompt: mean log-probability per token of those that show the behavior, less that of
/// the others. Nothing where a row has no pair, no label or no answer.
fn margins(student: &Student, rows: &[TokenRow]) -> Result<Vec<f64>> {
    let is_answer = |row: &TokenRow| row.pair.is_some() && row.label.is_some() && row.response.is_some();
    if !rows.iter().all(is_answer) {
        return Ok(vec![]);
    }
    let mut pairs: BTreeMap<&Option<String>, [Vec<f64>; 2]> = BTreeMap::new();
    for (row, log_prob) in rows.iter().zip(student.answer_log_probs(rows)?) {
        pairs.entry(&row.pair).or_default()[usize::from(row.label == Some(true))].push(log_prob);
    }
    let whole = pairs.into_values().filter(|[others, shows]| !others.is_empty() && !shows.is_empty());
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    Ok(whole.map(|[others, shows]| average(&shows) - average(&others)).collect())
}
