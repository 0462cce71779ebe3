//! How much noise a probe survives.

use rayon::prelude::*;
use statrs::function::erf::erfc;

use crate::dataset::Dataset;
use crate::direction::Probe;
use crate::error::{Error, Result};
use crate::score::auroc;

/// The noise at which a probe stops working.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fragility {
    /// Smallest σ, in units of the mean activation norm, at which the expected AUROC falls below `limit`; zero when it starts below.
    pub sigma: f64,
    /// AUROC without noise.
    pub auroc: f64,
    /// The AUROC that counts as working.
    pub limit: f64,
    /// Mean norm of the activations.
    pub mean_norm: f64,
}

/// AUROC that still counts as working.
pub const LIMIT: f64 = 0.75;

/// Smallest isotropic noise that takes a probe's AUROC below `limit` ([`LIMIT`] by habit).
///
/// Noise `N(0, (σ R)² I)` on every activation, `R` the mean norm, moves a projection on a unit vector by exactly `N(0, (σ R)²)`. So the AUROC
/// expected over all noise is the mean of `Φ((sᵢ − sⱼ) / (√2 σ R))` over positives i and negatives j: no draws, no seed, no Monte Carlo error.
///
/// **Cost** about 100 × positives × negatives normal tail probabilities.
pub fn fragility(probe: &Probe, data: &Dataset, limit: f64) -> Result<Fragility> {
    if !(limit > 0.5 && limit < 1.0) {
        return Err(Error::Setting { name: "limit", expected: "an AUROC between 0.5 and 1", found: limit });
    }
    let projections = probe.project(data.x())?;
    let clean = auroc(&projections, data.labels())?;
    let squares =
        |row: ndarray::ArrayView1<f32>| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let mean_norm = data.x().rows().into_iter().map(squares).sum::<f64>() / data.n_rows() as f64;
    let at = |sigma| Fragility { sigma, auroc: clean, limit, mean_norm };
    if clean < limit {
        return Ok(at(0.0));
    }
    let of_class = |class: bool| -> Vec<f64> {
        projections.iter().zip(data.labels()).filter(|(_, label)| **label == class).map(|(p, _)| *p).collect()
    };
    let (positives, negatives) = (of_class(true), of_class(false));
    let works = |sigma: f64| expected_auroc(&positives, &negatives, sigma * mean_norm) >= limit;
    // AUROC need not fall steadily when some pairs are in the wrong order, so the first failing step is looked for from below.
    let step = std::f64::consts::SQRT_2;
    let mut sigma = 1e-6;
    while works(sigma) {
        sigma *= step;
    }
    let (mut low, mut high) = (sigma / step, sigma);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if works(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(at(high))
}

/// AUROC expected when independent `N(0, sd²)` noise is added to every projection.
pub fn expected_auroc(positives: &[f64], negatives: &[f64], sd: f64) -> f64 {
    // Φ(d / (√2 sd)) = ½ erfc(−d / (2 sd)).
    let wins =
        |positive: &f64| negatives.iter().map(|n| 0.5 * erfc((n - positive) / (2.0 * sd))).sum::<f64>();
    let per_positive: Vec<f64> = positives.par_iter().map(wins).collect();
    per_positive.iter().sum::<f64>() / (positives.len() * negatives.len()) as f64
}
