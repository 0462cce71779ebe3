//! Activations → probes and their numbers: fit on one part of the groups, the hook point chosen on a second, the
//! choice scored once on a third.

use std::path::PathBuf;

use heirloom_probe::bootstrap::auroc_difference;
use heirloom_probe::control::{
    NullBand, direction_band, random_difference_directions, random_directions, selectivity,
};
use heirloom_probe::delong::DeLong;
use heirloom_probe::fragility::fragility;
use heirloom_probe::layer::{LayerChoice, choose_layer};
use heirloom_probe::logistic::sigmoid;
use heirloom_probe::score::{Reference, calibration, edges, histogram, positive_rate, tpr_at_fpr};
use heirloom_probe::{
    Dataset, FitOptions, Interval, Method, Probe, Resampling, Shares, Split, auroc_interval,
};
use heirloom_record::{Activations, Hasher, Histogram, HookPoint, Metric, NewFolder, RunFolder, Table};
use heirloom_rollout::Behavior;

use super::capture::Captured;
use crate::streams::stream;
use crate::{Progress, Result, Spec, activations};

/// Where a behavior's directions and tables lie.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    pub(crate) path: PathBuf,
    pub(crate) key: String,
}

/// Rows of the selection groups, as tables name them.
pub(crate) const SELECTION: &str = "selection groups";
/// Rows of the report groups, as tables name them.
pub(crate) const REPORT: &str = "report groups";
const FIT: &str = "fit groups";
const TOPIC: &str = "topic-only texts";
/// Bins of a score histogram.
const BINS: usize = 24;
/// The AUROC below which a probe counts as collapsed under noise.
const COLLAPSED: f64 = 0.75;

/// Fits and scores every method at every hook point of one behavior.
pub(crate) fn probe(
    spec: &Spec,
    run: &RunFolder,
    behavior: &Behavior,
    captured: &Captured,
    progress: &mut dyn Progress,
) -> Result<Probed> {
    let key = key(spec, behavior, captured);
    let path = run.artifact("probe", &behavior.name, &key);
    if path.exists() {
        progress.reuse("probe", &behavior.name);
        return Ok(Probed { path, key });
    }
    let folder = NewFolder::create(&path)?;
    let pairs = Activations::read(&captured.pairs.path)?;
    let topic = Activations::read(&captured.topic.path)?;
    let mut bench = Bench::new(spec, behavior, &pairs, &topic, captured)?;
    progress.begin("probe", &behavior.name, spec.probe.methods.len() as u64, "methods");
    for (index, name) in spec.probe.methods.iter().enumerate() {
        let method: Method = name.parse()?;
        let choice = bench.sweep(method)?;
        bench.report(&choice)?;
        let named = bench.hooks.iter().zip(&choice.hooks).map(|(hook, result)| (hook.0, &result.probe));
        let header = activations::direction_header(
            &pairs.header,
            &behavior.name,
            method.name(),
            &behavior.towards,
            &bench.split.fit_of(&bench.hooks[0].1)?,
        );
        let file = folder.work_path().join(format!("{}.safetensors", method.name()));
        activations::directions(header, named).write(&file)?;
        progress.advance(index as u64 + 1);
    }
    progress.end();
    Table(bench.metrics).write(&folder.work_path().join("table"))?;
    Table(bench.histograms).write(&folder.work_path().join("histograms"))?;
    folder.commit()?;
    Ok(Probed { path, key })
}

fn key(spec: &Spec, behavior: &Behavior, captured: &Captured) -> String {
    let settings = serde_json::json!({ "seed": spec.seed, "split": spec.split, "probe": spec.probe });
    Hasher::default()
        .part("stage", "probe 1")
        .part("settings", settings.to_string())
        .part("towards", &behavior.towards)
        .part("pairs", &captured.pairs.key)
        .part("topic", &captured.topic.key)
        .finish()
}

/// The split of a behavior's groups; the same for every hook point and method.
pub(crate) fn split(spec: &Spec, behavior: &str, data: &Dataset) -> Result<Split> {
    let shares = Shares {
        fit: spec.split.fit as f64,
        select: spec.split.select as f64,
        report: spec.split.report as f64,
    };
    Ok(Split::by_group(data, shares, &stream(spec.seed, &format!("split {behavior}")))?)
}

/// Every hook point's rows, in the store's order.
pub(crate) fn datasets(store: &Activations, path: &std::path::Path) -> Result<Vec<(HookPoint, Dataset)>> {
    store.tensors.keys().map(|&hook| Ok((hook, activations::dataset(store, hook, &[], path)?))).collect()
}

/// One behavior's data on the bench, with the rows measured so far.
struct Bench<'a> {
    spec: &'a Spec,
    behavior: &'a str,
    arm: String,
    hooks: Vec<(HookPoint, Dataset)>,
    /// Tokens of each row that were read, for the length baseline.
    lengths: Vec<f64>,
    topic: &'a Activations,
    split: Split,
    options: FitOptions,
    resampling: Resampling,
    metrics: Vec<Metric>,
    histograms: Vec<Histogram>,
}

impl<'a> Bench<'a> {
    fn new(
        spec: &'a Spec,
        behavior: &'a Behavior,
        pairs: &Activations,
        topic: &'a Activations,
        captured: &Captured,
    ) -> Result<Self> {
        let hooks = datasets(pairs, &captured.pairs.path)?;
        let split = split(spec, &behavior.name, &hooks[0].1)?;
        let lengths = pairs.rows.iter().map(|row| (row.positions.1 - row.positions.0) as f64).collect();
        let mut bench = Self {
            spec,
            behavior: &behavior.name,
            arm: pairs.header.model.clone(),
            hooks,
            lengths,
            topic,
            split,
            options: FitOptions::default(),
            resampling: Resampling { replicates: spec.probe.bootstrap, ..Resampling::default() },
            metrics: vec![],
            histograms: vec![],
        };
        bench.baselines()?;
        Ok(bench)
    }

    /// What a probe must beat: the number of tokens read.
    fn baselines(&mut self) -> Result<()> {
        let report = self.split.report_of(&self.hooks[0].1)?;
        let lengths: Vec<f64> = self.split.report.iter().map(|&row| self.lengths[row]).collect();
        let interval = self.interval(&lengths, &report)?;
        let row =
            Metric { hook: None, method: None, fit_on: None, ..self.row("auroc_length_baseline", REPORT) };
        self.metrics.push(measured(row, &interval));
        Ok(())
    }

    /// Fits `method` at every hook point and chooses one.
    fn sweep(&mut self, method: Method) -> Result<LayerChoice> {
        let names: Vec<String> = self.hooks.iter().map(|(hook, _)| hook.to_string()).collect();
        let named: Vec<(&str, &Dataset)> =
            names.iter().map(String::as_str).zip(self.hooks.iter().map(|(_, data)| data)).collect();
        let bootstrap = stream(self.spec.seed, "bootstrap");
        let choice = choose_layer(&named, &self.split, method, &self.options, self.resampling, &bootstrap)?;
        for (index, result) in choice.hooks.iter().enumerate() {
            let row = self.at(index, method, "auroc", SELECTION);
            self.metrics.push(measured(row, &result.selection));
            if method.name() == self.spec.probe.headline {
                self.nulls(index, &result.probe, SELECTION)?;
            }
        }
        Ok(choice)
    }

    /// Everything that is said of the chosen hook point, from rows that had no say in choosing it.
    fn report(&mut self, choice: &LayerChoice) -> Result<()> {
        let chosen = choice.chosen;
        let probe = &choice.best().probe;
        let method = probe.method;
        let report = self.split.report_of(&self.hooks[chosen].1)?;
        let scores = probe.score(report.x())?;
        let searched = i64::try_from(choice.searched).ok();

        let row = self.at(chosen, method, "auroc_at_chosen_layer", REPORT);
        self.metrics.push(measured(row, &choice.report));
        let row = self.at(chosen, method, "hooks_searched", SELECTION);
        self.metrics.push(Metric { value: Some(choice.searched as f64), n: searched, ..row });
        let delong = DeLong::clustered(&scores, report.labels(), report.clusters())?;
        let row = self.at(chosen, method, "auroc_delong", REPORT);
        self.metrics.push(measured(row, &delong.interval(self.resampling.level)?));
        let row = self.at(chosen, method, "tpr_at_1pct_fpr", REPORT);
        self.metrics
            .push(measured(row, &tpr_at_fpr(&scores, report.labels(), 0.01, self.resampling.level)?.tpr));
        if method == Method::Logistic {
            let probabilities: Vec<f64> = scores.iter().map(|score| sigmoid(*score)).collect();
            let row = self.at(chosen, method, "expected_calibration_error", REPORT);
            let error = calibration(&probabilities, report.labels(), 10)?.error;
            self.metrics.push(Metric { value: Some(error), n: count(report.n_rows()), ..row });
        }
        let noise = fragility(probe, &report, COLLAPSED)?;
        let row = self.at(chosen, method, "fragility", REPORT);
        self.metrics.push(Metric { value: Some(noise.sigma), n: count(report.n_rows()), ..row });

        let (hook, _) = self.hooks[chosen];
        let topic = probe.score(self.topic.tensors[&hook].view())?;
        let row = self.at(chosen, method, "positive_rate", TOPIC);
        self.metrics.push(measured(row, &positive_rate(&topic, 0.0, self.resampling.level)?));
        for (label, metric) in [(true, "true_positive_rate"), (false, "false_positive_rate")] {
            let of_label: Vec<f64> =
                scores.iter().zip(report.labels()).filter(|(_, l)| **l == label).map(|(s, _)| *s).collect();
            let row = self.at(chosen, method, metric, REPORT);
            self.metrics.push(measured(row, &positive_rate(&of_label, 0.0, self.resampling.level)?));
        }
        self.beside_words(choice, &scores)?;
        self.nulls(chosen, probe, REPORT)?;
        if method.name() == self.spec.probe.headline {
            self.draw_histograms(hook, probe, &report, &topic)?;
        }
        Ok(())
    }

    /// The same method on the mean token embedding: what words alone carry, without any block.
    fn beside_words(&mut self, choice: &LayerChoice, chosen: &[f64]) -> Result<()> {
        let Some(words) = self.hooks.iter().position(|(hook, _)| *hook == HookPoint::Embed) else {
            return Ok(());
        };
        let probe = &choice.hooks[words].probe;
        let report = self.split.report_of(&self.hooks[words].1)?;
        let scores = probe.score(report.x())?;
        let row = self.at(words, probe.method, "auroc_of_words", REPORT);
        self.metrics.push(measured(row, &self.interval(&scores, &report)?));
        let rng = stream(self.spec.seed, "bootstrap");
        let gain =
            auroc_difference(chosen, &scores, report.labels(), report.clusters(), self.resampling, &rng)?;
        let row = self.at(choice.chosen, probe.method, "auroc_gain_over_words", REPORT);
        self.metrics.push(measured(row, &gain));
        Ok(())
    }

    /// Where AUROCs lie when there is nothing to find.
    fn nulls(&mut self, index: usize, probe: &Probe, scored_on: &'static str) -> Result<()> {
        let data = &self.hooks[index].1;
        let fit = self.split.fit_of(data)?;
        let scored =
            if scored_on == REPORT { self.split.report_of(data)? } else { self.split.select_of(data)? };
        let draws = self.spec.probe.null_draws;
        let named = |name: &str| stream(self.spec.seed, name);
        let random = random_directions(data.d_model(), draws, &named("random directions"));
        let differences = random_difference_directions(fit.x(), draws, &named("random differences"))?;
        let shuffled = selectivity(probe, &fit, &scored, &self.options, draws, &named("shuffled labels"))?;
        let bands = [
            ("auroc_null_random_direction", direction_band(random.view(), &fit, &scored)?),
            ("auroc_null_random_difference", direction_band(differences.view(), &fit, &scored)?),
            ("auroc_null_shuffled_labels", shuffled.control),
        ];
        for (metric, band) in &bands {
            let row = self.at(index, probe.method, metric, scored_on);
            self.metrics.push(quantiles(row, band));
        }
        let row = self.at(index, probe.method, "selectivity", scored_on);
        self.metrics.push(Metric { value: Some(shuffled.selectivity), n: count(draws), ..row });
        Ok(())
    }

    fn draw_histograms(
        &mut self,
        hook: HookPoint,
        probe: &Probe,
        report: &Dataset,
        topic: &[f64],
    ) -> Result<()> {
        let data = self.hooks.iter().find(|(found, _)| *found == hook).map(|(_, data)| data);
        let fit = self.split.fit_of(data.expect("the hook was chosen among these"))?;
        let reference = Reference::of(&probe.score(fit.x())?, fit.labels())?;
        let scores = reference.units(&probe.score(report.x())?);
        let topic = reference.units(topic);
        let of = |label: bool| -> Vec<f64> {
            scores.iter().zip(report.labels()).filter(|(_, l)| **l == label).map(|(s, _)| *s).collect()
        };
        let sets = [("positive", of(true)), ("negative", of(false)), ("topic-only", topic)];
        let edges =
            edges(&sets.iter().flat_map(|(_, scores)| scores.iter().copied()).collect::<Vec<_>>(), BINS)?;
        let threshold = reference.units(&[0.0])[0];
        for (rows, scores) in &sets {
            let counted = histogram(scores, &edges)?;
            for (edge, inside) in edges.windows(2).zip(&counted.counts) {
                self.histograms.push(Histogram {
                    behavior: self.behavior.into(),
                    hook,
                    method: probe.method.name().into(),
                    rows: (*rows).into(),
                    low: edge[0],
                    high: edge[1],
                    count: count(*inside).unwrap_or_default(),
                    n: count(scores.len()).unwrap_or_default(),
                    threshold,
                });
            }
        }
        Ok(())
    }

    fn interval(&self, scores: &[f64], data: &Dataset) -> Result<Interval> {
        let rng = stream(self.spec.seed, "bootstrap");
        Ok(auroc_interval(scores, data.labels(), data.clusters(), self.resampling, &rng)?)
    }

    fn at(&self, index: usize, method: Method, metric: &str, scored_on: &str) -> Metric {
        let hook = Some(self.hooks[index].0);
        Metric { hook, method: Some(method.name().into()), ..self.row(metric, scored_on) }
    }

    fn row(&self, metric: &str, scored_on: &str) -> Metric {
        Metric {
            behavior: self.behavior.into(),
            arm: Some(self.arm.clone()),
            seed: i64::try_from(self.spec.seed).ok(),
            fit_on: Some(FIT.into()),
            scored_on: Some(scored_on.into()),
            metric: metric.into(),
            ..Metric::default()
        }
    }
}

/// The row with an interval's numbers.
pub(crate) fn measured(row: Metric, interval: &Interval) -> Metric {
    Metric {
        value: Some(interval.value),
        low: Some(interval.low),
        high: Some(interval.high),
        n: count(interval.units()),
        interval: Some(interval.describe("pairs")),
        ..row
    }
}

fn quantiles(row: Metric, band: &NullBand) -> Metric {
    Metric {
        value: Some(band.median),
        low: Some(band.low),
        high: Some(band.high),
        n: count(band.values.len()),
        interval: Some("2.5 % and 97.5 % quantiles over draws".into()),
        ..row
    }
}

fn count(n: usize) -> Option<i64> {
    i64::try_from(n).ok()
}
