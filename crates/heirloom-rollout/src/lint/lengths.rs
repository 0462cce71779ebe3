//! Positive and negative answers of like length, so that a probe cannot count tokens.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::lint::{Finding, Limits, Unit};
use crate::words::{joined, words};
use crate::{Behavior, ContrastPair};

/// Lengths of answers: positive, negative.
type Sides = (Vec<usize>, Vec<usize>);

pub(super) fn lengths(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    [Unit::Characters, Unit::Words].iter().flat_map(|unit| in_unit(behavior, *unit, limits)).collect()
}

fn in_unit(behavior: &Behavior, unit: Unit, limits: &Limits) -> Vec<Finding> {
    let all = sides(&behavior.pairs, unit);
    let mut groups: BTreeMap<&str, Sides> = BTreeMap::new();
    for (index, pair) in behavior.pairs.iter().enumerate() {
        let group = groups.entry(&pair.group).or_default();
        group.0.push(all.0[index]);
        group.1.push(all.1[index]);
    }
    let auroc = auroc(&all.0, &all.1).filter(|auroc| (auroc - 0.5).abs() > limits.length_auroc);
    let groups = groups.into_iter().map(|(group, sides)| (Some(group.to_owned()), sides));
    let ratios = std::iter::once((None, all)).chain(groups).filter_map(|(group, sides)| {
        let limit = if group.is_some() { limits.group_length } else { limits.length };
        let ratio = mean(&sides.0)? / mean(&sides.1)?;
        ((ratio - 1.0).abs() > limit).then_some(Finding::LengthRatio { group, unit, ratio })
    });
    ratios.chain(auroc.map(|auroc| Finding::LengthSeparates { unit, auroc })).collect()
}

/// Lengths of all answers in the pairs' order.
pub(crate) fn sides(pairs: &[ContrastPair], unit: Unit) -> Sides {
    let length = |messages| {
        let text = joined(messages);
        match unit {
            Unit::Characters => text.chars().count(),
            Unit::Words => words(&text).len(),
        }
    };
    pairs.iter().map(|pair| (length(&pair.positive), length(&pair.negative))).unzip()
}

/// The chance that a positive is longer than a negative, ties counting half; `None` without both.
///
/// # Source
/// Mann and Whitney (1947): U over the number of pairs.
pub(crate) fn auroc(positives: &[usize], negatives: &[usize]) -> Option<f64> {
    let twice: usize = positives
        .iter()
        .flat_map(|positive| negatives.iter().map(move |negative| positive.cmp(negative)))
        .map(|order| match order {
            Ordering::Greater => 2,
            Ordering::Equal => 1,
            Ordering::Less => 0,
        })
        .sum();
    let pairs = positives.len() * negatives.len();
    (pairs > 0).then(|| twice as f64 / (2 * pairs) as f64)
}

/// `None` of nothing.
pub(crate) fn mean(counts: &[usize]) -> Option<f64> {
    (!counts.is_empty()).then(|| counts.iter().sum::<usize>() as f64 / counts.len() as f64)
}
