//! AdamW over the variables of a model.
//!
//! Source: arXiv 1711.05101, algorithm 2, in the order of operations of PyTorch's `_single_tensor_adamw`.

mod host;

use candle_core::{DType, Tensor, Var};

use super::options::TrainOptions;
use crate::Result;
use crate::layout::{Role, Weight};

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
            let decays = !matches!(weight.slot.role, Role::Norm | Role::Scale | Role::Bias);
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
                    host::update(&weight.tensor, gradient, mean, square, &rates)?;
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
    /// What is left of a weight before its gradient is looked at.
    keep: f64,
    /// What gradients are multiplied by.
    clip: f64,
    betas: [f64; 2],
    /// Learning rate over the correction of the mean.
    step: f64,
    /// Root of the correction of the mean square.
    root: f64,
    eps: f64,
}

/// Length of all gradients together.
pub(crate) fn norm(gradients: &[Tensor]) -> Result<f64> {
    let squares = gradients.iter().map(|gradient| {
        if gradient.device().is_cpu() {
            return host::sum_of_squares(gradient);
        }
        Ok(f64::from(gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?))
    });
    Ok(squares.sum::<candle_core::Result<f64>>()?.sqrt())
}

/// One update of candle's operations.
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
    Var::from_tensor(weight)?.set(&new)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::layout::Slot;

    fn weight(role: Role, values: &[f32]) -> Weight {
        let slot = Slot::one("w".into(), values.len(), None, role);
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
    fn candles_operations_make_the_same_update() {
        let start = [0.5, -2.0, 1e-3];
        let (ours, theirs) = (weight(Role::Inner, &start), weight(Role::Inner, &start));
        let zeros = || Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        let (mut mean, mut square) = (zeros(), zeros());
        let (mut means, mut squares) = ([0.0; 3], [0.0; 3]);
        for step in 1..=4_i32 {
            let rates = Rates {
                keep: 0.999,
                clip: 0.5,
                betas: [0.9, 0.95],
                step: 0.01 / (1.0 - 0.9_f64.powi(step)),
                root: (1.0 - 0.95_f64.powi(step)).sqrt(),
                eps: 1e-8,
            };
            let gradient = Tensor::new(&[0.1_f32, -3.0 * step as f32, 0.0], &Device::Cpu).unwrap();
            on_device(&theirs.tensor, &gradient, &mut mean, &mut square, &rates).unwrap();
            host::update(&ours.tensor, &gradient, &mut means, &mut squares, &rates).unwrap();
        }
        let values = |tensor: &Tensor| tensor.to_vec1::<f32>().unwrap();
        for (ours, theirs) in values(&ours.tensor).into_iter().zip(values(&theirs.tensor)) {
            assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
        }
        assert!(values(&square).iter().zip(&squares).all(|(a, b)| (a - b).abs() <= 1e-6 * b));
        assert_ne!(values(&ours.tensor), start);
    }

    #[test]
    fn norms_are_taken_over_all_gradients() {
        let tensor = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).unwrap();
        let many = vec![0.5_f32; host::CHUNK + 3];
        let expected = ((host::CHUNK + 3) as f64 * 0.25 + 25.0).sqrt();
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
