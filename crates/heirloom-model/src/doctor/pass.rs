//! Checks of the forward pass: hook points, the residual stream, batches, padding, causality, generation.

use std::collections::BTreeSet;

use heirloom_record::{HookPoint, Site};
use ndarray::{Array2, ArrayD, ArrayView2, Axis};

use super::{Bounds, Finding, Verdict};
use crate::effect::{brief, larger};
use crate::{GenerateOptions, Result, RowCache, Student, TokenRow};

const HOOKS: &str = "hook points";
const STREAM: &str = "residual stream";
const BATCH: &str = "batch invariance";
const PADDING: &str = "padding invariance";
const CAUSAL: &str = "causality";
const REPLAY: &str = "generation replay";
/// Tokens that are drawn to be replayed.
const DRAWN: usize = 8;

pub(super) fn checks(student: &Student, rows: &[TokenRow], bounds: Bounds) -> Vec<Finding> {
    let mut found = Vec::new();
    match hooks(student, rows) {
        Ok((finding, caches)) => {
            found.push(finding);
            found.push(Finding::of(STREAM, Ok(stream(student, &caches, bounds))));
        }
        Err(error) => found.push(Finding::of(HOOKS, Err(error))),
    }
    found.push(Finding::of(BATCH, batch(student, rows, bounds)));
    found.push(Finding::of(PADDING, padding(student, rows, bounds)));
    found.push(Finding::of(CAUSAL, causal(student, rows, bounds)));
    found.push(Finding::of(REPLAY, replay(student, rows, bounds)));
    found
}

/// Every hook point fires once in a pass, and holds numbers.
fn hooks(student: &Student, rows: &[TokenRow]) -> Result<(Finding, Vec<RowCache>)> {
    let points = student.config().hooks();
    let caches = student.run_with_hooks(rows, &points, &[], false)?;
    // Scores are −∞ where a query may not look.
    let masked = |point: &HookPoint| student.config().width(*point).is_none();
    let broken: BTreeSet<HookPoint> = caches
        .iter()
        .flat_map(|cache| &cache.activations)
        .filter(|(point, x)| x.iter().any(|x| x.is_nan() || (x.is_infinite() && !masked(point))))
        .map(|(point, _)| *point)
        .collect();
    let n = points.len();
    let measured = match broken.first() {
        None => format!("{n} of {n} fired once a pass and hold finite numbers"),
        Some(first) => format!("{} of {n} hold numbers that are not finite, first `{first}`", broken.len()),
    };
    let advice =
        "numbers overflow: compute in f32 or bf16, or look for a damaged weight in the first block named";
    Ok((Finding::held(HOOKS, broken.len() as f64, 0.0, measured, advice), caches))
}

/// `resid_mid = resid_pre + attn_out`, `resid_post = resid_mid + mlp_out`, or `resid_post` the sum of all three where attention
/// and MLP read the same stream; and each block begins where the one before it ended.
fn stream(student: &Student, caches: &[RowCache], bounds: Bounds) -> Finding {
    let (mut worst, mut place) = (0.0, None);
    for cache in caches {
        let at = |layer, site| &cache.activations[&HookPoint::Block { layer, site }];
        let mut law = |layer, whole: &ArrayD<f32>, sum: &ArrayD<f32>| {
            let gap = relative(whole, sum);
            if gap.is_nan() || gap > worst {
                (worst, place) = (gap, Some(layer));
            }
        };
        for layer in 0..student.config().n_layers {
            let after_attention = at(layer, Site::ResidPre) + at(layer, Site::AttnOut);
            if !student.config().parallel {
                law(layer, at(layer, Site::ResidMid), &after_attention);
            }
            law(layer, at(layer, Site::ResidPost), &(after_attention + at(layer, Site::MlpOut)));
            if layer > 0 {
                law(layer, at(layer, Site::ResidPre), at(layer - 1, Site::ResidPost));
            }
        }
    }
    let block = place.map_or(String::new(), |layer| format!(", in block {layer}"));
    let measured =
        format!("what blocks add up to misses the stream by {} of its largest value{block}", brief(worst));
    let advice = "a hook point holds another tensor than its name says: do not read directions there; report the family";
    Finding::held(STREAM, worst, bounds.rounding, measured, advice)
}

/// Rows in other company give the same logits.
fn batch(student: &Student, rows: &[TokenRow], bounds: Bounds) -> Result<Finding> {
    let model = student.model();
    let (mut worst, mut same) = (0.0, true);
    let backwards: Vec<&TokenRow> = rows.iter().rev().collect();
    let (together, others) =
        (model.all_logits(&rows.iter().collect::<Vec<_>>())?, model.all_logits(&backwards)?);
    for (index, row) in rows.iter().enumerate() {
        let alone = &model.all_logits(&[row])?[0];
        for company in [&together[index], &others[rows.len() - 1 - index]] {
            same &= alone == company;
            worst = larger(worst, relative2(alone.view(), company.view()));
        }
    }
    let n = rows.len();
    let gap = if same {
        "the same bits".into()
    } else {
        format!("logits differ by {} of the largest", brief(worst))
    };
    let measured = format!("{n} rows alone, in one batch, and in it backwards: {gap}");
    let advice = "capture everything that will be compared with one `--batch-tokens`, or compute in f32";
    Ok(Finding::held(BATCH, worst, bounds.batch, measured, advice))
}

/// Rows padded to the longest give what they give alone. Attention is padded where patterns are watched.
fn padding(student: &Student, rows: &[TokenRow], bounds: Bounds) -> Result<Finding> {
    let watched: Vec<HookPoint> = (0..student.config().n_layers)
        .map(|layer| HookPoint::Block { layer, site: Site::Pattern })
        .filter(|point| student.config().has(*point))
        .collect();
    let Some(pattern) = watched.first() else {
        return Ok(Finding::said(PADDING, Verdict::Skipped, "no block has attention patterns".into(), ""));
    };
    let mut worst = 0.0;
    let mut unseen = 0;
    for (row, cache) in rows.iter().zip(student.run_with_hooks(rows, &watched, &[], true)?) {
        let alone = &student.model().all_logits(&[row])?[0];
        let padded = cache.logits.unwrap_or_else(|| Array2::zeros((0, 0)));
        worst = larger(worst, relative2(alone.view(), padded.view()));
        unseen += usize::from(cache.activations[pattern].shape()[1] != row.ids.len());
    }
    let lengths = || rows.iter().map(|row| row.ids.len());
    let (short, long) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
    let measured = format!(
        "rows of {short} to {long} tokens, padded and alone: logits differ by {} of the largest",
        brief(worst)
    );
    let value = if unseen > 0 { f64::NAN } else { worst };
    let advice = "padding reaches real tokens: do not watch scores or patterns in batches; report the family";
    Ok(Finding::held(PADDING, value, bounds.pass, measured, advice))
}

/// What comes later changes nothing before it.
fn causal(student: &Student, rows: &[TokenRow], bounds: Bounds) -> Result<Finding> {
    let mut worst = 0.0;
    for row in rows {
        let half = row.ids.len().div_ceil(2);
        let cut = TokenRow::from_ids(&row.id, row.ids[..half].to_vec());
        let (whole, cut) = (student.model().all_logits(&[row])?, student.model().all_logits(&[&cut])?);
        worst = larger(worst, relative2(whole[0].view().split_at(Axis(0), half).0, cut[0].view()));
    }
    let measured =
        format!("rows cut in half: logits before the cut differ by {} of the largest", brief(worst));
    let advice = "tokens see what comes after them: the model is not run as a causal one; report the family";
    Ok(Finding::held(CAUSAL, worst, bounds.batch, measured, advice))
}

/// Tokens drawn greedily with kept keys and values are those that a pass over the whole text would draw.
fn replay(student: &Student, rows: &[TokenRow], bounds: Bounds) -> Result<Finding> {
    // From behind the prompt: behind an answer there is nothing more to say.
    let prompt = |row: &TokenRow| {
        let end = row.response.as_ref().map_or(row.ids.len(), |response| response.start);
        TokenRow::from_ids(&row.id, row.ids[..end].to_vec())
    };
    let room = |row: &TokenRow| !row.ids.is_empty() && row.ids.len() + DRAWN <= student.config().n_ctx;
    let rows: Vec<TokenRow> = rows.iter().map(prompt).filter(room).collect();
    if rows.is_empty() {
        let measured = format!("no row leaves room for {DRAWN} tokens in the context");
        return Ok(Finding::said(REPLAY, Verdict::Skipped, measured, ""));
    }
    let options = GenerateOptions { max_new_tokens: DRAWN, ..GenerateOptions::default() };
    let (mut worst, mut n) = (0.0, 0);
    for (row, drawn) in rows.iter().zip(student.generate(&rows, &options)?) {
        let whole = TokenRow::from_ids(&row.id, [row.ids.as_slice(), &drawn.ids].concat());
        let logits = &student.model().all_logits(&[&whole])?[0];
        for (at, token) in drawn.ids.iter().enumerate() {
            let logits = logits.row(row.ids.len() - 1 + at);
            let (top, scale) = logits
                .iter()
                .fold((f32::NEG_INFINITY, 0.0_f32), |(top, scale), x| (top.max(*x), scale.max(x.abs())));
            let short = f64::from(top - logits[*token as usize]) / f64::from(scale);
            worst = larger(worst, short);
            n += 1;
        }
    }
    let measured = format!(
        "{n} greedy tokens, read again in one pass: at most {} of the largest logit below the likeliest",
        brief(worst)
    );
    let advice = "kept keys and values differ from a whole pass: capture replayed rollouts, not live ones; report the family";
    Ok(Finding::held(REPLAY, worst, bounds.pass, measured, advice))
}

/// The largest difference as a share of the largest value.
fn relative(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f64 {
    share(a.iter().zip(b))
}

fn relative2(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f64 {
    if a.dim() == b.dim() { share(a.iter().zip(b)) } else { f64::NAN }
}

fn share<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f64 {
    let (gap, scale) = pairs.fold((0.0, 0.0), |(gap, scale), (a, b)| {
        let (a, b) = (f64::from(*a), f64::from(*b));
        (larger(gap, (a - b).abs()), larger(scale, a.abs()))
    });
    if gap == 0.0 { 0.0 } else { gap / scale }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn differences_are_shares_of_the_largest_value() {
        let a = array![[1.0, -4.0], [0.0, 2.0]];
        let check = |b: Array2<f32>| relative2(a.view(), b.view());
        assert!((check(array![[1.0, -4.0], [1.0, 2.0]]) - 0.25).abs() < 1e-12);
        assert_eq!(check(a.clone()).to_bits(), 0.0_f64.to_bits());
        assert!(check(array![[1.0, -4.0]]).is_nan());
        assert!(check(array![[1.0, f32::NAN], [0.0, 2.0]]).is_nan());
    }
}
