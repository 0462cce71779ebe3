//! How a behavior answers to the strength of an intervention.

use rand_chacha::ChaCha8Rng;

use super::Side;
use crate::bootstrap::Resampling;
use crate::curves::curves;
use crate::error::{Error, Result};
use crate::rate::{Estimate, Observation, difference, mean};

/// What was measured at one strength.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dose<'a> {
    /// Factor of the direction, in the caller's units; 0 for no intervention.
    pub strength: f64,
    /// Whether, or how much, each sample shows the behavior.
    pub shown: &'a [Observation],
    /// Whether, or how far, each sample still makes sense.
    pub coherent: &'a [Observation],
}

/// One strength, estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response {
    /// The strength.
    pub strength: f64,
    /// Rate of the behavior.
    pub rate: Estimate,
    /// Rate minus that of the unsteered model, paired by run and cluster.
    pub effect: Estimate,
    /// Rate of coherent samples.
    pub coherence: Estimate,
}

/// A behavior against strength.
#[derive(Debug, Clone, PartialEq)]
pub struct DoseResponse {
    /// Every strength, in the order given.
    pub responses: Vec<Response>,
    /// Least coherence that counts as working.
    pub floor: f64,
    /// Index of the strength with the largest effect among those at or above the floor; none when all are below.
    pub chosen: Option<usize>,
    /// Change of the rate per unit of strength, over the unsteered model and the strengths at or above the floor; none when all are below.
    pub slope: Option<Estimate>,
}

impl DoseResponse {
    /// The chosen strength. Its effect is the largest of several, and its interval does not know that; controls searched alike do
    /// ([`super::judge`]).
    pub fn best(&self) -> Option<&Response> {
        self.chosen.map(|chosen| &self.responses[chosen])
    }
}

/// The measured strength with the largest effect whose coherence is at least `floor`; the earliest of equals, none when no strength is coherent.
///
/// **Shapes** one pair of effect and coherence per strength. Controls are to be searched with it too: the best of five strengths of a direction that
/// means nothing is not zero on average.
pub fn strongest(responses: &[(f64, f64)], floor: f64, side: Side) -> Option<usize> {
    let coherent = responses.iter().enumerate().filter(|(_, (_, coherence))| *coherence >= floor);
    let stronger = |best: Option<(usize, f64)>, (at, (effect, _)): (usize, &(f64, f64))| {
        let strength = side.strength(*effect);
        match best {
            Some((_, known)) if known >= strength => best,
            _ => Some((at, strength)),
        }
    };
    coherent.fold(None, stronger).map(|(at, _)| at)
}

/// Summarizes an intervention over its strengths.
///
/// The slope is the least-squares line of each cluster's rate on strength, averaged as [`mean`] averages: a line's slope is a weighted sum of rates, so
/// pairing and both levels of resampling carry over unchanged.
///
/// **Errors** without a strength besides zero, at equal strengths, a floor outside [0, 1], or a cluster that was not measured at every strength.
///
/// **Determinism** every strength sees the same resamples.
pub fn dose_response(
    unsteered: Dose,
    doses: &[Dose],
    floor: f64,
    side: Side,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<DoseResponse> {
    if !(0.0..=1.0).contains(&floor) {
        return Err(Error::Setting { name: "floor", expected: "a coherence from 0 to 1", found: floor });
    }
    if doses.is_empty() {
        return Err(Error::TooFew { unit: "strength", expected: 1, found: 0 });
    }
    let mut strengths: Vec<f64> =
        [&unsteered].into_iter().chain(doses).map(|dose| dose.strength + 0.0).collect();
    strengths.sort_by(f64::total_cmp);
    let repeated = strengths.windows(2).find(|pair| pair[0].total_cmp(&pair[1]).is_eq()).map(|pair| pair[0]);
    if let Some(found) = repeated.or_else(|| strengths.iter().copied().find(|strength| !strength.is_finite()))
    {
        return Err(Error::Setting { name: "strengths", expected: "finite and each once", found });
    }
    let one = |dose: &Dose| -> Result<Response> {
        Ok(Response {
            strength: dose.strength,
            rate: mean(dose.shown, resampling, rng)?,
            effect: difference(dose.shown, unsteered.shown, resampling, rng)?,
            coherence: mean(dose.coherent, resampling, rng)?,
        })
    };
    let responses: Vec<Response> = doses.iter().map(one).collect::<Result<_>>()?;
    let found: Vec<(f64, f64)> = responses.iter().map(|r| (r.effect.value, r.coherence.value)).collect();
    let coherent: Vec<&Dose> =
        doses.iter().zip(&found).filter(|(_, of)| of.1 >= floor).map(|(d, _)| d).collect();
    let slope = if coherent.is_empty() { None } else { Some(slope(&unsteered, &coherent, resampling, rng)?) };
    Ok(DoseResponse { chosen: strongest(&found, floor, side), responses, floor, slope })
}

fn slope(unsteered: &Dose, doses: &[&Dose], resampling: Resampling, rng: &ChaCha8Rng) -> Result<Estimate> {
    let all: Vec<&Dose> = [unsteered].into_iter().chain(doses.iter().copied()).collect();
    let center = all.iter().map(|dose| dose.strength).sum::<f64>() / all.len() as f64;
    let squares: f64 = all.iter().map(|dose| (dose.strength - center).powi(2)).sum();
    let curves = curves(all.iter().map(|dose| dose.shown), |_, error| error)?;
    let line = |curve: &[f64]| -> f64 {
        curve.iter().zip(&all).map(|(rate, dose)| rate * (dose.strength - center) / squares).sum()
    };
    let slopes = curves.iter().map(|((run, cluster), curve)| Observation {
        run: *run,
        cluster: *cluster,
        value: line(curve),
    });
    let n = all.iter().map(|dose| dose.shown.len()).sum();
    Ok(Estimate { n, ..mean(&slopes.collect::<Vec<_>>(), resampling, rng)? })
}
