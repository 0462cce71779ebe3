//! Activations → probes and their numbers: fit on one part of the groups, the hook point chosen on a second, the
//! choice scored on a third, which had no say in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use heirloom_probe::bootstrap::{auroc_difference, tpr_at_fpr_interval};
use heirloom_probe::control::{
    NullBand, calibration_band, direction_band, random_differences_within, random_directions, selectivity,
};
use heirloom_probe::delong::DeLong;
use heirloom_probe::fragility::fragility;
use heirloom_probe::layer::{LayerChoice, choose_layer, over_splits};
use heirloom_probe::logistic::sigmoid;
use heirloom_probe::score::{
    Reference, auroc, calibration, edges, histogram, pair_win_rate, positive_rate, tpr_at_fpr,
};
use heirloom_probe::{
    Dataset, FitOptions, Interval, Method, Probe, Resampling, Shares, Split, auroc_interval, fit,
};
use heirloom_record::{
    ActivationHeader, Activations, DirectionHeader, Hasher, Histogram, HookPoint, Metric, NewFolder,
    RunFolder, Table,
};
use heirloom_rollout::Behavior;

use super::capture::Captured;
use crate::rows::{count, measured, quantiles};
use crate::streams::stream;
use crate::{Progress, Result, Spec, SplitSpec, activations};

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
/// Random splits behind `auroc_over_splits`, and draws behind the calibration band.
const SPLITS: usize = 100;
const CALIBRATION_BINS: usize = 10;

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
    bench.baselines()?;
    progress.begin("probe", &behavior.name, spec.probe.methods.len() as u64, "methods");
    for (index, name) in spec.probe.methods.iter().enumerate() {
        let method: Method = name.parse()?;
        let choice = bench.sweep(method)?;
        bench.report(&choice)?;
        let named = bench.hooks.iter().zip(&choice.hooks).map(|(hook, result)| (hook.0, &result.probe));
        let header = bench.header(&choice, &pairs.header, &behavior.towards)?;
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

pub(crate) fn key(spec: &Spec, behavior: &Behavior, captured: &Captured) -> String {
    let settings = serde_json::json!({ "seed": spec.seed, "split": spec.split, "probe": spec.probe });
    Hasher::default()
        .part("stage", "probe 3")
        .part("behavior", &behavior.name)
        .part("arm", arm(spec))
        .part("settings", settings.to_string())
        .part("towards", &behavior.towards)
        .part("pairs", &captured.pairs.key)
        .part("topic", &captured.topic.key)
        .finish()
}

/// The model as tables name it.
pub(crate) fn arm(spec: &Spec) -> String {
    match &spec.model.fetched {
        // As the stores of its activations call it.
        Some(_) => heirloom_model::name_of(&spec.model.path),
        None => spec.model.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// The split of a behavior's groups; the same for every hook point and method.
pub(crate) fn split(spec: &Spec, behavior: &str, data: &Dataset) -> Result<Split> {
    Ok(Split::by_group(data, shares(spec), &stream(spec.seed, &format!("split {behavior}")))?)
}

fn shares(spec: &Spec) -> Shares {
    let SplitSpec { fit, select, report } = spec.split;
    Shares { fit: fit as f64, select: select as f64, report: report as f64 }
}

/// Every hook point's rows, in the store's order.
pub(crate) fn datasets(store: &Activations, path: &std::path::Path) -> Result<Vec<(HookPoint, Dataset)>> {
    store.tensors.keys().map(|&hook| Ok((hook, activations::dataset(store, hook, &[], path)?))).collect()
}

/// One behavior's data on the bench, with the rows measured so far.
struct Bench<'a> {
    spec: &'a Spec,
    behavior: &'a str,
    hooks: Vec<(HookPoint, Dataset)>,
    /// Tokens of each row that were read, for the length baseline.
    lengths: Vec<f64>,
    /// Scores of the words alone on the report rows, where the embedding was captured.
    words: Option<Vec<f64>>,
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
        Ok(Self {
            spec,
            behavior: &behavior.name,
            hooks,
            lengths,
            words: None,
            topic,
            split,
            options: FitOptions::default(),
            resampling: Resampling { replicates: spec.probe.bootstrap, ..Resampling::default() },
            metrics: vec![],
            histograms: vec![],
        })
    }

    /// What a probe must beat: the number of tokens read, and the words without any block.
    fn baselines(&mut self) -> Result<()> {
        let (fit, report) = (self.split.fit_of(&self.hooks[0].1)?, self.split.report_of(&self.hooks[0].1)?);
        let of = |rows: &[usize]| -> Vec<f64> { rows.iter().map(|&row| self.lengths[row]).collect() };
        // As for random directions: the sign that is better on the fit rows.
        let longer = auroc(&of(&self.split.fit), fit.labels())? >= 0.5;
        let lengths: Vec<f64> =
            of(&self.split.report).into_iter().map(|n| if longer { n } else { -n }).collect();
        let interval = self.interval(&lengths, &report)?;
        let row =
            Metric { hook: None, fit_on: Some(FIT.into()), ..self.row("auroc_length_baseline", REPORT) };
        self.metrics.push(measured(row, &interval));
        self.words()
    }

    /// The strongest probe on the mean token embedding: what words alone carry.
    fn words(&mut self) -> Result<()> {
        let Some((hook, data)) = self.hooks.iter().find(|(hook, _)| *hook == HookPoint::Embed) else {
            return Ok(());
        };
        let (probe, report) =
            (fit(Method::Logistic, &self.split.fit_of(data)?, &self.options)?, self.split.report_of(data)?);
        let scores = probe.score(report.x())?;
        let at = |metric, scored_on| Metric { hook: Some(*hook), ..self.row(metric, scored_on) };
        let on_pairs = measured(at("auroc_of_words", REPORT), &self.interval(&scores, &report)?);
        let topic = probe.score(self.topic.tensors[hook].view())?;
        let against = self.against_topic(&scores, &report, &topic)?;
        let on_topic = measured(at("auroc_of_words_against_topic", REPORT), &against);
        self.metrics.extend([on_pairs, on_topic]);
        self.words = Some(scores);
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
            let row = self.at(index, method, "chosen_share", SELECTION);
            let n = count(self.resampling.replicates);
            self.metrics.push(Metric { value: Some(choice.shares[index]), n, ..row });
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
        let level = self.resampling.level;
        let rng = stream(self.spec.seed, "bootstrap");
        let (labels, clusters) = (report.labels(), report.clusters());

        let delong = DeLong::clustered(&scores, labels, clusters)?.interval(level)?;
        let fixed = tpr_at_fpr(&scores, labels, 0.01, level)?;
        let tpr = tpr_at_fpr_interval(&scores, labels, clusters, 0.01, self.resampling, &rng)?;
        let mut found = vec![
            ("auroc_at_chosen_layer", choice.report),
            ("auroc_delong", delong),
            ("tpr_at_1pct_fpr", tpr),
            ("tpr_at_1pct_fpr_threshold_known", fixed.tpr),
            ("fpr_at_that_threshold", fixed.fpr),
            ("pair_win_rate", pair_win_rate(&scores, labels, clusters, level)?),
        ];
        if let Some(words) = &self.words {
            let gain = auroc_difference(&scores, words, labels, clusters, self.resampling, &rng)?;
            found.push(("auroc_gain_over_words", gain));
        }
        for (metric, interval) in &found {
            let row = self.at(chosen, method, metric, REPORT);
            self.metrics.push(measured(row, interval));
        }
        let row = self.at(chosen, method, "hooks_searched", SELECTION);
        self.metrics.push(Metric { value: Some(choice.searched as f64), n: count(choice.searched), ..row });
        let row = self.at(chosen, method, "fragility", REPORT);
        let sigma = fragility(probe, &report, COLLAPSED)?.sigma;
        self.metrics.push(Metric { value: Some(sigma), n: count(report.n_rows()), ..row });

        self.spread_over_splits(chosen, probe)?;
        self.calibration(chosen, method, &scores, &report)?;
        self.rates(chosen, probe, &scores, &report)?;
        self.nulls(chosen, probe, REPORT)?;
        if method.name() == self.spec.probe.headline {
            let topic = probe.score(self.topic.tensors[&self.hooks[chosen].0].view())?;
            self.draw_histograms(self.hooks[chosen].0, probe, &report, &topic)?;
        }
        Ok(())
    }

    /// How much the reported AUROC owes to which families fell where.
    fn spread_over_splits(&mut self, chosen: usize, probe: &Probe) -> Result<()> {
        let (data, options) = (&self.hooks[chosen].1, self.options.repeating(probe));
        let rng = stream(self.spec.seed, "splits");
        let band = over_splits(data, probe.method, &options, shares(self.spec), SPLITS, &rng)?;
        let row = self.at(chosen, probe.method, "auroc_over_splits", "random report groups");
        let interval = Some("2.5 % and 97.5 % quantiles over random splits of the groups".into());
        self.metrics.push(Metric { interval, ..over_draws(row, &band) });
        Ok(())
    }

    /// Calibration of the one method whose scores are logits, beside what perfect probabilities would show.
    fn calibration(&mut self, chosen: usize, method: Method, scores: &[f64], report: &Dataset) -> Result<()> {
        if method != Method::Logistic {
            return Ok(());
        }
        let probabilities: Vec<f64> = scores.iter().map(|score| sigmoid(*score)).collect();
        let error = calibration(&probabilities, report.labels(), CALIBRATION_BINS)?.error;
        let row = self.at(chosen, method, "expected_calibration_error", REPORT);
        self.metrics.push(Metric { value: Some(error), n: count(report.n_rows()), ..row });
        let rng = stream(self.spec.seed, "calibration");
        let band = calibration_band(&probabilities, CALIBRATION_BINS, self.resampling.replicates, &rng)?;
        let row = self.at(chosen, method, "calibration_error_if_calibrated", REPORT);
        self.metrics.push(over_draws(row, &band));
        Ok(())
    }

    /// What the threshold of the fit rows calls positive: in all, and family by family, since families differ more
    /// than an interval over rows can say.
    fn rates(&mut self, chosen: usize, probe: &Probe, scores: &[f64], report: &Dataset) -> Result<()> {
        let (hook, level) = (self.hooks[chosen].0, self.resampling.level);
        let topic = probe.score(self.topic.tensors[&hook].view())?;
        let against = self.against_topic(scores, report, &topic)?;
        let row = self.at(chosen, probe.method, "auroc_against_topic", REPORT);
        self.metrics.push(measured(row, &against));

        let families: Vec<&str> =
            self.topic.rows.iter().map(|row| row.group.as_deref().unwrap_or("")).collect();
        let named: Vec<&str> = report.groups().iter().map(|g| report.group_names()[*g].as_str()).collect();
        let of_label = |label: bool| -> Vec<(f64, &str)> {
            let rows = scores.iter().zip(report.labels()).zip(&named);
            rows.filter(|((_, found), _)| **found == label)
                .map(|((score, _), group)| (*score, *group))
                .collect()
        };
        let sets = [
            ("positive_rate", TOPIC, topic.iter().copied().zip(families.iter().copied()).collect()),
            ("true_positive_rate", REPORT, of_label(true)),
            ("false_positive_rate", REPORT, of_label(false)),
        ];
        for (metric, scored_on, rows) in sets {
            let groups: BTreeSet<&str> = rows.iter().map(|(_, group)| *group).collect();
            let rate = |wanted: Option<&str>| {
                let rows = rows.iter().filter(|(_, group)| wanted.is_none_or(|wanted| wanted == *group));
                positive_rate(&rows.map(|(score, _)| *score).collect::<Vec<_>>(), 0.0, level)
            };
            let row = self.at(chosen, probe.method, metric, scored_on);
            self.metrics.push(measured(row, &rate(None)?));
            for group in groups {
                let row = self.at(chosen, probe.method, metric, &format!("group:{group}"));
                self.metrics.push(measured(row, &rate(Some(group))?));
            }
        }
        Ok(())
    }

    /// AUROC of the behavior's positives against texts that are only about its topic.
    fn against_topic(&self, scores: &[f64], report: &Dataset, topic: &[f64]) -> Result<Interval> {
        let positives: Vec<usize> = (0..scores.len()).filter(|row| report.labels()[*row]).collect();
        let both: Vec<f64> = positives.iter().map(|row| scores[*row]).chain(topic.iter().copied()).collect();
        let labels: Vec<bool> = (0..both.len()).map(|row| row < positives.len()).collect();
        // Every text is a cluster of its own: positives come from different pairs.
        let clusters: Vec<usize> = (0..both.len()).collect();
        let rng = stream(self.spec.seed, "bootstrap");
        Ok(auroc_interval(&both, &labels, &clusters, self.resampling, &rng)?)
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
        let differences = random_differences_within(&fit, draws, &named("random differences"))?;
        for (metric, directions) in
            [("auroc_null_random_direction", random), ("auroc_null_random_difference", differences)]
        {
            let band = direction_band(directions.view(), &fit, &scored)?;
            let row = over_draws(self.at(index, probe.method, metric, scored_on), &band);
            let interval = Some("2.5 % and 97.5 % quantiles, sign from the fit rows, over draws".into());
            self.metrics.push(Metric { interval, ..row });
        }
        // Uncentred PCA of pair differences is the same whichever way a pair points: shuffling tests nothing.
        if probe.method == Method::Pca {
            return Ok(());
        }
        let shuffled = selectivity(probe, &fit, &scored, &self.options, draws, &named("shuffled labels"))?;
        let row = self.at(index, probe.method, "auroc_null_shuffled_labels", scored_on);
        let interval = Some("2.5 % and 97.5 % quantiles, sign from the shuffled labels, over draws".into());
        self.metrics.push(Metric { interval, ..over_draws(row, &shuffled.control) });
        let singles = [
            ("selectivity", shuffled.selectivity),
            ("control_memorized", shuffled.memorized),
            ("p_shuffled_labels", shuffled.control.p_value(shuffled.auroc)),
        ];
        for (metric, value) in singles {
            let row = self.at(index, probe.method, metric, scored_on);
            self.metrics.push(Metric { value: Some(value), n: count(draws), ..row });
        }
        Ok(())
    }

    fn header(
        &self,
        choice: &LayerChoice,
        store: &ActivationHeader,
        towards: &str,
    ) -> Result<DirectionHeader> {
        let data = &self.hooks[choice.chosen].1;
        let method = choice.best().probe.method.name();
        let fit = self.split.fit_of(data)?;
        Ok(DirectionHeader {
            select_groups: self.split.select_of(data)?.present_group_names(),
            report_groups: self.split.report_of(data)?.present_group_names(),
            chosen_hook: Some(self.hooks[choice.chosen].0),
            ..activations::direction_header(store, self.behavior, method, towards, &fit)
        })
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
            arm: Some(arm(self.spec)),
            seed: i64::try_from(self.spec.seed).ok(),
            fit_on: Some(FIT.into()),
            scored_on: Some(scored_on.into()),
            metric: metric.into(),
            ..Metric::default()
        }
    }
}

fn over_draws(row: Metric, band: &NullBand) -> Metric {
    quantiles(row, band, "2.5 % and 97.5 % quantiles over draws")
}
