//! Several MLPs of which each token goes through a few.
//!
//! Source: arXiv 1701.06538, section 2; `OlmoeSparseMoeBlock` and `Qwen3MoeSparseMoeBlock` of transformers 5.23.

use candle_core::{DType, Tensor};
use heirloom_record::{HookPoint, Site};

use super::Projection;
use crate::config::Activation;
use crate::hooks::{Halt, Hooks};
use crate::ops::{self, Linear};

/// A router and the MLPs it chooses from.
#[derive(Clone)]
pub(super) struct Experts {
    pub(super) layer: usize,
    pub(super) router: Linear,
    /// Gate and up projections as one product, and the down projection, of each.
    pub(super) each: Vec<(Projection, Projection)>,
    pub(super) per_token: usize,
    /// The weights of the chosen sum to 1.
    pub(super) normalized: bool,
    pub(super) activation: Activation,
}

impl Experts {
    /// Shapes: `x` `[t, d]`, result `[t, d]`.
    ///
    /// Determinism: a token's experts are added in their order, so other tokens change no bit of it.
    pub(super) fn forward(&self, x: &Tensor, hooks: &mut Hooks<'_>) -> Result<Tensor, Halt> {
        let point = HookPoint::Block { layer: self.layer, site: Site::ExpertWeights };
        let scores = self.router.forward(x)?.to_dtype(DType::F32)?; // [t n]
        let shares = hooks.call(point, ops::pattern(&scores)?)?; // [t n]
        let chosen = self.choose(&shares)?;
        let weights = self.weigh(&shares, &chosen)?.to_dtype(x.dtype())?; // [t·n 1]
        let mut out = x.zeros_like()?; // [t d]
        for (expert, tokens) in chosen.iter().enumerate().filter(|(_, tokens)| !tokens.is_empty()) {
            let n = self.each.len() as u32;
            let places: Vec<u32> = tokens.iter().map(|token| token * n + expert as u32).collect();
            let tokens = Tensor::new(tokens.as_slice(), x.device())?;
            let (gate_up, down) = &self.each[expert];
            let inner = gate_up.forward(&ops::gather(x, &tokens)?)?; // [c 2m]
            let y = down.forward(&ops::act_mul_halves(self.activation, &inner)?)?; // [c d]
            let weights = ops::gather(&weights, &Tensor::new(places, x.device())?)?; // [c 1]
            out = out.index_add(&tokens, &y.broadcast_mul(&weights)?, 0)?;
        }
        Ok(out)
    }

    /// Each expert's tokens: those that give it one of their largest shares; of equal ones, the first.
    fn choose(&self, shares: &Tensor) -> candle_core::Result<Vec<Vec<u32>>> {
        let mut chosen = vec![Vec::new(); self.each.len()];
        for (token, shares) in shares.to_vec2::<f32>()?.iter().enumerate() {
            let mut order: Vec<usize> = (0..shares.len()).collect();
            order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
            for expert in order.into_iter().take(self.per_token) {
                chosen[expert].push(token as u32);
            }
        }
        Ok(chosen)
    }

    /// What each expert's output is multiplied by, 0 where it is not chosen. `[t · n, 1]`
    fn weigh(&self, shares: &Tensor, chosen: &[Vec<u32>]) -> candle_core::Result<Tensor> {
        let (t, n) = shares.dims2()?;
        let mut mask = vec![0.0_f32; t * n];
        for (expert, tokens) in chosen.iter().enumerate() {
            for token in tokens {
                mask[*token as usize * n + expert] = 1.0;
            }
        }
        let weights = (shares * Tensor::from_vec(mask, (t, n), shares.device())?)?;
        let weights =
            if self.normalized { weights.broadcast_div(&weights.sum_keepdim(1)?)? } else { weights };
        weights.reshape((t * n, 1))
    }
}
