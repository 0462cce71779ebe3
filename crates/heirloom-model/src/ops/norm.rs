//! Norms of the stream, of queries and of keys.

use candle_core::{D, DType, Tensor};

use super::{Result, fused};
use crate::config::Normalization;

/// A norm with its weights.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) kind: Normalization,
    pub(crate) eps: f64,
    pub(crate) weight: Tensor,
    /// Of a layer norm.
    pub(crate) bias: Option<Tensor>,
    /// In half precision, numbers are rounded behind the weight alone and not before it, too.
    pub(crate) late: bool,
}

impl Norm {
    /// The last axis normed. `[t, d]`
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let eps = self.eps as f32;
        match (&self.bias, self.kind) {
            (Some(bias), _) if super::fused(x) => x.apply_op3(&self.weight, bias, fused::LayerNorm { eps }),
            (None, Normalization::RmsPlusOne) if super::fused(x) => {
                // Made anew each time: training changes the weight in place.
                x.apply_op2(&(&self.weight + 1.0)?, fused::RmsNorm { eps })
            }
            (None, _) if super::fused(x) => x.apply_op2(&self.weight, fused::RmsNorm { eps }),
            (None, Normalization::Rms) if !self.late => self.scale(&self.normalize(x)?),
            _ => self.scale(&self.wide(x)?)?.to_dtype(x.dtype()),
        }
    }

    /// What the weight is applied to. `[t, d]`
    pub(crate) fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        let eps = self.eps as f32;
        match self.bias {
            None if super::fused(x) => x.apply_op1(fused::Normalize { eps }),
            Some(_) if super::fused(x) => x.apply_op1(fused::Standardize { eps }),
            _ => self.wide(x)?.to_dtype(x.dtype()),
        }
    }

    /// What [`Self::normalize`] gives, times the weight, plus the bias; in the numbers it is given.
    pub(crate) fn scale(&self, normalized: &Tensor) -> Result<Tensor> {
        let dtype = normalized.dtype();
        let weight = self.weight.to_dtype(dtype)?;
        match (&self.bias, self.kind) {
            (Some(bias), _) => normalized.broadcast_mul(&weight)?.broadcast_add(&bias.to_dtype(dtype)?),
            (None, Normalization::RmsPlusOne) => normalized.broadcast_mul(&(weight + 1.0)?),
            _ => normalized.broadcast_mul(&weight),
        }
    }

    /// [`Self::normalize`] in f32 at least.
    fn wide(&self, x: &Tensor) -> Result<Tensor> {
        let x = if x.dtype() == DType::F64 { x.clone() } else { x.to_dtype(DType::F32)? };
        match self.bias {
            Some(_) => over_root(&x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?, self.eps),
            None => over_root(&x, self.eps),
        }
    }
}

/// `x / sqrt(mean(x²) + eps)`, of f32 or f64. `[t, d]`
pub(crate) fn normalize(x: &Tensor, eps: f64) -> Result<Tensor> {
    if super::fused(x) { x.apply_op1(fused::Normalize { eps: eps as f32 }) } else { over_root(x, eps) }
}

fn over_root(x: &Tensor, eps: f64) -> Result<Tensor> {
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean + eps)?.sqrt()?)
}
