//! The loss of a batch, where tokens carry it.

use candle_core::{D, DType, Tensor};

use super::rows::TrainRow;
use crate::Result;
use crate::batch::Batch;
use crate::forward::Model;
use crate::hooks::Hooks;

/// Σ −ln p(token) / `n` over the tokens of `rows` that carry loss, with its graph.
///
/// Logits exist only where a token is predicted that carries loss.
pub(crate) fn loss(model: &Model, rows: &[&TrainRow], n: usize) -> Result<Tensor> {
    let (mut start, mut before, mut targets) = (0, Vec::new(), Vec::new());
    for row in rows {
        for token in row.loss_tokens() {
            before.push((start + token - 1) as u32);
            targets.push(row.ids[token]);
        }
        start += row.ids.len();
    }
    let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids.as_slice()).collect();
    let batch = Batch::new(&ids, &model.frequencies, &model.device)?;
    let (nothing, mut see) = (std::collections::BTreeSet::new(), |_, _: &Tensor| Ok(()));
    let mut hooks = Hooks::new(None, &nothing, true, &mut see);
    let end = model.run(&batch, None, &mut hooks)?;
    let x = end.expect("nobody watches, so the pass runs to its end"); // [t d]
    let x = x.index_select(&Tensor::new(before, &model.device)?, 0)?; // [n d]
    let logits = model.logits(&x)?; // [n v]
    Ok(cross_entropy(&logits, &Tensor::new(targets, &model.device)?, n)?)
}

/// Σ −ln softmax(row)[target] / `n`. `logits` `[_, v]`, `targets` `[_]`
fn cross_entropy(logits: &Tensor, targets: &Tensor, n: usize) -> candle_core::Result<Tensor> {
    let logits = logits.to_dtype(DType::F32)?;
    // The largest logit cancels out, so no gradient flows through it.
    let top = logits.detach().max_keepdim(D::Minus1)?;
    let x = logits.broadcast_sub(&top)?;
    let total = x.exp()?.sum(D::Minus1)?.log()?;
    let at = x.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?;
    (total - at)?.sum_all()? * (1.0 / n as f64)
}
