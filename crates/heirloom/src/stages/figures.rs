//! Tables → what is drawn of them.

use std::collections::BTreeSet;

use heirloom_figure::{Between, Drawing, FigureSpec, HistogramSpec, LayerSweepSpec, TransferSpec};
use heirloom_record::{HookPoint, Metric, Site};

use crate::Spec;

/// What every interval of an experiment leaves out.
const GIVEN: &str = "Intervals hold for these families of prompts and this fit; the spread over random splits of the \
                     families is in the table as `auroc_over_splits`";

/// Every figure of an experiment.
pub(crate) fn drawings(spec: &Spec, metrics: &[Metric]) -> Vec<Drawing> {
    let method = &spec.probe.headline;
    let matrix = |name: String, between: Between| {
        let diagonal = match between {
            Between::Groups { .. } => {
                "The diagonal is cross-validated over pairs, within five folds of the group"
            }
            Between::Behaviors => {
                "Every cell is fit on the row's fit groups and scored on the column's report groups"
            }
        };
        let spec = TransferSpec { method: method.clone(), ..TransferSpec::new(between) };
        Drawing::new(name, FigureSpec::Transfer(spec)).noting([diagonal.to_owned()])
    };
    let mut drawings = vec![];
    for site in sites(metrics) {
        let sweep = LayerSweepSpec { headline: method.clone(), site, ..LayerSweepSpec::default() };
        let name = match site {
            Site::ResidPost => "auroc-by-layer".to_owned(),
            site => format!("auroc-by-layer-{}", site.name().replace('.', "-")),
        };
        let notes = searched(metrics, method).into_iter().chain([GIVEN.to_owned()]);
        drawings.push(Drawing::new(name, FigureSpec::LayerSweep(sweep)).noting(notes));
    }
    let scores = HistogramSpec { method: method.clone(), ..HistogramSpec::default() };
    drawings.push(Drawing::new("score-histograms", FigureSpec::Histograms(scores)));
    let behaviors: BTreeSet<&String> = metrics.iter().map(|row| &row.behavior).collect();
    for behavior in behaviors {
        let between = Between::Groups { behavior: behavior.clone() };
        drawings.push(matrix(format!("transfer-groups-{behavior}"), between));
    }
    drawings.push(matrix("transfer-behaviors".into(), Between::Behaviors));
    drawings
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
