//! Tables → pictures, each with its caption beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use heirloom_figure::{
    Between, Figure, HistogramSpec, LayerSweepSpec, TransferSpec, histograms, layer_sweep, transfer,
};
use heirloom_record::{Histogram, HookPoint, Metric, Site, write_file};

use crate::{Result, Spec};

/// What every interval of an experiment leaves out.
const GIVEN: &str = "Intervals hold for these families of prompts and this fit; the spread over random splits of the \
                     families is in the table as `auroc_over_splits`";

/// Draws every figure of an experiment into `folder`; returns their paths without extension.
pub(crate) fn draw(
    spec: &Spec,
    metrics: &[Metric],
    bins: &[Histogram],
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let method = &spec.probe.headline;
    let matrix = |between: Between| -> Result<Figure> {
        let diagonal = match between {
            Between::Groups { .. } => {
                "The diagonal is cross-validated over pairs, within five folds of the group"
            }
            Between::Behaviors => {
                "Every cell is fit on the row's fit groups and scored on the column's report groups"
            }
        };
        let spec = TransferSpec { method: method.clone(), ..TransferSpec::new(between) };
        let mut figure = transfer(metrics, &spec)?;
        figure.caption.notes.push(diagonal.into());
        Ok(figure)
    };
    let mut figures = vec![];
    for site in sites(metrics) {
        let sweep = LayerSweepSpec { headline: method.clone(), site, ..LayerSweepSpec::default() };
        let mut figure = layer_sweep(metrics, &sweep)?;
        figure.caption.notes.extend(searched(metrics, method));
        figure.caption.notes.push(GIVEN.into());
        let name = match site {
            Site::ResidPost => "auroc-by-layer".to_owned(),
            site => format!("auroc-by-layer-{}", site.name().replace('.', "-")),
        };
        figures.push((name, figure));
    }
    let scores = HistogramSpec { method: method.clone(), ..HistogramSpec::default() };
    figures.push(("score-histograms".to_owned(), histograms(bins, &scores)?));
    let behaviors: BTreeSet<&String> = metrics.iter().map(|row| &row.behavior).collect();
    for behavior in behaviors {
        let between = Between::Groups { behavior: behavior.clone() };
        figures.push((format!("transfer-groups-{behavior}"), matrix(between)?));
    }
    figures.push(("transfer-behaviors".to_owned(), matrix(Between::Behaviors)?));
    figures.into_iter().map(|(name, figure)| write(folder, &name, &figure)).collect()
}

/// The places inside a block that were swept.
fn sites(metrics: &[Metric]) -> BTreeSet<Site> {
    let swept = metrics.iter().filter(|row| row.metric == "auroc").filter_map(|row| row.hook);
    swept
        .filter_map(|hook| match hook {
            HookPoint::Block { site, .. } => Some(site),
            HookPoint::Embed | HookPoint::PosEmbed | HookPoint::LnFinalNormalized => None,
        })
        .collect()
}

/// How many hook points the choice was made among.
fn searched(metrics: &[Metric], method: &str) -> Option<String> {
    let row =
        metrics.iter().find(|row| row.metric == "hooks_searched" && row.method.as_deref() == Some(method))?;
    Some(format!("Chosen among {} hook points, the embedding included where it was captured", row.n?))
}

pub(crate) fn write(folder: &Path, name: &str, figure: &Figure) -> Result<PathBuf> {
    let stem = folder.join(name);
    figure.picture.write(&stem)?;
    write_file(&folder.join(format!("{name}.txt")), format!("{}\n", figure.caption).as_bytes())?;
    Ok(stem)
}
