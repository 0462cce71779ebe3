//! What a track shows where labels say nothing: directions fit on labels that were exchanged.
//!
//! Two kinds of numbers need two kinds of exchange.
//!
//! A *shift* is the projection of other rows along a direction of length 1, which no number of pairs makes shorter. Labels flipped by chance leave
//! `m/√n` of the mean difference `m` beside noise that shrinks as fast, so that every draw would hold a part of the direction itself, and a strong
//! direction could never leave its own null. Here exactly half of the labels are exchanged and the mean difference cancels out ([`exchanged_labels`]),
//! as in [`crate::refits`]: what is left are directions that a fit on these rows finds when there is nothing to find. They know the axes along
//! which the rows vary, which isotropic directions do not. Where labels say nothing, the direction itself lies outside the middle 95 % of 64 of them in
//! 7–10 % of simulations, of 8 pairs in 10–11 %: exactly alike draws would in 7.9 % (`tests/probe/shuffled.rs`).
//!
//! An *AUROC of a refit* is a function of labels that are used twice, to fit and to score. Its null is that function under
//! [`shuffled_labels`]: a permutation test, exact where labels mean nothing, whatever rows and folds there are.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView1};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::Controls;
use super::band::sign;
use crate::control::{NullBand, shuffled_labels};
use crate::dataset::Dataset;
use crate::direction::{FitOptions, Method, Probe, fit, project, project_checked};
use crate::error::{Error, Result};
use crate::linalg::norm;
use crate::parallel::in_order;
use crate::random::{ChaCha8Rng, Rng as _, stream};
use crate::score::{Reference, auroc};

/// Fewest clusters that change or keep their labels: of four pairs two can be turned in six ways.
const FEWEST: usize = 4;
/// Parts of the clusters, each scored by a direction fit on the others.
const FOLDS: usize = 5;

/// Labels of which a random half is exchanged, so that what they say cancels out; none for rows that are left out.
///
/// Of clusters with both classes (contrast pairs) half swap their labels and half keep them. Of clusters with one class, each group has as many of
/// either class, and half of them exchange labels. What is over, one of an odd number of pairs or the more frequent class, is left out.
///
/// Nothing where fewer than four clusters are left.
///
/// **Determinism** draw `index` uses stream `index` of `rng`.
pub fn exchanged_labels(data: &Dataset, rng: &ChaCha8Rng, index: u64) -> Option<Vec<Option<bool>>> {
    let mut rng = stream(rng, index);
    let Kinds { mixed, alone } = Kinds::of(data, data.labels());
    let mut turned: Vec<Option<bool>> = vec![None; data.cluster_names().len()];
    let mut used = 0;
    let mut halve = |clusters: &[usize], half: usize| {
        let mut drawn = clusters.to_vec();
        drawn.shuffle(&mut rng);
        for (place, cluster) in drawn[..2 * half].iter().enumerate() {
            turned[*cluster] = Some(place < half);
        }
        used += 2 * half;
    };
    halve(&mixed, mixed.len() / 2);
    for classes in alone.values() {
        let half = classes.each_ref().map(Vec::len).into_iter().min().unwrap_or_default() / 2;
        for class in classes {
            halve(class, half);
        }
    }
    let label = |(cluster, label): (&usize, &bool)| turned[*cluster].map(|turned| *label != turned);
    (used >= FEWEST).then(|| data.clusters().iter().zip(data.labels()).map(label).collect())
}

/// Clusters by the classes that they hold under some labels.
struct Kinds {
    /// Both.
    mixed: Vec<usize>,
    /// One: of every group those without the behavior and those with it.
    alone: BTreeMap<usize, [Vec<usize>; 2]>,
}

impl Kinds {
    fn of(data: &Dataset, labels: &[bool]) -> Self {
        let mut holds: BTreeMap<usize, (usize, [bool; 2])> = BTreeMap::new();
        for ((cluster, group), label) in data.clusters().iter().zip(data.groups()).zip(labels) {
            holds.entry(*cluster).or_insert((*group, [false; 2])).1[usize::from(*label)] = true;
        }
        let mut kinds = Self { mixed: vec![], alone: BTreeMap::new() };
        for (cluster, (group, classes)) in holds {
            match classes {
                [true, true] => kinds.mixed.push(cluster),
                [_, positive] => kinds.alone.entry(group).or_default()[usize::from(positive)].push(cluster),
            }
        }
        kinds
    }
}

/// Directions of a reference whose labels were [exchanged](exchanged_labels), beside which a shift stands and a direction turns.
#[derive(Debug, Clone)]
pub struct ShuffledLabels {
    labels: Vec<Vec<Option<bool>>>,
    controls: Controls,
}

impl ShuffledLabels {
    /// Differences of means under so many exchanges, each in the units and with the sign that its own labels give it.
    ///
    /// Units of the true labels alone would be too large: in many dimensions a direction separates the rows that it was fit on whatever their labels
    /// are. Its spread is that within cells of true and exchanged label.
    ///
    /// Nothing where labels cannot be exchanged. A draw in which the rows cancel out is left out.
    ///
    /// **Errors** when a direction has no spread within its labels.
    ///
    /// **Cost** `draws` differences of means.
    pub fn new(reference: &Dataset, draws: usize, rng: &ChaCha8Rng) -> Result<Option<Self>> {
        let one = |index: usize| {
            let Some(labels) = exchanged_labels(reference, rng, index as u64) else { return Ok(None) };
            let Some((rows, probe)) = refit(reference, &labels)? else { return Ok(None) };
            let units = own_units(reference, &labels, &rows, &probe)?;
            Ok(Some((labels, probe.direction, units)))
        };
        let drawn = in_order((0..draws).into_par_iter().map(one))?;
        let drawn: Vec<_> = drawn.into_iter().flatten().collect();
        if drawn.is_empty() {
            return Ok(None);
        }
        let mut directions = Array2::zeros((drawn.len(), reference.d_model()));
        let (mut labels, mut units) = (vec![], vec![]);
        for (mut row, (exchanged, direction, own)) in directions.rows_mut().into_iter().zip(drawn) {
            row.assign(&direction);
            labels.push(exchanged);
            units.push(own);
        }
        Ok(Some(Self { labels, controls: Controls::with_units(directions, units) }))
    }

    /// The directions as controls of a shift.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Cosines between each direction and the one that the same exchange gives on another checkpoint's activations of the same rows: how much of
    /// any other direction of these rows the checkpoint has kept. A direction that cancels out there has nothing in common with any.
    pub fn cosines(&self, data: &Dataset) -> Result<Vec<f64>> {
        let one = |index: usize| {
            let again = refit(data, &self.labels[index])?;
            Ok(again.map_or(0.0, |(_, probe)| probe.direction.dot(&self.controls.direction(index))))
        };
        in_order((0..self.labels.len()).into_par_iter().map(one))
    }
}

/// Units and sign of a direction among the rows it was fit on. Their spread is that within cells of true and exchanged label: what the true labels
/// say would else stand in it, and the more of it the more they say.
fn own_units(
    reference: &Dataset,
    labels: &[Option<bool>],
    rows: &Dataset,
    probe: &Probe,
) -> Result<(Reference, f64)> {
    let exchanged = labels.iter().zip(reference.labels());
    let cells = exchanged.filter_map(|(label, truth)| Some(2 * usize::from((*label)?) + usize::from(*truth)));
    let known = project(rows.x(), probe.direction.view())?;
    Ok((Reference::within(&known, &cells.collect::<Vec<_>>())?, sign(&known, rows.labels())))
}

/// The difference of means of the rows that have a label, and these; nothing where it cancels out.
fn refit(data: &Dataset, labels: &[Option<bool>]) -> Result<Option<(Dataset, Probe)>> {
    let rows: Vec<usize> = (0..labels.len()).filter(|row| labels[*row].is_some()).collect();
    let labels = labels.iter().flatten().copied().collect();
    let rows = data.select("rows with exchanged labels", &rows)?.with_labels(labels)?;
    match fit(Method::DifferenceOfMeans, &rows, &FitOptions::default()) {
        Ok(probe) => Ok(Some((rows, probe))),
        Err(Error::NoDirection { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How well a difference of means tells rows apart that it was not fit on: AUROC over five parts of the clusters, each scored by a direction fit on the
/// others. Nothing where a class has too few clusters for it.
///
/// It has no interval: a bootstrap of the scores takes the directions as they are, and held the mean over samples in 80–93 % of simulations between
/// chance and 0.9. Beside it stands [`refit_band`], which fits anew.
///
/// **Determinism** parts are drawn from stream 0 of `rng`.
///
/// **Cost** two passes over the rows.
pub fn refit_auroc(data: &Dataset, rng: &ChaCha8Rng) -> Result<Option<f64>> {
    held_out(data, data.labels(), rng).map(|scores| auroc(&scores, data.labels())).transpose()
}

/// [`refit_auroc`] where labels are shuffled before directions are fit and rows are scored. Nothing where they cannot be shuffled.
///
/// **Cost** two passes over the rows for each draw.
pub fn refit_band(data: &Dataset, draws: usize, rng: &ChaCha8Rng) -> Result<Option<NullBand>> {
    let one = |index: usize| {
        let labels = match shuffled_labels(data, rng, 1 + index as u64) {
            Err(Error::NothingToShuffle { .. }) => return Ok(None),
            labels => labels?,
        };
        held_out(data, &labels, rng).map(|scores| auroc(&scores, &labels)).transpose()
    };
    let values: Vec<f64> = in_order((0..draws).into_par_iter().map(one))?.into_iter().flatten().collect();
    if values.is_empty() { Ok(None) } else { NullBand::new(values).map(Some) }
}

/// Every row's distance from the midpoint along a direction that was fit without its part of the clusters.
fn held_out(data: &Dataset, labels: &[bool], rng: &ChaCha8Rng) -> Option<Vec<f64>> {
    let folds = folds(data, labels, rng)?;
    let mut sums = vec![[Sum::new(data.d_model()), Sum::new(data.d_model())]; FOLDS];
    for ((row, label), fold) in data.x().rows().into_iter().zip(labels).zip(&folds) {
        sums[*fold][usize::from(*label)].add(row);
    }
    let mut scores = vec![0.0; data.n_rows()];
    for fold in 0..FOLDS {
        let rows: Vec<usize> = (0..folds.len()).filter(|row| folds[*row] == fold).collect();
        if rows.is_empty() {
            continue;
        }
        let others = sums.iter().enumerate().filter(|(other, _)| *other != fold);
        let [without, with] = others.fold([(); 2].map(|()| Sum::new(data.d_model())), |all, (_, own)| {
            let [a, b] = all;
            [a.joined(&own[0]), b.joined(&own[1])]
        });
        let (without, with) = (without.mean()?, with.mean()?);
        let direction = &with - &without;
        let (length, middle) = (norm(direction.view()), 0.5 * (&with + &without).dot(&direction));
        if length > 0.0 {
            let own = data.x().select(ndarray::Axis(0), &rows);
            for (row, projection) in rows.iter().zip(project_checked(own.view(), direction.view())) {
                scores[*row] = (projection - middle) / length;
            }
        }
    }
    Some(scores)
}

/// Part of each row, a cluster whole. Clusters of a kind are spread over all parts, so that every part leaves both classes to fit on.
fn folds(data: &Dataset, labels: &[bool], rng: &ChaCha8Rng) -> Option<Vec<usize>> {
    let mut rng = stream(rng, 0);
    let Kinds { mixed, alone } = Kinds::of(data, labels);
    let class = |class: usize| alone.values().flat_map(|classes| classes[class].clone()).collect::<Vec<_>>();
    let kinds = [mixed, class(0), class(1)];
    if kinds[1..].iter().any(|alone| kinds[0].len() + alone.len() < 2) {
        return None;
    }
    let mut fold_of = vec![0; data.cluster_names().len()];
    // Each class goes on where the clusters with both end, so that two clusters of it never lie in one part.
    let starts = [0, kinds[0].len(), kinds[0].len()];
    for (kind, start) in kinds.into_iter().zip(starts) {
        let mut drawn: Vec<(u64, usize)> = kind.into_iter().map(|cluster| (rng.r#gen(), cluster)).collect();
        drawn.sort_unstable();
        for (place, (_, cluster)) in drawn.into_iter().enumerate() {
            fold_of[cluster] = (start + place) % FOLDS;
        }
    }
    Some(data.clusters().iter().map(|cluster| fold_of[*cluster]).collect())
}

/// Rows of one class, added up.
#[derive(Debug, Clone)]
struct Sum {
    of: Array1<f64>,
    rows: usize,
}

impl Sum {
    fn new(d_model: usize) -> Self {
        Self { of: Array1::zeros(d_model), rows: 0 }
    }

    fn add(&mut self, row: ArrayView1<f32>) {
        self.of.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        self.rows += 1;
    }

    fn joined(mut self, other: &Self) -> Self {
        self.of += &other.of;
        self.rows += other.rows;
        self
    }

    fn mean(self) -> Option<Array1<f64>> {
        (self.rows > 0).then(|| self.of / self.rows as f64)
    }
}
