//! What every weight has to do with a loss.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor, Var};
use ndarray::ArrayD;

use super::loss::loss;
use super::rows::TrainRow;
use crate::batch::check_row;
use crate::forward::Model;
use crate::hooks::Hooks;
use crate::{Error, Result, RowError, Student};

/// A loss and its gradient in every weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// Mean cross-entropy, in nats a token.
    pub loss: f64,
    /// Tokens it is the mean of.
    pub loss_tokens: usize,
    /// One array a weight, by its Hugging Face name, shaped as the weight.
    pub by_weight: BTreeMap<String, ArrayD<f32>>,
}

impl Student {
    /// The loss of `rows` as one batch, and its gradient in every weight.
    ///
    /// Cost: keeps all activations of all rows at once, and one copy of the weights.
    ///
    /// # Errors
    /// A row is empty, too long, outside the vocabulary or without a token that carries loss.
    pub fn gradients(&self, rows: &[TrainRow]) -> Result<Gradients> {
        let (nothing, mut see) = (BTreeSet::new(), |_, _: &Tensor| Ok(()));
        gradients(self.model(), rows, &mut Hooks::new(None, &nothing, true, &mut see))
    }
}

fn gradients(model: &Model, rows: &[TrainRow], hooks: &mut Hooks<'_>) -> Result<Gradients> {
    for row in rows {
        check_row(&row.id, &row.ids, model.config())?;
        if row.loss_tokens().next().is_none_or(|_| row.loss.iter().any(|range| range.end > row.ids.len())) {
            return Err(Error::row(&row.id)(RowError::NothingToLearn));
        }
    }
    let model = model.map(|weight| Ok(Var::from_tensor(&weight.tensor)?.into_inner()))?;
    let loss_tokens = rows.iter().map(|row| row.loss_tokens().count()).sum();
    let loss = loss(&model, &rows.iter().collect::<Vec<_>>(), loss_tokens, hooks)?;
    let found = loss.backward()?;
    let mut by_weight = BTreeMap::new();
    for weight in model.weights() {
        let gradient = match found.get(&weight.tensor) {
            Some(gradient) => gradient.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?,
            None if weight.slot.idle => vec![0.0; weight.tensor.elem_count()],
            None => return Err(Error::NoGradient { weight: weight.slot.parts[0].0.clone() }),
        };
        for (name, shape, values) in weight.slot.split(&gradient) {
            let array =
                ArrayD::from_shape_vec(shape, values.into_owned()).expect("as many as the shape says");
            by_weight.insert(name.to_owned(), array);
        }
    }
    Ok(Gradients { loss: f64::from(loss.to_scalar::<f32>()?), loss_tokens, by_weight })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use heirloom_record::HookPoint;

    use super::*;
    use crate::LoadOptions;

    /// Taking a look cuts fused steps in two, and attention falls back to candle's operations.
    #[test]
    fn a_look_inside_loses_no_gradient() {
        for name in ["llama-gqa", "llama-bias", "mistral-window", "smollm-like"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
            let student = Student::load(&path, &LoadOptions::new("2026-01-15".parse().unwrap())).unwrap();
            let row = |n: u32| {
                let ids = (0..n).map(|i| (7 * i * i + 3 * n + 5) % 90 + 3).collect();
                TrainRow { id: n.to_string(), ids, loss: vec![1..2, n as usize / 3 + 1..n as usize] }
            };
            let rows = [3, 9, 17, 5].map(row);
            let blind = student.gradients(&rows).unwrap();
            for only in ["hook_attn_scores", "hook_pattern", ""] {
                let of = |point: &HookPoint| {
                    let point = point.to_string();
                    let inside = point.ends_with("hook_attn_scores") || point.ends_with("hook_pattern");
                    if only.is_empty() { !inside } else { point.ends_with(only) }
                };
                let points: BTreeSet<HookPoint> = student.config().hooks().into_iter().filter(of).collect();
                let mut seen = 0;
                let mut see = |_, _: &Tensor| {
                    seen += 1;
                    Ok(())
                };
                let mut hooks = Hooks::new(None, &points, true, &mut see);
                let watched = gradients(student.model(), &rows, &mut hooks).unwrap();
                assert_eq!(seen, points.len());
                assert!((watched.loss - blind.loss).abs() < 1e-6);
                for (weight, blind) in &blind.by_weight {
                    let scale = blind.iter().fold(0.0, |top: f32, x| top.max(x.abs()));
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-5 * scale;
                    assert!(watched.by_weight[weight].iter().zip(blind).all(near), "{name} {only} {weight}");
                }
            }
        }
    }
}
