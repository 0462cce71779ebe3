//! A fixed direction across checkpoints: projections with intervals and null bands, when they leave the first checkpoint's,
//! and how far a direction that is fit anew has turned.

mod figures;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use heirloom_model::{CaptureOptions, CapturePlan, Student, TokenRow};
use heirloom_probe::clusters::joined;
use heirloom_probe::control::{NullBand, random_directions};
use heirloom_probe::random::ChaCha8Rng;
use heirloom_probe::rate::{Estimate, Observation, difference, mean};
use heirloom_probe::score::Reference;
use heirloom_probe::subspace::cosine;
use heirloom_probe::track::{
    Controls, Emergence, Shift, Shifted, ShuffledLabels, Track, beyond_controls, emergence, mean_shift_band,
    refit_auroc, refit_band,
};
use heirloom_probe::{Dataset, FitOptions, Method, Resampling, auroc_interval, fit};
use heirloom_record::{DataRow, Directions, HookPoint, Input, Metric, Readout};
use ndarray::{Array1, Array2};

use crate::activations::dataset;
use crate::arms::moved;
use crate::rows::{banded, count, estimated, quantiles};
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
    /// Random directions, and as many random differences and shuffles of the reference's labels, beside every checkpoint.
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
    /// Nothing where the reference's labels cannot be exchanged.
    shuffled: Option<ShuffledLabels>,
}

/// One checkpoint at one hook point.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    units: Arc<Units>,
    projections: Vec<f64>,
    /// Mean projections along the controls of each family; of shuffled labels none where they cannot be exchanged.
    controls: [Vec<f64>; 3],
    /// Of the direction on the reference rows.
    pub(crate) auroc: heirloom_probe::Interval,
    pub(crate) refit: Refit,
}

/// A direction fit on the checkpoint itself.
#[derive(Clone, Debug)]
pub(crate) struct Refit {
    pub(crate) direction: Array1<f64>,
    /// On rows that it was not fit on; none where there are too few.
    pub(crate) auroc: Option<f64>,
    pub(crate) auroc_of_shuffled: Option<NullBand>,
    /// With the direction that is tracked.
    pub(crate) cosine: f64,
    /// Between the directions of labels shuffled alike here and at the first checkpoint.
    cosine_of_shuffled: Option<NullBand>,
    /// Pairs or scenarios it was fit on.
    clusters: usize,
}

/// The families of controls, by the ends of their metrics.
pub(crate) const FAMILIES: [&str; 3] = ["random_direction", "random_difference", "shuffled_labels"];

/// Every number of a tracking, and what a stranger should read first.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Rows of the table.
    pub metrics: Vec<Metric>,
    /// A few lines for each hook point.
    pub summary: String,
    /// What `n` of projections counts, a plural.
    unit: &'static str,
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
        let looked = self.project(step, student, rows, first, &mut |_, _| ())?;
        Ok(Looked { margins: margins(student, rows.reference.rows())?, ..looked })
    }

    /// [`Self::look`] without log-probabilities of answers; `and_reference` is handed the reference rows at every hook point.
    pub(crate) fn project(
        &self,
        step: usize,
        student: &Student,
        rows: &TrackedRows,
        first: Option<&Looked>,
        and_reference: &mut dyn FnMut(HookPoint, &Dataset),
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
            and_reference(*hook, &known);
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
        let Units { reference, controls: [random, differences], shuffled } = &*units;
        let of_shuffled = shuffled.as_ref().map(|shuffled| shuffled.controls().means(seen.view()));
        Ok(Reading {
            projections: reference.units(&project(seen.view())?),
            controls: [
                random.means(seen.view())?,
                differences.means(seen.view())?,
                of_shuffled.transpose()?.unwrap_or_default(),
            ],
            auroc: auroc_interval(
                &on_reference,
                known.labels(),
                known.clusters(),
                self.resampling,
                &self.rng("auroc"),
            )?,
            refit: self.refit(known, vector, shuffled.as_ref())?,
            units,
        })
    }

    fn refit(
        &self,
        known: &Dataset,
        vector: &Array1<f64>,
        shuffled: Option<&ShuffledLabels>,
    ) -> Result<Refit> {
        let refit = fit(Method::DifferenceOfMeans, known, &FitOptions::default())?;
        let rng = self.rng("refits");
        let turned = shuffled.map(|shuffled| NullBand::new(shuffled.cosines(known)?)).transpose()?;
        Ok(Refit {
            auroc: refit_auroc(known, &rng)?,
            auroc_of_shuffled: refit_band(known, self.null_draws, &rng)?,
            cosine: cosine(refit.direction.view(), vector.view())?,
            direction: refit.direction,
            cosine_of_shuffled: turned,
            clusters: refit.report.clusters,
        })
    }

    /// Those that reference rows define, with the rows' own projections.
    fn units(&self, known: &Dataset, on_reference: &[f64]) -> Result<Units> {
        let random = random_directions(known.d_model(), self.null_draws, &self.rng("random directions"));
        let differences = Controls::differences(known, self.null_draws, &self.rng("random differences"))?;
        Ok(Units {
            reference: Reference::of(on_reference, known.labels())?,
            controls: [Controls::new(known, random)?, differences],
            shuffled: ShuffledLabels::new(known, self.null_draws, &self.rng("shuffled labels"))?,
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
        let unit = runs.iter().flatten().next().map_or("rows", |one| one.unit);
        let header = &self.directions.header;
        let mut tracked = Tracked { metrics: vec![], summary: String::new(), unit };
        let _ = writeln!(tracked.summary, "{}: {}", header.behavior, header.towards);
        let mut compared = 0;
        for hook in self.directions.by_hook.keys() {
            compared += self.track(*hook, runs, &mut tracked)?;
        }
        let _ = writeln!(
            tracked.summary,
            "\nOf {compared} shifts, over {} hook points, about {} exclude 0 by chance where nothing moves; what training moves \
             anyway, controls show: a shift is beyond them where it lies outside the middle 95 % of random directions and of differences.",
            self.directions.by_hook.len(),
            number(compared as f64 * (1.0 - self.resampling.level))
        );
        tracked.metrics.extend(self.answers(runs, &mut tracked.summary)?);
        tracked.summary.push_str(LEGEND);
        Ok(tracked)
    }

    /// One hook point's rows and lines; the number of its shifts.
    fn track(&self, hook: HookPoint, runs: &[Vec<Looked>], tracked: &mut Tracked) -> Result<usize> {
        let observed = observations(runs, |run, one| one.observed(run, hook).collect());
        let track = Track::new(observed.into_iter().collect())?;
        let found = emergence(&track, self.resampling, &self.rng("emergence"))?;
        let started = &track.checkpoints()[0].1;
        let _ = writeln!(
            tracked.summary,
            "\n{hook}\n  {:>8}{:>24}{:>9}{:>18}{:>18}{:>18}{:>10}{:>8}{:>8}",
            "step", "projection", "shift*", "random*", "differences*", "labels*", "AUROC", "refit", "cosine"
        );
        let mut shifts: Vec<Shifted> = vec![];
        for (step, observed) in track.checkpoints() {
            let projection = mean(observed, self.resampling, &self.rng("projection"))?;
            let shift = difference(observed, started, self.resampling, &self.rng("shift"))?;
            let bands = control_shifts(runs, hook, *step)?;
            // Fits are those of the first seed that has the step.
            let looked = runs.iter().flatten().find(|one| one.step == *step);
            let Some(reading) = looked.map(|one| &one.by_hook[&hook]) else { continue };
            let point = Point { projection, shift, bands, reading };
            tracked.metrics.extend(point.metrics(self.row(hook, *step), tracked.unit));
            let _ = writeln!(tracked.summary, "  {step:>8}{}", point.line());
            let [random, differences, _] = point.bands;
            shifts.push((*step, shift, random.into_iter().chain(differences).collect()));
        }
        let beyond = beyond_controls(&shifts);
        tracked.metrics.extend(self.emerged(hook, &found, beyond));
        let _ = writeln!(
            tracked.summary,
            "  outside the interval of zero: {}; beyond controls, too: {}",
            moved(&found),
            beyond.map_or("never".into(), |step| format!("from {step}"))
        );
        Ok(found.differences.len())
    }

    /// How much more likely every checkpoint finds the answers that show the behavior; nothing without pairs of answers.
    fn answers(&self, runs: &[Vec<Looked>], summary: &mut String) -> Result<Vec<Metric>> {
        let mut steps = observations(runs, |run, one| {
            let margins = one.margins.iter().enumerate();
            margins.map(|(cluster, value)| Observation { run, cluster, value: *value }).collect()
        });
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

/// What stands below a summary.
const LEGEND: &str = "
projection: mean over rows in standard deviations of the reference rows at the first checkpoint, with its 95 % interval
* how far it has moved from the first checkpoint; random, differences, labels: 2.5 % to 97.5 % of how far as many random directions, \
differences of activations and directions fit on exchanged labels have, each in units of its own and the mean over seeds
AUROC: the direction on the reference rows, in sample where it was fit on them; refit: directions fit on this checkpoint, on pairs that they \
were not fit on; cosine: with a direction fit on this checkpoint; all of the first seed
";

/// One hook point of one checkpoint, over seeds.
struct Point<'a> {
    projection: Estimate,
    /// From the first checkpoint.
    shift: Estimate,
    /// How far each family of controls has moved.
    bands: [Option<NullBand>; 3],
    reading: &'a Reading,
}

impl Point<'_> {
    fn metrics(&self, row: impl Fn(&str) -> Metric, unit: &str) -> Vec<Metric> {
        let over_seeds = |(metric, one): (&str, &Estimate)| Metric {
            n: count(one.clusters),
            ..estimated(row(metric), one, unit)
        };
        let mut rows: Vec<Metric> =
            [("projection", &self.projection), ("shift", &self.shift)].map(over_seeds).into();
        for (family, band) in FAMILIES.iter().zip(&self.bands) {
            rows.extend(band.iter().map(|band| banded(row(&format!("shift_{family}")), band)));
        }
        let auroc = &self.reading.auroc;
        rows.push(Metric {
            value: Some(auroc.value),
            low: Some(auroc.low),
            high: Some(auroc.high),
            n: count(auroc.n),
            interval: Some(auroc.describe("pairs")),
            ..row("auroc")
        });
        rows.extend(self.reading.refit.metrics(row));
        rows
    }

    /// The same in one line.
    fn line(&self) -> String {
        let Self { projection, shift, bands, reading: Reading { auroc, refit, .. } } = self;
        let mut out = format!(
            "{:>24}{:>9}",
            brackets(projection.value, projection.low, projection.high),
            number(shift.value)
        );
        for band in bands {
            let ends = |band: &NullBand| format!("[{}, {}]", number(band.low), number(band.high));
            let _ = write!(out, "{:>18}", band.as_ref().map_or("–".into(), ends));
        }
        let refitted = refit.auroc.map_or("–".into(), number);
        let _ = write!(out, "{:>10}{refitted:>8}{:>8}", number(auroc.value), number(refit.cosine));
        out
    }
}

/// What is seen at each step by every seed, of which there is one list of checkpoints each.
fn observations(
    runs: &[Vec<Looked>],
    of: impl Fn(usize, &Looked) -> Vec<Observation>,
) -> BTreeMap<usize, Vec<Observation>> {
    let mut steps: BTreeMap<usize, Vec<Observation>> = BTreeMap::new();
    for (run, seen) in runs.iter().enumerate() {
        for one in seen {
            steps.entry(one.step).or_default().extend(of(run, one));
        }
    }
    steps
}

/// Each row's cluster, and what clusters are in the plural. Rows of one pair are one cluster, and so are rows that ask the same, by
/// the tokens before the answer or by all where there is none; a cluster's number is the same in every run.
fn clusters(rows: &[TokenRow]) -> (Vec<usize>, &'static str) {
    let asked = |row: &TokenRow| {
        let asked = row.response.as_ref().map_or(row.ids.len(), |response| response.start);
        number_of(&format!("{:?}", &row.ids[..asked]))
    };
    let asked: Vec<usize> = rows.iter().map(asked).collect();
    let pairs: Vec<Option<&String>> = rows.iter().map(|row| row.pair.as_ref()).collect();
    let found = joined(&asked, &pairs);
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

impl Refit {
    /// What it is, beside what shuffled labels give.
    fn metrics(&self, row: impl Fn(&str) -> Metric) -> Vec<Metric> {
        let fitted = |metric: &str| Metric {
            method: Some("dom".into()),
            fit_on: Some("checkpoint".into()),
            ..row(metric)
        };
        let band = |metric: &str, band: &NullBand| {
            quantiles(fitted(metric), band, "2.5 % to 97.5 % of shuffled labels")
        };
        let auroc = self.auroc.map(|auroc| Metric {
            value: Some(auroc),
            n: count(self.clusters),
            ..fitted("auroc_refit")
        });
        let mut rows: Vec<Metric> = auroc.into_iter().collect();
        rows.extend(self.auroc_of_shuffled.iter().map(|one| band("auroc_refit_shuffled_labels", one)));
        let cosine = Metric { value: Some(self.cosine), n: count(self.clusters), ..row("cosine_to_refit") };
        rows.push(cosine);
        rows.extend(self.cosine_of_shuffled.iter().map(|one| band("cosine_to_refit_shuffled_labels", one)));
        rows
    }
}

/// How far the controls of each family have moved at a step from each run's first checkpoint, each the mean over runs.
fn control_shifts(runs: &[Vec<Looked>], hook: HookPoint, step: usize) -> Result<[Option<NullBand>; 3]> {
    let moved = runs.iter().filter_map(|run| Some((&run[0], run.iter().find(|one| one.step == step)?)));
    control_bands(&moved.collect::<Vec<_>>(), hook)
}

/// How far the controls of each family are from the first of two checkpoints to the second, each the mean over seeds; nothing of a
/// family that has none.
pub(crate) fn control_bands<'a>(
    pairs: &[(&'a Looked, &'a Looked)],
    hook: HookPoint,
) -> Result<[Option<NullBand>; 3]> {
    let band = |family: usize| {
        let of = |(from, to): &(&'a Looked, &'a Looked)| -> Shift<'a> {
            let [from, to] = [from, to].map(|one| one.by_hook[&hook].controls[family].as_slice());
            (from, to)
        };
        let moved: Vec<Shift<'_>> = pairs.iter().map(of).filter(|(from, _)| !from.is_empty()).collect();
        if moved.is_empty() { Ok(None) } else { mean_shift_band(moved).map(Some) }
    };
    Ok([band(0)?, band(1)?, band(2)?])
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
