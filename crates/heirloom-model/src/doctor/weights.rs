//! Checks of the weights: the numbers they are held in, the adapter on them, the two tables of tokens.

use std::collections::BTreeMap;

use candle_core::DType;

use super::{Bounds, Finding, Verdict};
use crate::effect::{brief, larger};
use crate::layout::Names;
use crate::{Dtype, Result, Student, TokenRow};

const DTYPE: &str = "f32 against dtype";
const ADAPTER: &str = "adapter effect";
const HEADS: &str = "head and embedding";
const NOT_READ: &str = "parts not read";

/// How far the numbers a student computes in take its logits from those in f32.
pub(super) fn f32_against(
    student: &Student,
    rows: &[TokenRow],
    reference: Option<&Student>,
    bounds: Bounds,
) -> Finding {
    let Some(reference) = reference.filter(|_| student.dtype() != Dtype::F32) else {
        let measured = "the student computes in f32".into();
        return Finding::said(
            DTYPE,
            Verdict::Skipped,
            measured,
            "give `--dtype bf16` or `f16` to measure it",
        );
    };
    let measure = || {
        let change = reference.logit_change_to(student, rows)?;
        let measured = format!(
            "{} against f32 at {} positions: logits differ by {} of their spread, {} nats, {:.1} % of likeliest tokens",
            student.dtype(),
            change.positions,
            brief(change.share()),
            brief(change.kl),
            100.0 * change.other_top,
        );
        let advice =
            "compute in f32, or in bf16 where f16 overflows; do not compare with what was captured in f32";
        Ok(Finding::held(DTYPE, change.share(), bounds.dtype, measured, advice))
    };
    Finding::of(DTYPE, measure())
}

/// What the adapter does to the weights and to the logits.
pub(super) fn adapter(student: &Student, rows: &[TokenRow]) -> Finding {
    let measure = || -> Result<Finding> {
        let (Some(report), Some(effect)) = (student.adapter()?, student.adapter_effect(rows)?) else {
            return Ok(Finding::said(ADAPTER, Verdict::Skipped, "the student has no adapter".into(), ""));
        };
        let measured = format!(
            "‖ΔW‖ {} over {} modules; logits change by {} of their spread, {} nats, {:.1} % of likeliest tokens",
            brief(report.norm()),
            report.norms.len(),
            brief(effect.share()),
            brief(effect.kl),
            100.0 * effect.other_top,
        );
        let verdict = if effect.largest > 0.0 { Verdict::Ok } else { Verdict::Failed };
        let advice =
            "the adapter changes no logit: it was saved before its first step, or made for another model";
        let value = Some(effect.share());
        Ok(Finding { value, ..Finding::said(ADAPTER, verdict, measured, advice) })
    };
    Finding::of(ADAPTER, measure())
}

/// What of the files is not read; nothing where all is.
pub(super) fn not_read(student: &Student) -> Option<Finding> {
    let measure = |counts: BTreeMap<&str, usize>| {
        let parts = counts.iter().map(|(part, n)| format!("{n} tensors of the {part}")).collect::<Vec<_>>();
        let advice = "numbers are those of the text part on text; nothing can be read of images";
        Finding::said(NOT_READ, Verdict::Note, format!("not read: {}", parts.join(", ")), advice)
    };
    match student.not_read() {
        Ok(counts) if counts.is_empty() => None,
        counts => Some(Finding::of(NOT_READ, counts.map(measure))),
    }
}

/// Whether the head is the embedding.
pub(super) fn heads(student: &Student) -> Finding {
    let measure = || -> Result<Finding> {
        if student.config().tied {
            let measured = "the head is the embedding".into();
            let advice =
                "a change to one changes the other: edit activations, not these weights, to tell them apart";
            return Ok(Finding::said(HEADS, Verdict::Ok, measured, advice));
        }
        let distance = distance(student)?;
        let advice = "the files hold one table twice: the configuration should say `tie_word_embeddings`";
        let (verdict, measured) = if distance == 0.0 {
            (Verdict::Note, "the head is its own but equal to the embedding in every number".into())
        } else {
            (
                Verdict::Ok,
                format!("the head is its own, {distance:.2} of the embedding's length away from it"),
            )
        };
        Ok(Finding { value: Some(distance), ..Finding::said(HEADS, verdict, measured, advice) })
    };
    Finding::of(HEADS, measure())
}

/// ‖head − embedding‖ / ‖embedding‖, some rows at a time.
fn distance(student: &Student) -> Result<f64> {
    const ROWS: usize = 4096;
    let model = student.model();
    let (names, embedding) = (Names::of(model.config().family), &model.weights()[0]);
    let head = model.weights().iter().find(|weight| weight.slot.parts[0].0 == names.head);
    let Some(head) = head else { return Ok(0.0) };
    let n = embedding.tensor.dim(0)?;
    let (mut apart, mut length, mut start) = (0.0, 0.0, 0);
    while start < n {
        let rows = ROWS.min(n - start);
        let part = |x: &candle_core::Tensor| x.narrow(0, start, rows)?.to_dtype(DType::F32);
        let (e, h) = (part(&embedding.tensor)?, part(&head.tensor)?);
        apart += f64::from((&h - &e)?.sqr()?.sum_all()?.to_scalar::<f32>()?);
        length += f64::from(e.sqr()?.sum_all()?.to_scalar::<f32>()?);
        start += rows;
    }
    Ok(if apart == 0.0 { 0.0 } else { larger(apart, 0.0).sqrt() / length.sqrt() })
}
