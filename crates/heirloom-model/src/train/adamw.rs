//! AdamW over the variables of a model.
//!
//! Source: arXiv 1711.05101, algorithm 2, in the order of operations of PyTorch's `_single_tensor_adamw`.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Storage, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::options::TrainOptions;
use crate::Result;
use crate::layout::{Role, Weight};

/// Numbers that a thread takes at a time; sums are taken over these first, whatever the number of threads.
const CHUNK: usize = 1 << 14;

/// The running means of one weight's gradient and of its square.
enum Moments {
    Host { mean: Vec<f32>, square: Vec<f32> },
    Device { mean: Tensor, square: Tensor },
}

pub(crate) struct AdamW {
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    moments: Vec<Moments>,
}

impl AdamW {
    /// Nothing seen yet.
    pub(crate) fn new(weights: &[Weight], options: &TrainOptions) -> Result<Self> {
        let moments = weights.iter().map(|weight| {
            let tensor = &weight.tensor;
            if tensor.device().is_cpu() {
                let zeros = || vec![0.0; tensor.elem_count()];
                return Ok(Moments::Host { mean: zeros(), square: zeros() });
            }
            Ok(Moments::Device { mean: tensor.zeros_like()?, square: tensor.zeros_like()? })
        });
        Ok(Self {
            betas: options.betas,
            eps: options.eps,
            weight_decay: options.weight_decay,
            moments: moments.collect::<Result<_>>()?,
        })
    }

    /// Changes the weights by their gradients, each times `clip`; `step` counts from 1.
    pub(crate) fn update(
        &mut self,
        weights: &[Weight],
        gradients: &[Tensor],
        (step, lr, clip): (usize, f64, f64),
    ) -> Result<()> {
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powi(step));
        for ((weight, gradient), moments) in weights.iter().zip(gradients).zip(&mut self.moments) {
            let decays = !matches!(weight.slot.role, Role::Norm | Role::Bias);
            let rates = Rates {
                keep: if decays { 1.0 - lr * self.weight_decay } else { 1.0 },
                clip,
                betas: self.betas,
                step: lr / first,
                root: second.sqrt(),
                eps: self.eps,
            };
            match moments {
                Moments::Host { mean, square } => {
                    let (storage, layout) = gradient.storage_and_layout();
                    let gradient = numbers(&storage, layout)?;
                    let state = RefCell::new((mean.as_mut_slice(), square.as_mut_slice()));
                    weight.tensor.inplace_op1(&Update { rates: rates.f32(), gradient, state })?;
                }
                Moments::Device { mean, square } => {
                    on_device(&weight.tensor, gradient, mean, square, &rates)?;
                }
            }
        }
        Ok(())
    }

    /// Both running means of every weight, as numbers on the host.
    pub(crate) fn state(&self) -> Result<Vec<[Vec<f32>; 2]>> {
        let one = |moments: &Moments| match moments {
            Moments::Host { mean, square } => Ok([mean.clone(), square.clone()]),
            Moments::Device { mean, square } => {
                Ok([mean.flatten_all()?.to_vec1()?, square.flatten_all()?.to_vec1()?])
            }
        };
        self.moments.iter().map(one).collect()
    }

    /// Goes on from a [`Self::state`].
    pub(crate) fn restore(&mut self, state: Vec<[Vec<f32>; 2]>) -> Result<()> {
        for (moments, [new_mean, new_square]) in self.moments.iter_mut().zip(state) {
            match moments {
                Moments::Host { mean, square } => (*mean, *square) = (new_mean, new_square),
                Moments::Device { mean, square } => {
                    let place = |values: Vec<f32>, like: &Tensor| {
                        Tensor::from_vec(values, like.shape(), like.device())
                    };
                    (*mean, *square) = (place(new_mean, mean)?, place(new_square, square)?);
                }
            }
        }
        Ok(())
    }
}

/// The numbers of one update of one weight.
struct Rates {
    keep: f64,
    clip: f64,
    betas: [f64; 2],
    step: f64,
    root: f64,
    eps: f64,
}

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

impl Rates {
    fn f32(&self) -> Rates32 {
        Rates32 {
            keep: self.keep as f32,
            clip: self.clip as f32,
            mean: (1.0 - self.betas[0]) as f32,
            square: [self.betas[1] as f32, (1.0 - self.betas[1]) as f32],
            step: self.step as f32,
            root: self.root as f32,
            eps: self.eps as f32,
        }
    }
}

/// Length of all gradients together.
pub(crate) fn norm(gradients: &[Tensor]) -> Result<f64> {
    let mut squares = 0.0;
    for gradient in gradients {
        if gradient.device().is_cpu() {
            let (storage, layout) = gradient.storage_and_layout();
            let chunks = numbers(&storage, layout)?.par_chunks(CHUNK).map(sum_of_squares);
            squares += chunks.collect::<Vec<f64>>().iter().sum::<f64>();
        } else {
            squares += f64::from(gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    Ok(squares.sqrt())
}

/// Eight running sums: a fixed order that vectors of every width can follow.
fn sum_of_squares(values: &[f32]) -> f64 {
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
fn numbers<'a>(storage: &'a Storage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(&storage.as_slice()?[start..end]),
        _ => bail!("a gradient with strides {:?} is not contiguous on the processor", layout.stride()),
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

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
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

    #[expect(clippy::inline_always, reason = "compiled for its vectors only inside the dispatch")]
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

/// The same of candle's operations.
fn on_device(
    weight: &Tensor,
    gradient: &Tensor,
    mean: &mut Tensor,
    square: &mut Tensor,
    rates: &Rates,
) -> candle_core::Result<()> {
    let gradient = (gradient.to_dtype(DType::F32)? * rates.clip)?;
    *mean = (&*mean + ((&gradient - &*mean)? * (1.0 - rates.betas[0]))?)?;
    *square = ((&*square * rates.betas[1])? + (gradient.sqr()? * (1.0 - rates.betas[1]))?)?;
    let root = ((square.sqrt()? / rates.root)? + rates.eps)?;
    let new = ((weight.detach() * rates.keep)? - ((&*mean / root)? * rates.step)?)?;
    candle_core::Var::from_tensor(weight)?.set(&new)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::layout::Slot;

    fn weight(role: Role, values: &[f32]) -> Weight {
        let slot = Slot { parts: vec![("w".into(), values.len())], columns: None, role };
        let var = Var::from_slice(values, values.len(), &Device::Cpu).unwrap();
        Weight { slot, tensor: var.as_tensor().clone() }
    }

    /// Algorithm 2 by the book, in f64.
    fn plain(mut w: f64, gradients: &[f64], lr: f64, decay: f64) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in (1..).zip(gradients) {
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.95_f64.powi(t)));
            w -= lr * (m_hat / (v_hat.sqrt() + 1e-8) + decay * w);
        }
        w
    }

    #[test]
    fn updates_are_those_of_the_paper() {
        for (role, decay) in [(Role::Inner, 0.1), (Role::Adapter, 0.1), (Role::Norm, 0.0), (Role::Bias, 0.0)]
        {
            let weights = [weight(role, &[0.5, -2.0, 1e-3])];
            let options = TrainOptions { weight_decay: 0.1, ..TrainOptions::default() };
            let mut optimizer = AdamW::new(&weights, &options).unwrap();
            let steps = [[0.1, -3.0, 0.0], [0.2, 2.0, 1e-9], [-0.4, 1.0, 0.0]];
            for (step, gradient) in (1..).zip(&steps) {
                // Given twice as long and clipped to one half.
                let gradient: Vec<f32> = gradient.iter().map(|g| 2.0 * *g as f32).collect();
                let gradient = Tensor::new(gradient, &Device::Cpu).unwrap();
                optimizer.update(&weights, &[gradient], (step, 0.01, 0.5)).unwrap();
            }
            let found: Vec<f32> = weights[0].tensor.to_vec1().unwrap();
            for (i, start) in [0.5, -2.0, 1e-3].into_iter().enumerate() {
                let expected = plain(start, &steps.map(|step| step[i]), 0.01, decay);
                assert!(
                    (f64::from(found[i]) - expected).abs() < 1e-6,
                    "{role:?} {i}: {} {expected}",
                    found[i]
                );
            }
        }
    }

    #[test]
    fn norms_are_taken_over_all_gradients() {
        let tensor = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).unwrap();
        let many = vec![0.5_f32; CHUNK + 3];
        let expected = ((CHUNK + 3) as f64 * 0.25 + 25.0).sqrt();
        assert!((norm(&[tensor(many), tensor(vec![3.0, -4.0])]).unwrap() - expected).abs() < 1e-9);
        assert!(norm(&[tensor(vec![1.0, f32::NAN])]).unwrap().is_nan());
        assert!(norm(&[tensor(vec![f32::INFINITY])]).unwrap().is_infinite());
    }

    #[test]
    fn a_restored_optimizer_goes_on_bit_for_bit() {
        let gradient = |step: usize| Tensor::new(&[0.1_f32 * step as f32, -1.0], &Device::Cpu).unwrap();
        let options = TrainOptions::default();
        let whole = [weight(Role::Inner, &[1.0, 2.0])];
        let mut optimizer = AdamW::new(&whole, &options).unwrap();
        let mut kept = None;
        for step in 1..=5 {
            optimizer.update(&whole, &[gradient(step)], (step, 0.1, 1.0)).unwrap();
            if step == 2 {
                kept = Some((optimizer.state().unwrap(), whole[0].tensor.to_vec1::<f32>().unwrap()));
            }
        }
        let (state, values) = kept.unwrap();
        let resumed = [weight(Role::Inner, &values)];
        let mut optimizer = AdamW::new(&resumed, &options).unwrap();
        optimizer.restore(state).unwrap();
        for step in 3..=5 {
            optimizer.update(&resumed, &[gradient(step)], (step, 0.1, 1.0)).unwrap();
        }
        let values = |weights: &[Weight]| weights[0].tensor.to_vec1::<f32>().unwrap();
        assert_eq!(values(&whole), values(&resumed));
    }
}
