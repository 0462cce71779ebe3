//! Tables → pictures, each with its caption beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use heirloom_figure::{
    Between, Figure, HistogramSpec, LayerSweepSpec, TransferSpec, histograms, layer_sweep, transfer,
};
use heirloom_record::{Histogram, Metric, write_file};

use crate::{Result, Spec};

/// Draws every figure of an experiment into `folder`; returns their paths without extension.
pub(crate) fn draw(
    spec: &Spec,
    metrics: &[Metric],
    bins: &[Histogram],
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let headline = spec.probe.headline.clone();
    let sweep = LayerSweepSpec { headline: headline.clone(), ..LayerSweepSpec::default() };
    let scores = HistogramSpec { method: headline.clone(), ..HistogramSpec::default() };
    let matrix =
        |between| transfer(metrics, &TransferSpec { method: headline.clone(), ..TransferSpec::new(between) });
    let mut figures = vec![
        ("auroc-by-layer".to_owned(), layer_sweep(metrics, &sweep)?),
        ("score-histograms".to_owned(), histograms(bins, &scores)?),
    ];
    let behaviors: BTreeSet<&String> = metrics.iter().map(|row| &row.behavior).collect();
    for behavior in behaviors {
        let between = Between::Groups { behavior: behavior.clone() };
        figures.push((format!("transfer-groups-{behavior}"), matrix(between)?));
    }
    figures.push(("transfer-behaviors".to_owned(), matrix(Between::Behaviors)?));
    figures.into_iter().map(|(name, figure)| write(folder, &name, &figure)).collect()
}

fn write(folder: &Path, name: &str, figure: &Figure) -> Result<PathBuf> {
    let stem = folder.join(name);
    figure.picture.write(&stem)?;
    write_file(&stem.with_extension("txt"), format!("{}\n", figure.caption).as_bytes())?;
    Ok(stem)
}
