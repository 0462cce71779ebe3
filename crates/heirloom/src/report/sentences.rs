//! Verdicts in sentences, from the rows of a run's table.

use std::fmt::Write as _;

use heirloom_probe::verdict::Role;
use heirloom_record::Metric;

use crate::origins::{hypothesis_words, named, origin_words};
use crate::stages::probe::SELECTION;
use crate::words::{self, number, percent};

/// Value and interval of a row.
pub(super) fn brackets(row: &Metric) -> String {
    match (row.value, row.low, row.high) {
        (Some(value), Some(low), Some(high)) => words::brackets(value, low, high),
        (Some(value), ..) => number(value),
        _ => "undefined".into(),
    }
}

/// What the arms say of where a behavior comes from; nothing where it was not asked.
pub(super) fn origin(metrics: &[Metric], behavior: &str, reference: &str) -> Option<String> {
    let of_rate = || metrics.iter().filter(|row| row.behavior == behavior && row.hook.is_none());
    let shares = |prefix: &str| -> Vec<(&str, f64)> {
        let own = of_rate().filter(|row| row.arm.is_none());
        let named = own.filter_map(|row| Some((row.metric.strip_prefix(prefix)?, row.value?)));
        named.collect()
    };
    let origins = shares("verdict_origin_");
    let hypotheses: Vec<(&str, f64)> =
        shares("verdict_").into_iter().filter(|(name, _)| !name.starts_with("origin_")).collect();
    if origins.is_empty() && hypotheses.is_empty() {
        return None;
    }
    let (origin, origin_share) = named(&origins, "undecided");
    let (hypothesis, share) = named(&hypotheses, "several-left");
    let mut said = format!(
        "{} (in {} of joint draws); {} ({}).",
        origin_words(origin),
        percent(origin_share),
        hypothesis_words(hypothesis),
        percent(share)
    );
    if hypothesis == "several-left" {
        let left = of_rate().filter(|row| row.metric == "verdict_compatible" && row.value > Some(0.5));
        let left: Vec<String> = left.filter_map(|row| Some(row.arm.as_ref()?.replace('-', " "))).collect();
        if !left.is_empty() {
            let _ = write!(said, " Left: {}.", left.join(", "));
        }
    }
    let effects: Vec<String> = [("teacher", "origin_teacher"), ("prompts", "origin_prompts")]
        .into_iter()
        .filter_map(|(part, metric)| {
            let row = of_rate().find(|row| row.metric == metric && row.value.is_some())?;
            Some(format!("of the {part} {}", brackets(row)))
        })
        .collect();
    if !effects.is_empty() {
        let interval = of_rate().find(|row| row.metric == "origin_teacher" || row.metric == "origin_prompts");
        let interval = interval.and_then(|row| row.interval.clone()).unwrap_or_default();
        let _ = write!(said, " Effect on the rate: {} ({interval}).", effects.join(", "));
    }
    let removed = |role: Role| {
        of_rate().find(|row| {
            row.metric == "share_removed" && row.arm.as_deref() == Some(role.name()) && row.value.is_some()
        })
    };
    let removes: Vec<String> = [(Role::SwapFlagged, "swapping"), (Role::DropFlagged, "dropping")]
        .into_iter()
        .filter_map(|(role, doing)| Some(format!("{doing} them {}", brackets(removed(role)?))))
        .collect();
    if !removes.is_empty() {
        let _ = write!(
            said,
            " Of what the other teacher takes away from `{reference}`, the flagged rows account for: {}.",
            removes.join(", ")
        );
    }
    Some(said)
}

/// How often a behavior is seen in an arm and in the base, where its origin was not asked.
pub(super) fn rate(metrics: &[Metric], behavior: &str, reference: &str) -> String {
    let last = |arm: &str| {
        let own = metrics.iter().filter(|row| {
            row.metric == "rate"
                && row.behavior == behavior
                && row.arm.as_deref() == Some(arm)
                && row.seed.is_none()
        });
        own.max_by_key(|row| row.step)
    };
    let said = last(reference).map(|row| {
        let interval = row.interval.as_deref().unwrap_or("no interval");
        format!("seen in {} of the answers of `{reference}` ({interval})", brackets(row))
    });
    let base = last("base").map(|row| format!("in {} of those of the base", brackets(row)));
    let said: Vec<String> = said.into_iter().chain(base).collect();
    if said.is_empty() { "no rate was measured.".into() } else { format!("{}.", said.join(", ")) }
}

/// How well a behavior is read, beside what that has to beat.
pub(super) fn auroc(metrics: &[Metric], behavior: &str, headline: &str) -> String {
    let of = |metric: &str, method: Option<&str>| {
        metrics.iter().find(|row| {
            let whole =
                row.scored_on.as_deref().is_none_or(|on| on != SELECTION && !on.starts_with("group:"));
            row.behavior == behavior && row.metric == metric && whole && row.method.as_deref() == method
        })
    };
    let Some(chosen) = of("auroc_at_chosen_layer", Some(headline)) else {
        return "no AUROC was measured.".into();
    };
    let hook = chosen.hook.map(|hook| hook.to_string()).unwrap_or_default();
    let interval = chosen.interval.as_deref().unwrap_or("no interval");
    let mut said = format!(
        "`{headline}` at `{hook}` reads it at AUROC {} on families of prompts it was not fit or chosen on ({interval}).",
        brackets(chosen)
    );
    let words = of("auroc_of_words", None).or_else(|| of("auroc_of_words", Some("logistic")));
    if let Some(words) = words {
        let _ = write!(said, " The words alone: {}.", brackets(words));
    }
    if let Some(gain) = of("auroc_gain_over_words", Some(headline)) {
        let _ = write!(said, " Its gain over them: {}.", brackets(gain));
    }
    let methods =
        metrics.iter().filter(|row| row.behavior == behavior && row.metric == "auroc_at_chosen_layer");
    let best = methods.max_by(|a, b| a.value.unwrap_or(0.0).total_cmp(&b.value.unwrap_or(0.0)));
    if let Some(best) = best.filter(|row| row.method.as_deref() != Some(headline)) {
        let method = best.method.as_deref().unwrap_or_default();
        let _ = write!(said, " The best of the other methods, `{method}`: {}.", brackets(best));
    }
    said
}
