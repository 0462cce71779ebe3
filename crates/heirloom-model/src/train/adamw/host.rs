//! One update on the processor, over plain slices.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined into a pulp dispatch is compiled for its vectors"
)]

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Rates;

/// Numbers that a thread takes at a time; sums are taken over these first, whatever the number of threads.
pub(super) const CHUNK: usize = 1 << 14;

/// Changes a weight and its running means by its gradient.
pub(super) fn update(
    weight: &Tensor,
    gradient: &Tensor,
    mean: &mut [f32],
    square: &mut [f32],
    rates: &Rates,
) -> Result<()> {
    let (storage, layout) = gradient.storage_and_layout();
    let gradient = numbers(&storage, layout)?;
    weight.inplace_op1(&Update { rates: rates.into(), gradient, state: RefCell::new((mean, square)) })
}

/// Sum over the squares of a gradient.
pub(super) fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    let (storage, layout) = gradient.storage_and_layout();
    let chunks = numbers(&storage, layout)?.par_chunks(CHUNK).map(squares);
    Ok(chunks.collect::<Vec<f64>>().iter().sum())
}

/// Eight running sums: a fixed order that vectors of every width can follow.
fn squares(values: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*x) * f64::from(*x);
        }
    }
    rest.iter().fold(sums.iter().sum(), |sum, x| sum + f64::from(*x) * f64::from(*x))
}

/// The numbers of a contiguous f32 tensor on the processor.
fn numbers<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(&storage.as_slice()?[start..end]),
        _ => bail!("a gradient with strides {:?} is not contiguous on the processor", layout.stride()),
    }
}

/// [`Rates`] in the numbers of the weights.
#[derive(Clone, Copy)]
struct Rates32 {
    keep: f32,
    clip: f32,
    mean: f32,
    square: [f32; 2],
    step: f32,
    root: f32,
    eps: f32,
}

impl From<&Rates> for Rates32 {
    fn from(rates: &Rates) -> Self {
        Self {
            keep: rates.keep as f32,
            clip: rates.clip as f32,
            mean: (1.0 - rates.betas[0]) as f32,
            square: [rates.betas[1] as f32, (1.0 - rates.betas[1]) as f32],
            step: rates.step as f32,
            root: rates.root as f32,
            eps: rates.eps as f32,
        }
    }
}

struct Update<'a> {
    rates: Rates32,
    gradient: &'a [f32],
    /// The operation is given shared, so what it changes besides the weight lies in a cell.
    state: RefCell<(&'a mut [f32], &'a mut [f32])>,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(weights), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("a weight that learns is not contiguous f32")
        };
        let (weights, rates) = (&mut weights[start..end], self.rates);
        let (mean, square) = &mut *self.state.borrow_mut();
        let arch = Arch::new();
        let numbers = weights.par_chunks_mut(CHUNK).zip(self.gradient.par_chunks(CHUNK));
        let moments = mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK));
        numbers.zip(moments).for_each(|((weights, gradient), (mean, square))| {
            arch.dispatch(Chunk { rates, weights, gradient, mean, square });
        });
        Ok(())
    }
}

struct Chunk<'a> {
    rates: Rates32,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { rates, weights, gradient, mean, square } = self;
        let moments = mean.iter_mut().zip(square);
        for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(moments) {
            let g = g * rates.clip;
            *m += (g - *m) * rates.mean;
            *v = *v * rates.square[0] + g * g * rates.square[1];
            *w = *w * rates.keep - rates.step * (*m / (v.sqrt() / rates.root + rates.eps));
        }
    }
}
