//! Probes between groups and between behaviors, at one hook point for all.

use heirloom_probe::transfer::{BehaviorData, TransferMatrix, between_behaviors, between_groups};
use heirloom_probe::{Dataset, FitOptions, Method, Resampling, Split};
use heirloom_record::{Activations, Hasher, HookPoint, Metric, NewFolder, RunFolder, Table};
use heirloom_rollout::Behavior;

use super::capture::Captured;
use super::probe::{Probed, SELECTION, arm, split};
use crate::rows::measured;
use crate::streams::stream;
use crate::{Progress, Result, Spec, activations};

/// One behavior with what came before.
pub(crate) struct Ready<'a> {
    pub(crate) behavior: &'a Behavior,
    pub(crate) captured: Captured,
    pub(crate) probed: Probed,
}

/// AUROC of every fit–score combination of groups within a behavior, and of behaviors.
pub(crate) fn transfer(
    spec: &Spec,
    run: &RunFolder,
    ready: &[Ready<'_>],
    progress: &mut dyn Progress,
) -> Result<std::path::PathBuf> {
    let path = run.artifact("transfer", &spec.probe.headline, &key(ready));
    if path.exists() {
        progress.reuse("transfer", &spec.probe.headline);
        return Ok(path);
    }
    let folder = NewFolder::create(&path)?;
    let method: Method = spec.probe.headline.parse()?;
    progress.begin("transfer", &spec.probe.headline, ready.len() as u64 + 1, "matrices");
    let hook = common_hook(spec, ready)?;
    let resampling = Resampling { replicates: spec.probe.bootstrap, ..Resampling::default() };
    let (options, rng) = (FitOptions::default(), stream(spec.seed, "bootstrap"));
    let mut metrics = vec![];
    let mut parts: Vec<(String, Dataset, Split)> = vec![];
    for (index, Ready { behavior, captured, .. }) in ready.iter().enumerate() {
        let store = Activations::read_hook(&captured.pairs.path, hook)?;
        let data = activations::dataset(&store, hook, &[], &captured.pairs.path)?;
        let matrix = between_groups(&data, method, &options, resampling, &rng)?;
        let row = Metric {
            behavior: behavior.name.clone(),
            arm: Some(arm(spec)),
            seed: i64::try_from(spec.seed).ok(),
            hook: Some(hook),
            method: Some(method.name().into()),
            metric: "transfer_auroc".into(),
            ..Metric::default()
        };
        metrics.extend(cells(&row, "group", &matrix, &|_| behavior.name.clone()));
        let split = split(spec, &behavior.name, &data)?;
        parts.push((behavior.name.clone(), data, split));
        progress.advance(index as u64 + 1);
    }
    let halves: Vec<(Dataset, Dataset)> = parts
        .iter()
        .map(|(_, data, split)| Ok((split.fit_of(data)?, split.report_of(data)?)))
        .collect::<Result<_>>()?;
    let named: Vec<BehaviorData<'_>> = parts
        .iter()
        .zip(&halves)
        .map(|((name, ..), (fit, report))| BehaviorData { name, fit, report })
        .collect();
    let matrix = between_behaviors(&named, method, &options, resampling, &rng)?;
    let row = metrics.first().cloned().unwrap_or_default();
    metrics.extend(cells(&row, "behavior", &matrix, &|fit| matrix.names[fit].clone()));
    progress.end();
    Table(metrics).write(&folder.work_path().join("table"))?;
    folder.commit()?;
    Ok(path)
}

pub(crate) fn key(ready: &[Ready<'_>]) -> String {
    let keys = ready.iter().map(|ready| ready.probed.key.as_str()).collect::<Vec<_>>().join(" ");
    Hasher::default().part("stage", "transfer 1").part("probes", keys).finish()
}

/// The hook point whose headline AUROC, averaged over behaviors, is best on the selection groups.
fn common_hook(spec: &Spec, ready: &[Ready<'_>]) -> Result<HookPoint> {
    let mut sums: std::collections::BTreeMap<HookPoint, f64> = std::collections::BTreeMap::new();
    for Ready { probed, .. } in ready {
        for row in Table::<Metric>::read(&probed.path.join("table"))?.0 {
            let wanted = row.metric == "auroc"
                && row.method.as_deref() == Some(spec.probe.headline.as_str())
                && row.scored_on.as_deref() == Some(SELECTION);
            if let (true, Some(hook), Some(value)) = (wanted, row.hook, row.value) {
                *sums.entry(hook).or_default() += value;
            }
        }
    }
    // The earliest of equals, as in the sweep of one behavior.
    let best = sums.iter().fold(None, |best: Option<(HookPoint, f64)>, (&hook, &sum)| match best {
        Some((_, most)) if sum <= most => best,
        _ => Some((hook, sum)),
    });
    Ok(best.expect("every probed behavior has a sweep").0)
}

fn cells<'a>(
    row: &'a Metric,
    kind: &'a str,
    matrix: &'a TransferMatrix,
    behavior: &'a dyn Fn(usize) -> String,
) -> impl Iterator<Item = Metric> + 'a {
    matrix.cells.indexed_iter().map(move |((fit, scored), cell)| {
        let named = |index: usize| Some(format!("{kind}:{}", matrix.names[index]));
        let row =
            Metric { behavior: behavior(fit), fit_on: named(fit), scored_on: named(scored), ..row.clone() };
        measured(row, cell)
    })
}
