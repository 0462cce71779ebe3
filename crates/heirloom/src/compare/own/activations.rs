//! What the activations of one's own students say: projections of fixed rows, directions fit anew, unrelated text.

use std::collections::BTreeMap;
use std::path::Path;

use heirloom_figure::{Arm, Drawing, FigureSpec, Quantity, Role};
use heirloom_model::{
    CapturePlan, CheckpointAt, PeftAdapter, Series, Source, Student, Walk, checkpoints, series, step_in,
};
use heirloom_probe::control::NullBand;
use heirloom_probe::random::ChaCha8Rng;
use heirloom_probe::rate::{self, Observation};
use heirloom_probe::subspace::cosine;
use heirloom_probe::track::side_beyond;
use heirloom_probe::{Dataset, FitOptions, Interval, Method, fit};
use heirloom_record::{HookPoint, Metric, Readout};
use ndarray::Array1;

use super::super::Pairing;
use super::super::shift::{self, Read};
use super::super::turned::{Turned, by_seed};
use super::{Along, Found, Looks, Students};
use crate::activations::{check_model, hook_of};
use crate::arms::averaged;
use crate::rows::{banded, count, estimated, measured, quantiles};
use crate::series::SeriesRows;
use crate::spec::setting;
use crate::streams::stream;
use crate::tracking::{FAMILIES, Looked, Refit, TrackedRows, Tracking, control_bands};
use crate::{Error, Progress, Result};

/// The model that both arms were trained from, as rows name it.
pub(super) const BASE: &str = "base";

/// What is looked at, in which checkpoints: the base, then both arms of every seed.
pub(super) struct Looking {
    looks: Looks,
    series: Vec<CheckpointAt>,
    hooks: Vec<HookPoint>,
    /// The hook point that is shown.
    pub(super) headline: HookPoint,
    /// The base's own name.
    pub(super) base: String,
}

/// One checkpoint, looked into.
#[derive(Default)]
struct Look {
    looked: Option<Looked>,
    /// Directions fit on two halves of the reference's pairs; none where rows are not pairs.
    halves: BTreeMap<HookPoint, Option<[Array1<f64>; 2]>>,
    read: Read,
}

/// Checks that every checkpoint is a model or an adapter; nothing is looked at in them.
pub(super) fn check(arms: &[Students; 2]) -> Result<()> {
    for path in arms.iter().flat_map(|arm| &arm.checkpoints).filter(|path| !PeftAdapter::is_in(path)) {
        open(path)?;
    }
    Ok(())
}

/// Opens a student that is a whole model; the folder of a training, with checkpoints in it, is told apart.
fn open(path: &Path) -> Result<Source> {
    Source::open(path).map_err(|error| {
        let found = series(&Series::Folder(path.to_owned()), true).unwrap_or_default();
        match found.last() {
            Some((_, last)) => {
                setting("--students", format!("a checkpoint, as `{}`", last.display()), &path.display())
            }
            None => in_checkpoint(path)(error.into()),
        }
    })
}

impl Looking {
    /// Checks what is looked at against the models, of which configurations and hashes are read alone.
    ///
    /// # Errors
    /// The direction was fit on another model than the base; a model lacks a hook point, or has another width there.
    pub(super) fn new(looks: Looks, arms: &[Students; 2]) -> Result<Self> {
        let base = Source::open(&looks.base)?;
        let (hooks, headline) = match (&looks.along, looks.hook) {
            (Some(along), hook) => {
                check_model(&along.directions.header, &base.name(), &base.sha256()?)?;
                let headline = hook_of(&along.path, &along.directions, hook)?;
                (along.directions.by_hook.keys().copied().collect(), headline)
            }
            (None, Some(hook)) => (vec![hook], hook),
            (None, None) => {
                let expected = "where text is read, as in `blocks.11.hook_resid_post`";
                return Err(setting("--hook", expected, &"nothing"));
            }
        };
        fits(&looks, &hooks, &base)?;
        let mut all = vec![CheckpointAt { step: 0, model: looks.base.clone(), adapter: None }];
        for seed in 0..arms[0].checkpoints.len() {
            for path in arms.iter().map(|arm| &arm.checkpoints[seed]) {
                let found = checkpoints(vec![(step_of(path), path.clone())], Some(&looks.base))?;
                for at in found.iter().filter(|at| at.adapter.is_none()) {
                    fits(&looks, &hooks, &open(&at.model)?).map_err(in_checkpoint(path))?;
                }
                all.extend(found);
            }
        }
        let base = base.name();
        Ok(Self { looks, series: all, hooks, headline, base })
    }

    pub(super) fn along(&self) -> Option<&Along> {
        self.looks.along.as_ref()
    }

    /// Looks into every checkpoint and adds what is found.
    pub(super) fn compare(
        &self,
        pairing: &Pairing,
        progress: &mut dyn Progress,
        found: &mut Found,
    ) -> Result<()> {
        let mut looks = self.look(pairing, progress)?.into_iter();
        let base = looks.next().unwrap_or_default();
        let mut pairs: Vec<[Look; 2]> = vec![];
        while let (Some(one), Some(other)) = (looks.next(), looks.next()) {
            pairs.push([one, other]);
        }
        if let Some(along) = &self.looks.along {
            let behavior = &along.directions.header.behavior;
            if !found.behaviors.contains(behavior) {
                found.behaviors.push(behavior.clone());
            }
            for &hook in &self.hooks {
                let at = Place { pairing, along, base: &base, pairs: &pairs, hook };
                let beyond = at.projections(&mut found.metrics)?;
                if hook == self.headline {
                    found.beyond = Some(beyond);
                }
                found.metrics.extend(at.aurocs()?);
                found.metrics.extend(at.cosines()?);
            }
            let has_halves = pairs.iter().flatten().all(|look| look.halves.values().all(Option::is_some));
            if !has_halves {
                found
                    .notes
                    .push("halves are left out: the reference rows are not pairs of both labels".into());
            }
            found.drawings.extend(base.looked.as_ref().map(|looked| self.drawing(pairing, along, looked)));
        }
        if !self.looks.unrelated.is_empty() {
            let reads: Vec<[Read; 2]> = pairs.into_iter().map(|pair| pair.map(|look| look.read)).collect();
            found.metrics.extend(shift::differences(pairing, &reads)?);
            found.metrics.extend(shift::from_base(pairing, &base.read, &reads)?);
        }
        Ok(())
    }

    /// Every checkpoint of the series; what reference rows define is the base's.
    fn look(&self, pairing: &Pairing, progress: &mut dyn Progress) -> Result<Vec<Look>> {
        let mut walk = Walk::new(self.series.clone(), self.looks.load, self.looks.allow_empty_adapter)?;
        progress.begin("compare", &pairing.labels.join(" and "), self.series.len() as u64, "checkpoints");
        let (mut looks, mut rows): (Vec<Look>, Option<Rows>) = (vec![], None);
        for place in &self.series {
            let look = match walk.advance() {
                Ok(Some((at, student))) => self.checkpoint(&at, student, pairing, &looks, &mut rows),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            looks.push(look.map_err(in_checkpoint(place.path()))?);
            progress.advance(looks.len() as u64);
        }
        progress.end();
        Ok(looks)
    }

    fn checkpoint(
        &self,
        at: &CheckpointAt,
        student: &Student,
        pairing: &Pairing,
        looks: &[Look],
        rows: &mut Option<Rows>,
    ) -> Result<Look> {
        let rows = match rows {
            Some(rows) => rows,
            none => none.insert(Rows::new(student, &self.looks)?),
        };
        let mut look = Look::default();
        if let (Some(along), Some(rows)) = (&self.looks.along, &rows.tracked) {
            let tracking = Tracking {
                directions: &along.directions,
                max_tokens: self.looks.max_tokens,
                null_draws: self.looks.null_draws,
                resampling: pairing.resampling,
                seed: pairing.seed,
            };
            let first = looks.first().and_then(|base| base.looked.as_ref());
            let fits = &mut look.halves;
            let mut and_reference = |hook, known: &Dataset| _ = fits.insert(hook, halves(known));
            look.looked = Some(tracking.project(at.step, student, rows, first, &mut and_reference)?);
        }
        if let Some(rows) = &rows.unrelated {
            rows.check(at.step, student)?;
            let hooks: Vec<String> = self.hooks.iter().map(ToString::to_string).collect();
            look.read = shift::read(student, rows.rows(), &hooks, self.looks.max_tokens)?;
        }
        Ok(look)
    }

    /// Projections of both arms below each other, with the base as a level.
    fn drawing(&self, pairing: &Pairing, along: &Along, base: &Looked) -> Drawing {
        let header = &along.directions.header;
        let mut bars = pairing.bars(std::slice::from_ref(&header.behavior));
        bars.references = vec![Arm::new(BASE, Role::Base)];
        bars.quantity = Quantity {
            method: Some(header.method.clone()),
            fit_on: Some(header.model.clone()),
            hooks: [(header.behavior.clone(), self.headline)].into(),
            unit: base.unit.into(),
            ..Quantity::projection()
        };
        let drawing = Drawing::new("projections", FigureSpec::ArmBars(bars))
            .noting(["Every student reads the same rows".into()]);
        Drawing {
            caption: Some(format!("Projections of students under two arms: {}", header.behavior)),
            ..drawing
        }
    }
}

/// Names the checkpoint that an error is of.
fn in_checkpoint(path: &Path) -> impl FnOnce(Error) -> Error {
    move |source| Error::Checkpoint { path: path.to_owned(), source: Box::new(source) }
}

/// The step that a checkpoint's name says, or 0.
fn step_of(path: &Path) -> usize {
    path.file_name().and_then(|name| step_in(name.to_str()?)).unwrap_or(0)
}

/// A model has the hook points, as wide as the direction is.
fn fits(looks: &Looks, hooks: &[HookPoint], source: &Source) -> Result<()> {
    let names: Vec<String> = hooks.iter().map(ToString::to_string).collect();
    CapturePlan::new(source.config(), &names, Readout::All)?;
    for (hook, direction) in looks.along.iter().flat_map(|along| &along.directions.by_hook) {
        let (expected, found) = (direction.vector.len(), source.config().width(*hook).unwrap_or(0));
        if expected != found {
            let [expected, found] = [expected, found].map(|width| width.to_string());
            return Err(Error::Foreign { field: "width", expected, found });
        }
    }
    Ok(())
}

/// Rows that every checkpoint reads, tokenized as the base does.
struct Rows {
    tracked: Option<TrackedRows>,
    unrelated: Option<SeriesRows>,
}

impl Rows {
    fn new(base: &Student, looks: &Looks) -> Result<Self> {
        let tracked = looks.along.as_ref().map(|along| TrackedRows::new(base, &along.rows, &along.reference));
        let unrelated = Some(&looks.unrelated).filter(|rows| !rows.is_empty());
        let unrelated = unrelated.map(|rows| SeriesRows::new(base, rows));
        Ok(Self { tracked: tracked.transpose()?, unrelated: unrelated.transpose()? })
    }
}

/// Differences of means on two halves of the pairs; nothing where rows are not pairs.
fn halves(known: &Dataset) -> Option<[Array1<f64>; 2]> {
    let half = |odd: usize| -> Option<Array1<f64>> {
        let rows = (0..known.n_rows()).filter(|row| known.clusters()[*row] % 2 == odd);
        let half = known.select("half of the pairs", &rows.collect::<Vec<_>>()).ok()?;
        Some(fit(Method::DifferenceOfMeans, &half, &FitOptions::default()).ok()?.direction)
    };
    if are_pairs(known) { Some([half(0)?, half(1)?]) } else { None }
}

/// Whether every cluster has rows of both labels.
fn are_pairs(known: &Dataset) -> bool {
    let mut labels: BTreeMap<usize, [bool; 2]> = BTreeMap::new();
    for (cluster, label) in known.clusters().iter().zip(known.labels()) {
        labels.entry(*cluster).or_default()[usize::from(*label)] = true;
    }
    labels.values().all(|seen| *seen == [true, true])
}

/// Both arms and the base at one hook point of a direction.
struct Place<'a> {
    pairing: &'a Pairing,
    along: &'a Along,
    base: &'a Look,
    pairs: &'a [[Look; 2]],
    hook: HookPoint,
}

impl<'a> Place<'a> {
    fn row(&self, metric: &str, arm: &str) -> Metric {
        let header = &self.along.directions.header;
        Metric {
            behavior: header.behavior.clone(),
            arm: Some(arm.to_owned()),
            hook: Some(self.hook),
            method: Some(header.method.clone()),
            fit_on: Some(header.model.clone()),
            scored_on: Some("fixed rows".into()),
            metric: metric.into(),
            ..Metric::default()
        }
    }

    /// A row of directions that are fit on each checkpoint.
    fn refit(&self, metric: &str, arm: &str) -> Metric {
        Metric {
            method: Some(Method::DifferenceOfMeans.name().into()),
            fit_on: Some("checkpoint".into()),
            scored_on: None,
            ..self.row(metric, arm)
        }
    }

    fn rng(&self, arm: &str, what: &str) -> ChaCha8Rng {
        stream(self.pairing.seed, &self.about(arm, what))
    }

    fn about(&self, arm: &str, what: &str) -> String {
        format!("compare {arm} {what} {}", self.hook)
    }

    /// Projections of the base and both arms, how far each arm is from the base and from the other, and how far controls
    /// are. Whether the difference of the arms lies beyond both families of controls.
    fn projections(&self, rows: &mut Vec<Metric>) -> Result<bool> {
        let (Some(base), Some(pairs)) = (&self.base.looked, self.looked()) else { return Ok(false) };
        let Pairing { labels, resampling, .. } = self.pairing;
        let (unit, n) = (base.unit, count(base.n_clusters()));
        // The rows are the same in every seed: they count once.
        let counted = |row: Metric| Metric { n, ..row };
        let alone: Vec<Observation> = base.observed(0, self.hook).collect();
        let start = rate::mean(&alone, *resampling, &self.rng(BASE, "projection"))?;
        rows.push(counted(estimated(self.row("projection", BASE), &start, unit)));
        let starts: Vec<Observation> =
            (0..pairs.len()).flat_map(|run| base.observed(run, self.hook)).collect();
        let cells = [0, 1].map(|side| -> Vec<Observation> {
            pairs.iter().enumerate().flat_map(|(run, pair)| pair[side].observed(run, self.hook)).collect()
        });
        for (side, label) in labels.iter().enumerate() {
            let about = self.about(label, "projection");
            let of_arm = self.pairing.of_arm(&self.row("projection", label), &cells[side], &about, unit)?;
            rows.extend(of_arm.into_iter().map(counted));
            let shift = rate::difference(&cells[side], &starts, *resampling, &self.rng(label, "shift"))?;
            rows.push(counted(estimated(self.row("shift", label), &shift, unit)));
            let moved: Vec<_> = pairs.iter().map(|pair| (base, pair[side])).collect();
            rows.extend(self.bands("shift", label, &control_bands(&moved, self.hook)?));
        }
        let cells = cells.each_ref().map(Vec::as_slice);
        let about = self.about("difference", "projection");
        let (row, difference) =
            self.pairing.difference(self.row("projection", &labels[0]), cells, &about, unit)?;
        rows.push(counted(row));
        let apart: Vec<_> = pairs.iter().map(|[one, other]| (*other, *one)).collect();
        let bands = control_bands(&apart, self.hook)?;
        rows.extend(self.bands("projection_difference", &labels[0], &bands));
        let random: Vec<NullBand> = bands[..2].iter().flatten().cloned().collect();
        Ok(side_beyond(&difference, &random).is_some())
    }

    fn bands(&self, metric: &str, arm: &str, bands: &[Option<NullBand>; 3]) -> Vec<Metric> {
        let row = |(family, band): (&str, &NullBand)| {
            let row = self.row(&format!("{metric}_{family}"), arm);
            let one = self.pairing.seeds.len() == 1;
            if one { quantiles(row, band, "2.5 % to 97.5 % of controls") } else { banded(row, band) }
        };
        FAMILIES
            .into_iter()
            .zip(bands)
            .filter_map(|(family, band)| Some(row((family, band.as_ref()?))))
            .collect()
    }

    /// AUROC of the given direction on the reference rows, and of directions fit on other pairs of them beside shuffled labels; of the
    /// base too.
    fn aurocs(&self) -> Result<Vec<Metric>> {
        let (Some(base), Some(pairs)) = (&self.base.looked, self.looked()) else { return Ok(vec![]) };
        let given = |arm: &str| Metric { scored_on: Some("reference rows".into()), ..self.row("auroc", arm) };
        let of_base = &base.by_hook[&self.hook];
        let mut rows = vec![measured(given(BASE), &of_base.auroc)];
        rows.extend(self.anew(BASE, &[&of_base.refit])?);
        for (side, label) in self.pairing.labels.iter().enumerate() {
            let of_given = pairs.iter().map(|pair| &pair[side].by_hook[&self.hook].auroc);
            rows.extend(self.over_seeds(&given(label), of_given)?);
            let refits: Vec<&Refit> =
                pairs.iter().map(|pair| &pair[side].by_hook[&self.hook].refit).collect();
            rows.extend(self.anew(label, &refits)?);
        }
        Ok(rows)
    }

    /// AUROCs of directions fit anew, of each seed and over seeds, and their mean under shuffled labels; nothing where a class has too few
    /// pairs.
    fn anew(&self, arm: &str, refits: &[&Refit]) -> Result<Vec<Metric>> {
        let row = |metric| Metric { scored_on: Some("reference rows".into()), ..self.refit(metric, arm) };
        let Some(found) = refits.iter().map(|refit| refit.auroc).collect::<Option<Vec<f64>>>() else {
            return Ok(vec![]);
        };
        let mut rows = match found.as_slice() {
            [one] if arm == BASE => vec![Metric { value: Some(*one), ..row("auroc_refit") }],
            _ => by_seed(self.pairing, &row("auroc_refit"), &found)?,
        };
        let bands =
            refits.iter().filter_map(|refit| Some(refit.auroc_of_shuffled.as_ref()?.values.as_slice()));
        let bands: Vec<&[f64]> = bands.collect();
        if bands.len() == refits.len() {
            let band = NullBand::of_means(&bands)?;
            let row = row("auroc_refit_shuffled_labels");
            rows.push(quantiles(row, &band, "2.5 % to 97.5 % of shuffled labels"));
        }
        Ok(rows)
    }

    /// AUROCs of each seed, and over seeds.
    fn over_seeds<'b>(&self, row: &Metric, found: impl Iterator<Item = &'b Interval>) -> Result<Vec<Metric>> {
        let of_seed = |(seed, auroc): (&u64, &Interval)| {
            measured(Metric { seed: i64::try_from(*seed).ok(), ..row.clone() }, auroc)
        };
        let mut rows: Vec<Metric> = self.pairing.seeds.iter().zip(found).map(of_seed).collect();
        rows.extend(averaged(&rows)?);
        Ok(rows)
    }

    /// Cosines of directions fit anew: with the given one, and between both arms.
    fn cosines(&self) -> Result<Vec<Metric>> {
        let Some(pairs) = self.looked() else { return Ok(vec![]) };
        let [first, second] = self.pairing.labels.each_ref();
        let to_given = |arm: &str| Metric { scored_on: None, ..self.row("cosine_to_refit", arm) };
        let of_base = self.base.looked.iter().map(|base| base.by_hook[&self.hook].refit.cosine);
        let mut rows: Vec<Metric> =
            of_base.map(|cosine| Metric { value: Some(cosine), ..to_given(BASE) }).collect();
        for (side, label) in self.pairing.labels.iter().enumerate() {
            let cosines: Vec<f64> =
                pairs.iter().map(|pair| pair[side].by_hook[&self.hook].refit.cosine).collect();
            rows.extend(by_seed(self.pairing, &to_given(label), &cosines)?);
        }
        let row = Metric {
            arm: None,
            fit_on: Some(format!("arm:{first}")),
            scored_on: Some(format!("arm:{second}")),
            ..self.refit("", "")
        };
        let mut turned = Turned { row, ..Turned::default() };
        for (pair, looks) in pairs.iter().zip(self.pairs) {
            let [one, other] = pair.map(|looked| looked.by_hook[&self.hook].refit.direction.view());
            turned.arms.push(cosine(one, other)?);
            if let [Some(one), Some(other)] = looks.each_ref().map(|look| look.halves[&self.hook].as_ref()) {
                let [a, b] = [one, other].map(|halves| cosine(halves[0].view(), halves[1].view()));
                turned.halves.push(f64::midpoint(a?, b?));
            }
        }
        rows.extend(turned.rows(self.pairing)?);
        Ok(rows)
    }

    /// Both arms of every seed along the direction.
    fn looked(&self) -> Option<Vec<[&'a Looked; 2]>> {
        let of = |look: &'a Look| look.looked.as_ref();
        self.pairs.iter().map(|[one, other]| Some([of(one)?, of(other)?])).collect()
    }
}
