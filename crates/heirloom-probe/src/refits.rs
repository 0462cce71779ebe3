//! One direction fit anew on many models: how alike the fits are, and what that has to stand beside.
//!
//! Every model is read on the same contrast pairs, and its direction is the mean of its pair differences `dᵢ`. The plain [`cosine`] of two such means is
//! pulled toward 0 by the noise of finitely many pairs, and toward 1 by the noise that both share because they read the same texts. [`Cosine::noise_free`]
//! leaves out every product of a pair with itself, and so both:
//!
//! `ρ = u(a, b) / √(u(a, a) u(b, b))`, `u(a, b) = Σ_{i≠j} aᵢ·bⱼ / (n (n − 1))`,
//!
//! each `u` an unbiased estimate of the product of the means in the population of pairs. It is undefined unless both `u(a, a)` and `u(b, b)` exceed 0 by
//! their own 95 % intervals: a direction that its pairs do not show has no cosine. All intervals are Student's t over jackknife pseudo-values.
//! In simulations of 8 and 32 pairs, true cosines of 0 to 0.99 and noise that is shared or not, that of ρ held the truth in 92–100 % where the squared mean
//! difference is three times its error or more. Where it is as large as its error, there is a ρ in 4–24 % of cases, by luck, and its interval held in 68–100 %
//! of these (`tests/probe/refits.rs`).
//!
//! What directions that mean nothing do is the cosine where a random half of the pairs is turned around, so that the mean difference cancels out: the
//! same half in both models ([`Cosine::alike`]: how much two models keep of any other direction of these texts) or another in each ([`Cosine::apart`]:
//! what two unrelated ones have in common, with either sign). The ceiling of a plain cosine is that of halves of one model's pairs.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::error::{Error, Result};
use crate::interval::{LEVEL, student_t};
use crate::linalg::norm;
use crate::random::{ChaCha8Rng, Rng as _, stream};
use crate::seeds::widened;
use crate::subspace::{cosine, principal_angles};

/// Random halves of the pairs, the same for all models.
#[derive(Debug, Clone)]
pub struct Shuffles {
    /// `[draws, pairs]`, 1 in one half of the pairs and −1 in the other; 0 at one of an odd number. Signs that do not cancel out would leave a part of
    /// the mean difference in every draw.
    signs: Array2<f64>,
    /// `[draws, pairs]`, 1 in one half of the pairs and 0 in the other, which has one more of an odd number.
    halves: Array2<f64>,
}

impl Shuffles {
    /// So many draws for so many pairs.
    ///
    /// **Errors** with fewer than four pairs, of which a half has no mean worth the name, or two draws.
    ///
    /// **Determinism** draw `i` uses stream `i` of `rng`.
    pub fn new(pairs: usize, draws: usize, rng: &ChaCha8Rng) -> Result<Self> {
        for (unit, expected, found) in [("pair", 4, pairs), ("draw", 2, draws)] {
            if found < expected {
                return Err(Error::TooFew { unit, expected, found });
            }
        }
        let (mut signs, mut halves) = (Array2::zeros((draws, pairs)), Array2::zeros((draws, pairs)));
        for draw in 0..draws {
            let mut rng = stream(rng, draw as u64);
            let mut order: Vec<(u64, usize)> = (0..pairs).map(|pair| (rng.r#gen(), pair)).collect();
            order.sort_unstable();
            let half = pairs / 2;
            for (_, pair) in &order[..half] {
                halves[[draw, *pair]] = 1.0;
                signs[[draw, *pair]] = 1.0;
            }
            for (_, pair) in &order[half..2 * half] {
                signs[[draw, *pair]] = -1.0;
            }
        }
        Ok(Self { signs, halves })
    }

    fn pairs(&self) -> usize {
        self.signs.ncols()
    }
}

/// A direction fit on one model, with what its cosines are judged by.
#[derive(Debug, Clone)]
pub struct Refit {
    /// The mean difference, of length 1.
    pub direction: Array1<f64>,
    /// Mean cosine of the directions of two random halves of the pairs.
    pub halves: f64,
    /// `[pairs, d_model]`.
    differences: Array2<f64>,
    sum: Array1<f64>,
    /// `u(a, a)`, with all pairs and without each.
    own: Unbiased,
    /// Whether `u(a, a)` exceeds 0 by its own interval.
    is_told: bool,
    /// `[draws, d_model]`, of length 1.
    shuffled: Array2<f64>,
}

/// `u(a, b)`, with all pairs and without each.
#[derive(Debug, Clone)]
struct Unbiased {
    all: f64,
    without: Vec<f64>,
}

impl Unbiased {
    fn new((a, sum_a): (ArrayView2<f64>, &Array1<f64>), (b, sum_b): (ArrayView2<f64>, &Array1<f64>)) -> Self {
        let same: Vec<f64> = a.rows().into_iter().zip(b.rows()).map(|(a, b)| a.dot(&b)).collect();
        let (product, trace, n) = (sum_a.dot(sum_b), same.iter().sum::<f64>(), same.len() as f64);
        let without = a.rows().into_iter().zip(b.rows()).zip(&same).map(|((a, b), same)| {
            (product - sum_a.dot(&b) - a.dot(sum_b) + 2.0 * same - trace) / ((n - 1.0) * (n - 2.0))
        });
        Self { all: (product - trace) / (n * (n - 1.0)), without: without.collect() }
    }

    /// Whether its jackknife interval lies above 0.
    fn is_above_zero(&self) -> Result<bool> {
        let n = self.without.len() as f64;
        let pseudo: Vec<f64> =
            self.without.iter().map(|without| n * self.all - (n - 1.0) * without).collect();
        // A value that is not finite is no direction, and was an error above.
        Ok(student_t(&pseudo, LEVEL)?.low > 0.0)
    }
}

impl Refit {
    /// The direction of a model's pair differences.
    ///
    /// **Shapes** `differences` is `[pairs, d_model]`, pairs in the same order for every model.
    ///
    /// **Errors** with another number of pairs than `shuffles` was drawn for, or where the mean difference is zero.
    pub fn new(differences: Array2<f64>, shuffles: &Shuffles) -> Result<Self> {
        same_pairs(shuffles.pairs(), differences.nrows())?;
        let sum = differences.sum_axis(Axis(0));
        let direction = unit(sum.view(), differences.nrows())?;
        let [first, second] = half_directions(&differences, &sum, shuffles);
        let halves = first.rows().into_iter().zip(second.rows()).map(|(a, b)| a.dot(&b)).sum::<f64>()
            / first.nrows() as f64;
        let own = Unbiased::new((differences.view(), &sum), (differences.view(), &sum));
        let is_told = own.is_above_zero()?;
        let shuffled = units(shuffles.signs.dot(&differences));
        Ok(Self { direction, halves, differences, sum, own, is_told, shuffled })
    }

    /// The same without the directions of turned pairs, which are most of it: enough for [`angles`] and [`angles_of_halves`], and its cosines have
    /// nothing beside them.
    #[must_use]
    pub fn without_draws(self) -> Self {
        Self { shuffled: Array2::zeros((0, self.shuffled.ncols())), ..self }
    }

    /// How alike the directions of two models are.
    ///
    /// **Errors** when widths, numbers of pairs or of draws differ.
    pub fn cosine(&self, other: &Self) -> Result<Cosine> {
        let value = cosine(self.direction.view(), other.direction.view())?;
        same_pairs(self.differences.nrows(), other.differences.nrows())?;
        let (draws, found) = (self.shuffled.nrows(), other.shuffled.nrows());
        if draws != found {
            return Err(Error::Draws { expected: draws, found });
        }
        let between =
            Unbiased::new((self.differences.view(), &self.sum), (other.differences.view(), &other.sum));
        let ratio =
            |above: f64, a: f64, b: f64| if a > 0.0 && b > 0.0 { above / (a * b).sqrt() } else { f64::NAN };
        let n = between.without.len() as f64;
        let all = ratio(between.all, self.own.all, other.own.all);
        let without = between.without.iter().zip(&self.own.without).zip(&other.own.without);
        let pseudo = without.map(|((above, a), b)| n * all - (n - 1.0) * ratio(*above, *a, *b));
        let pseudo = Some(pseudo.collect::<Vec<f64>>())
            .filter(|all| self.is_told && other.is_told && all.iter().all(|value| value.is_finite()));
        let alike = |shift: usize| -> Vec<f64> {
            let of = |draw: usize| self.shuffled.row(draw).dot(&other.shuffled.row((draw + shift) % draws));
            (0..draws).map(of).collect()
        };
        Ok(Cosine { value, pseudo, all, pairs: self.differences.nrows(), alike: alike(0), apart: alike(1) })
    }
}

/// How alike two fits are, beside what means nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Cosine {
    /// Of the two directions as they were fit.
    pub value: f64,
    /// Jackknife pseudo-values of the noise-free cosine, by pair; none where the pairs of a model show no direction.
    pseudo: Option<Vec<f64>>,
    all: f64,
    pairs: usize,
    /// Between directions of pairs of which a random half is turned around, the same half in both models; by draw.
    pub alike: Vec<f64>,
    /// The same, another half in each model.
    pub apart: Vec<f64>,
}

/// A cosine of means in the population of pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseFree {
    /// The estimate, cut to what a cosine can be.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Cosine {
    /// Pairs behind it.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// The cosine that infinitely many pairs would show, with its interval over pairs; none where the pairs of a model show no direction: their
    /// `u(a, a)` does not exceed 0 by its own 95 % interval.
    ///
    /// **Source** jackknife: Tukey 1958, Ann. Math. Stat. 29:614; leaving out products of a pair with itself, as the cross-validated distances of
    /// Walther et al. 2016, NeuroImage 137:188.
    pub fn noise_free(&self, level: f64) -> Result<Option<NoiseFree>> {
        mean_noise_free(&[self], level)
    }
}

/// The mean of noise-free cosines of several seeds on the same pairs, with its interval over pairs: what the seeds share through the pairs is in it,
/// how seeds differ is not.
///
/// **Errors** when numbers of pairs differ.
pub fn mean_noise_free(cosines: &[&Cosine], level: f64) -> Result<Option<NoiseFree>> {
    let Some(pseudo) = cosines.iter().map(|one| one.pseudo.as_ref()).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let Some(first) = pseudo.first() else { return Ok(None) };
    cosines.iter().try_for_each(|one| same_pairs(first.len(), one.pairs))?;
    let seeds = pseudo.len() as f64;
    let means: Vec<f64> =
        (0..first.len()).map(|pair| pseudo.iter().map(|seed| seed[pair]).sum::<f64>() / seeds).collect();
    let t = student_t(&means, level)?;
    let value = cosines.iter().map(|one| one.all).sum::<f64>() / seeds;
    let cut = |value: f64| value.clamp(-1.0, 1.0);
    // The jackknife centers its interval without the bias of the estimate.
    Ok(Some(NoiseFree { value: cut(value), low: cut(t.low.min(value)), high: cut(t.high.max(value)) }))
}

/// [`mean_noise_free`] with what seeds differ by: Student's t over seeds at a right angle to the jackknife over pairs, which are the same in every
/// seed. A single cosine says nothing of seeds, and neither do `of_pairs`, cosines of every two seeds of one side, which are not independent.
///
/// **Errors** when numbers of pairs differ.
pub fn noise_free_over_seeds(cosines: &[&Cosine], of_pairs: bool, level: f64) -> Result<Option<NoiseFree>> {
    let Some(mean) = mean_noise_free(cosines, level)? else { return Ok(None) };
    let own = cosines.iter().filter_map(|one| one.noise_free(level).transpose());
    let own: Vec<f64> = own.map(|one| Ok(one?.value)).collect::<Result<_>>()?;
    let half = if of_pairs || own.len() < 2 {
        0.0
    } else {
        let t = student_t(&own, level)?;
        t.high - t.value
    };
    let (low, high) = widened(mean.value, (mean.low, mean.high), half);
    Ok(Some(NoiseFree { value: mean.value, low: low.max(-1.0), high: high.min(1.0) }))
}

/// Principal angles between what the directions of several behaviors span in two models, largest first, in radians.
///
/// **Errors** without a direction, and as [`principal_angles`].
pub fn angles(first: &[&Refit], second: &[&Refit]) -> Result<Vec<f64>> {
    let stacked = |refits: &[&Refit]| stack(refits.iter().map(|refit| refit.direction.view()));
    principal_angles(stacked(first)?.view(), stacked(second)?.view())
}

/// The same between two halves of one model's pairs, each the mean over draws: what a space that did not turn shows on half of the data.
///
/// **Errors** with another number of pairs than `shuffles` was drawn for, and as [`angles`].
pub fn angles_of_halves(refits: &[&Refit], shuffles: &Shuffles) -> Result<Vec<f64>> {
    let mut halves = vec![];
    for refit in refits {
        same_pairs(shuffles.pairs(), refit.differences.nrows())?;
        halves.push(half_directions(&refit.differences, &refit.sum, shuffles));
    }
    let (mut sums, draws) = (vec![0.0; refits.len()], shuffles.signs.nrows());
    for draw in 0..draws {
        let half = |side: usize| stack(halves.iter().map(|sides| sides[side].row(draw)));
        let found = principal_angles(half(0)?.view(), half(1)?.view())?;
        sums.iter_mut().zip(found).for_each(|(sum, angle)| *sum += angle / draws as f64);
    }
    Ok(sums)
}

/// Of every draw the directions of its two halves.
fn half_directions(differences: &Array2<f64>, sum: &Array1<f64>, shuffles: &Shuffles) -> [Array2<f64>; 2] {
    let first = shuffles.halves.dot(differences);
    let second = sum - &first;
    [units(first), units(second)]
}

fn same_pairs(expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Pairs { expected, found }) }
}

fn stack<'a>(rows: impl Iterator<Item = ArrayView1<'a, f64>>) -> Result<Array2<f64>> {
    let rows: Vec<ArrayView1<f64>> = rows.collect();
    let Some(expected) = rows.first().map(ArrayView1::len) else {
        return Err(Error::TooFew { unit: "direction", expected: 1, found: 0 });
    };
    if let Some(other) = rows.iter().find(|row| row.len() != expected) {
        return Err(Error::Width { expected, found: other.len() });
    }
    let mut stacked = Array2::zeros((rows.len(), expected));
    stacked.rows_mut().into_iter().zip(rows).for_each(|(mut to, from)| to.assign(&from));
    Ok(stacked)
}

fn unit(sum: ArrayView1<f64>, rows: usize) -> Result<Array1<f64>> {
    let length = norm(sum);
    if length.is_finite() && length > 0.0 {
        Ok(sum.mapv(|value| value / length))
    } else {
        Err(Error::NoDirection { method: "difference of means", norm: length, rows })
    }
}

/// Rows of length 1; those that cancel out stay 0, and have nothing in common with any.
fn units(mut sums: Array2<f64>) -> Array2<f64> {
    for mut row in sums.rows_mut() {
        let length = norm(row.view());
        if length > 0.0 {
            row.mapv_inplace(|value| value / length);
        }
    }
    sums
}
