//! The loss of a batch, where tokens carry it.

use std::sync::Arc;

use candle_core::Tensor;

use super::rows::TrainRow;
use crate::batch::Batch;
use crate::forward::Model;
use crate::hooks::Hooks;
use crate::{Result, ops};

/// Σ −ln p(token) / `n` over the tokens of `rows` that carry loss, with its graph.
///
/// Logits exist only where a token is predicted that carries loss.
pub(crate) fn loss(model: &Model, rows: &[&TrainRow], n: usize, hooks: &mut Hooks<'_>) -> Result<Tensor> {
    let (mut start, mut before, mut targets) = (0, Vec::new(), Vec::new());
    for row in rows {
        for token in row.loss_tokens() {
            before.push((start + token - 1) as u32);
            targets.push(row.ids[token]);
        }
        start += row.ids.len();
    }
    let weights: Arc<[f32]> = vec![1.0 / n as f32; targets.len()].into();
    let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids.as_slice()).collect();
    let batch = Batch::new(&ids, &model.rotary, &model.device)?;
    let x = model.to_the_end(&batch, None, hooks)?; // [t d]
    let x = ops::gather(&x, &Tensor::new(before, &model.device)?)?; // [n d]
    let softcap = model.config().final_softcap;
    Ok(ops::head_loss(&x, model.head(), softcap, &targets.into(), &weights)?)
}
