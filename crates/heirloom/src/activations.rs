//! From an activation store to what a probe is fit on.

use std::path::Path;

use heirloom_model::{CaptureOptions, CapturePlan, Student, TokenRow};
use heirloom_probe::{Dataset, Probe};
use heirloom_record::{ActivationHeader, Activations, Direction, DirectionHeader, Directions, HookPoint};

use crate::{Error, Result};

/// The rows of `store` at `hook` whose group is among `groups` (all when empty), labelled and clustered by pair.
///
/// `path` names the store in errors.
///
/// # Errors
/// A row lacks a label or group; the store lacks the hook point; a class is missing.
pub fn dataset(store: &Activations, hook: HookPoint, groups: &[String], path: &Path) -> Result<Dataset> {
    let absent = || heirloom_record::Error::MissingHook { path: path.into(), hook: hook.to_string() };
    let tensor = store.tensors.get(&hook).ok_or_else(absent)?;
    let (mut kept, mut labels, mut pairs, mut families) = (vec![], vec![], vec![], vec![]);
    for (index, row) in store.rows.iter().enumerate() {
        let lacking = |field| Error::Unlabelled { store: path.into(), row: row.id.clone(), field };
        let group = row.group.as_ref().ok_or_else(|| lacking("group"))?;
        if groups.is_empty() || groups.contains(group) {
            kept.push(index);
            labels.push(row.label.ok_or_else(|| lacking("label"))?);
            pairs.push(row.pair.as_ref().unwrap_or(&row.id));
            families.push(group);
        }
    }
    let x = tensor.select(ndarray::Axis(0), &kept);
    Ok(Dataset::new(x, labels, &pairs, &families)?)
}

/// A fitted probe as it is written to disk.
pub fn direction(probe: &Probe) -> Direction {
    Direction {
        vector: probe.direction.mapv(narrow),
        scale: probe.scale,
        intercept: probe.intercept,
        threshold: 0.0,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "vectors are stored as f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// The groups that occur in a store, sorted.
pub fn groups(store: &Activations) -> Vec<String> {
    let found: std::collections::BTreeSet<&String> =
        store.rows.iter().filter_map(|row| row.group.as_ref()).collect();
    found.into_iter().cloned().collect()
}

/// Checks that `directions` were fit on the model of this name and hash.
///
/// # Errors
/// Names both models.
pub fn check_model(directions: &DirectionHeader, model: &str, sha256: &str) -> Result<()> {
    if directions.model_sha256 == sha256 {
        return Ok(());
    }
    let named = |name: &str, sha256: &str| format!("{name} ({})", sha256.get(..12).unwrap_or(sha256));
    let expected = named(&directions.model, &directions.model_sha256);
    Err(Error::Foreign { field: "model", expected, found: named(model, sha256) })
}

/// The hook point of `directions` that is meant: the one asked for, or else the one that was chosen, or the only one.
///
/// # Errors
/// There are several and none is meant, or the one asked for is not there; `path` names the file.
pub fn meant_hook(directions: &Directions, asked: Option<HookPoint>, path: &Path) -> Result<HookPoint> {
    let known: Vec<HookPoint> = directions.by_hook.keys().copied().collect();
    let one = match known.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let names = || known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match asked.or(directions.header.chosen_hook).or(one) {
        Some(hook) if directions.by_hook.contains_key(&hook) => Ok(hook),
        found => Err(Error::Setting {
            key: "--hook",
            expected: format!("one that `{}` has: {}", path.display(), names()),
            found: found.map_or("nothing".into(), |hook| hook.to_string()),
        }),
    }
}

/// Checks that `directions` may be scored on a store: same model, same readout, other groups
/// than they were fit on or their hook point was chosen on.
///
/// # Errors
/// Names what differs; with `held_in` groups may be shared.
pub fn check_foreign(
    directions: &DirectionHeader,
    store: &ActivationHeader,
    scored: &[String],
    held_in: bool,
) -> Result<()> {
    let foreign = |field, expected, found| Err(Error::Foreign { field, expected, found });
    check_model(directions, &store.model, &store.model_sha256)?;
    if directions.readout != store.readout {
        return foreign("readout", directions.readout.to_string(), store.readout.to_string());
    }
    let shared = |groups: &[String]| -> Vec<String> {
        groups.iter().filter(|group| scored.contains(group)).cloned().collect()
    };
    let (fitted, chosen) = (shared(&directions.fit_groups), shared(&directions.select_groups));
    if held_in || (fitted.is_empty() && chosen.is_empty()) {
        Ok(())
    } else {
        Err(Error::HeldIn { fitted, chosen })
    }
}

/// Header of directions fit on `store`.
pub fn direction_header(
    store: &ActivationHeader,
    behavior: &str,
    method: &str,
    towards: &str,
    fit_on: &Dataset,
) -> DirectionHeader {
    let groups = fit_on.present_group_names();
    DirectionHeader {
        behavior: behavior.into(),
        method: method.into(),
        towards: towards.into(),
        model: store.model.clone(),
        model_sha256: store.model_sha256.clone(),
        readout: store.readout.clone(),
        fit_on: format!(
            "{} rows, {} pairs, {} groups",
            fit_on.n_rows(),
            fit_on.present_clusters().len(),
            groups.len()
        ),
        fit_groups: groups,
        n: fit_on.n_rows(),
        select_groups: vec![],
        report_groups: vec![],
        chosen_hook: None,
    }
}

/// Directions of several hook points under one header.
pub fn directions<'a>(
    header: DirectionHeader,
    probes: impl IntoIterator<Item = (HookPoint, &'a Probe)>,
) -> Directions {
    Directions { header, by_hook: probes.into_iter().map(|(hook, probe)| (hook, direction(probe))).collect() }
}

/// Captures data rows in one call; what `heirloom capture` does once its flags are read. Batches of so many tokens may
/// shrink where the device has no memory for them, or not: those that are compared may not.
pub fn capture(
    student: &Student,
    rows: &[heirloom_record::DataRow],
    plan: &CapturePlan,
    (max_tokens, may_shrink): (usize, bool),
    progress: &mut dyn crate::Progress,
    about: &str,
) -> Result<Activations> {
    capture_rows(student, &student.prepare(rows)?, plan, (max_tokens, may_shrink), progress, about)
}

/// [`capture`] of rows that are tokenized, in batches of so many tokens, which may shrink or not.
pub fn capture_rows(
    student: &Student,
    rows: &[TokenRow],
    plan: &CapturePlan,
    (max_tokens, may_shrink): (usize, bool),
    progress: &mut dyn crate::Progress,
    about: &str,
) -> Result<Activations> {
    for row in rows {
        row.read(plan.readout())?;
    }
    let tokens: usize = rows.iter().map(|row| row.ids.len()).sum();
    progress.begin("capture", about, tokens as u64, "tokens");
    let mut advance = |done: heirloom_model::Progress| progress.advance(done.tokens as u64);
    let mut options =
        CaptureOptions { max_tokens, may_shrink, interventions: &[], progress: Some(&mut advance) };
    let captured = student.capture(rows, plan, &mut options);
    progress.end();
    Ok(captured?)
}
