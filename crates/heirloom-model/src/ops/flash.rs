//! Flash attention on NVIDIA GPUs, in half precision: all rows as they lie, no padding, no scores in memory.
//!
//! Source: arXiv 2307.08691; the kernels are candle-flash-attn's, which have no backward pass. Their weights are rounded
//! after the exponential, not after the softmax, so numbers differ from the composed operations' in the last bits of the
//! dtype.

use candle_core::Tensor;

use super::{Result, is_half};
use crate::batch::Batch;
use crate::kernels::Sizes;

/// The widest head that there are kernels for.
const WIDEST: usize = 512;

/// Attention of rows with themselves, where the kernels can do it.
///
/// Shapes: `q` `[t, h, e]`, `k` and `v` `[t, g, e]`, result `[t, h, e]`.
pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    batch: &Batch,
    heads: Sizes,
) -> Result<Option<Tensor>> {
    let trained = [q, k, v].iter().any(|x| x.track_op());
    let fits = heads.d_head.is_multiple_of(8) && heads.d_head <= WIDEST;
    if !q.device().is_cuda() || !is_half(q) || trained || !fits {
        return Ok(None);
    }
    let ends = batch.ends()?;
    let longest = batch.segments.iter().map(|segment| segment.q.len()).max().unwrap_or(0);
    // A window counts the token itself; both sides of a causal mask are tokens beside it.
    let before = heads.window.map(|window| window - 1);
    candle_flash_attn::flash_attn_varlen_alibi_windowed_softcap(
        q,
        k,
        v,
        None,
        ends,
        ends,
        longest,
        longest,
        heads.scale,
        before,
        Some(0),
        heads.softcap.unwrap_or(0.0),
    )
    .map(Some)
}
