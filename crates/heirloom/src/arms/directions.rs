//! Directions fit on a base from contrasts in context, and what a checkpoint's activations say along them.

use std::collections::BTreeMap;
use std::path::Path;

use heirloom_model::{CaptureOptions, CapturePlan, Student};
use heirloom_probe::control::{random_differences_within, random_directions};
use heirloom_probe::random::{ChaCha8Rng, stream};
use heirloom_probe::score::Reference;
use heirloom_probe::track::Controls;
use heirloom_probe::{Dataset, FitOptions, Method, Probe, Resampling, auroc_interval, fit};
use heirloom_record::{
    Activations, DataRow, DirectionHeader, Hasher, HookPoint, NewFolder, Prompt, Readout, RunFolder,
    rows_to_jsonl,
};
use heirloom_rollout::world::{Check, Contrast, Split, WorldBehavior};
use ndarray::{Array1, ArrayView2};

use super::ArmsExperiment;
use super::measured::{ControlMeans, Reading};
use super::models::Made;
use super::spec::MeasureSpec;
use crate::origins::FitOn;
use crate::streams;
use crate::{Result, activations};

/// The contrast pairs of one behavior: the same scenario after a turn that shows the behavior's mild form, and after
/// one that does not.
struct Contrasts {
    behavior: String,
    /// What its directions point towards.
    towards: String,
    /// Rows that directions are fit on.
    fit: Vec<DataRow>,
    /// Rows with other names, which score them.
    held_out: Vec<DataRow>,
}

/// A behavior's direction at one hook point, with the units its projections are given in.
struct Fixed {
    probe: Probe,
    reference: Reference,
    controls: Option<Nulls>,
}

/// Directions that mean nothing, drawn on the rows that a direction was fit on.
struct Nulls {
    random: Controls,
    differences: Controls,
}

/// How many of them are drawn, and from which root.
#[derive(Clone, Copy)]
struct Draws {
    of_each: Option<usize>,
    seed: u64,
}

impl Draws {
    fn on(self, data: &Dataset, behavior: &str) -> Result<Option<Nulls>> {
        let Some(of_each) = self.of_each else { return Ok(None) };
        let rng = |what: &str| streams::stream(self.seed, &format!("null {what} {behavior}"));
        let random = random_directions(data.d_model(), of_each, &rng("directions"));
        let differences = random_differences_within(data, of_each, &rng("differences"))?;
        let [random, differences] = [random, differences].map(|drawn| Controls::new(data, drawn));
        Ok(Some(Nulls { random: random?, differences: differences? }))
    }
}

impl Fixed {
    /// Projections of scenarios in its units.
    fn units(&self, scenarios: ArrayView2<f32>) -> Result<Vec<f64>> {
        Ok(self.reference.units(&self.probe.project(scenarios)?))
    }

    fn control_means(&self, scenarios: ArrayView2<f32>) -> Result<ControlMeans> {
        let Some(Nulls { random, differences }) = &self.controls else { return Ok(ControlMeans::default()) };
        Ok(ControlMeans { random: random.means(scenarios)?, differences: differences.means(scenarios)? })
    }
}

/// The directions of all behaviors, fit on one base.
pub(crate) struct FixedDirections {
    pub(crate) key: String,
    plan: CapturePlan,
    resampling: Resampling,
    behaviors: Vec<(Contrasts, Origins)>,
}

/// Where a behavior's fixed directions come from.
struct Origins {
    /// Its contrasts on the base.
    base: BTreeMap<HookPoint, Fixed>,
    /// The two teachers on the same prompts; nothing where the experiment names none.
    teachers: BTreeMap<HookPoint, Fixed>,
}

impl ArmsExperiment {
    /// Fits the directions of every behavior on a base, and keeps them where `heirloom score` and scripts find them.
    pub(crate) fn directions(
        &self,
        run: &RunFolder,
        base: &Made,
        teachers: &BTreeMap<String, Made>,
    ) -> Result<FixedDirections> {
        let MeasureSpec { pairs, hooks, bootstrap, .. } = &self.spec.measure;
        let plan = CapturePlan::new(base.student.config(), hooks, Readout::LastPrompt)?;
        let mut hasher = Hasher::default().part("stage", "directions 1").part("base", &base.key);
        let pair =
            self.spec.measure.teachers.as_ref().map(|names| names.each_ref().map(|name| &teachers[name]));
        for teacher in pair.into_iter().flatten() {
            hasher = hasher.part("teacher", &teacher.key);
        }
        let draws = Draws { of_each: self.spec.measure.null_draws, seed: self.spec.seed };
        if let Some(of_each) = draws.of_each {
            hasher = hasher.part("null draws", of_each.to_le_bytes());
        }
        let mut behaviors = vec![];
        for name in &self.behaviors {
            let behavior = self.world.behavior(name)?;
            let rows = |split, part: &str| -> Vec<DataRow> {
                let mut rng = streams::stream(self.spec.seed, &format!("contrasts {part} {name}"));
                let drawn = self.world.contrasts(behavior, split, *pairs, &mut rng);
                drawn.iter().flat_map(Contrast::rows).collect()
            };
            let (fit, held_out) = (rows(Split::Trained, "fit"), rows(Split::HeldOut, "held-out"));
            hasher = hasher.part(name, rows_to_jsonl(&[fit.as_slice(), &held_out].concat()));
            let contrasts =
                Contrasts { behavior: name.clone(), towards: behavior.towards.clone(), fit, held_out };
            let teachers = match pair {
                Some(pair) => self.between(pair, behavior, &plan, draws)?,
                None => BTreeMap::new(),
            };
            let base = contrasts.fix(&base.student, &plan, draws)?;
            behaviors.push((contrasts, Origins { base, teachers }));
        }
        let points: Vec<String> = plan.points().iter().map(ToString::to_string).collect();
        let key = hasher.part("hooks", points.join(" ")).finish();
        let resampling = Resampling { replicates: *bootstrap, ..Resampling::default() };
        let fixed = FixedDirections { key, plan, resampling, behaviors };
        fixed.keep(run, base)?;
        Ok(fixed)
    }

    /// From the second teacher to the first, at the last prompt token of scenarios as training shows them.
    fn between(
        &self,
        teachers: [&Made; 2],
        behavior: &WorldBehavior,
        plan: &CapturePlan,
        draws: Draws,
    ) -> Result<BTreeMap<HookPoint, Fixed>> {
        let check = Check { behavior: behavior.name.clone(), persona: None, at_least: None, at_most: None };
        let mut rng = streams::stream(self.spec.seed, &format!("teachers on {}", behavior.name));
        let prompts = self.world.gate_prompts(&check, 2 * self.spec.measure.pairs, &mut rng)?;
        let rows = |label| -> Vec<DataRow> {
            let row = |prompt: &Prompt| DataRow {
                label: Some(label),
                pair: Some(prompt.id.clone()),
                group: Some(behavior.name.clone()),
                ..DataRow::chat(format!("{}/{label}", prompt.id), prompt.messages.clone())
            };
            prompts.iter().map(row).collect()
        };
        let [shows, other] = teachers;
        let mut both = capture(&shows.student, &rows(true), plan)?;
        let others = capture(&other.student, &rows(false), plan)?;
        both.rows.extend(others.rows);
        for (hook, tensor) in &mut both.tensors {
            let joined =
                ndarray::concatenate(ndarray::Axis(0), &[tensor.view(), others.tensors[hook].view()]);
            *tensor = joined.expect("two students of one shape have activations of one width");
        }
        fix(&both, plan, &behavior.name, draws)
    }
}

/// Directions at every hook point of the plan, with the units of the rows they were fit on.
fn fix(
    captured: &Activations,
    plan: &CapturePlan,
    behavior: &str,
    draws: Draws,
) -> Result<BTreeMap<HookPoint, Fixed>> {
    let fixed = |hook: &HookPoint| {
        let data = activations::dataset(captured, *hook, &[], Path::new(behavior))?;
        let probe = difference_of_means(&data)?;
        let reference = Reference::of(&probe.project(data.x())?, data.labels())?;
        let controls = draws.on(&data, behavior)?;
        Ok((*hook, Fixed { probe, reference, controls }))
    };
    plan.points().iter().map(fixed).collect()
}

impl FixedDirections {
    /// Unit vectors at a hook point, by behavior in the order of the experiment; none where none were fit.
    pub(crate) fn vectors(&self, on: FitOn, hook: HookPoint) -> Vec<(String, Array1<f64>)> {
        let names = self.behaviors.iter().map(|(contrasts, _)| &contrasts.behavior);
        names.filter_map(|name| Some((name.clone(), self.direction(name, hook, on)?.clone()))).collect()
    }

    fn keep(&self, run: &RunFolder, base: &Made) -> Result<()> {
        let path = run.artifact("directions", &base.student.name(), &self.key);
        if path.exists() {
            return Ok(());
        }
        run.may_make(&path)?;
        let folder = NewFolder::create(&path)?;
        for (contrasts, fixed) in &self.behaviors {
            let header = DirectionHeader {
                behavior: contrasts.behavior.clone(),
                method: Method::DifferenceOfMeans.name().into(),
                towards: contrasts.towards.clone(),
                model: base.student.name(),
                model_sha256: base.student.sha256()?.to_owned(),
                readout: Readout::LastPrompt,
                fit_on: format!("{} rows, {} pairs", contrasts.fit.len(), contrasts.fit.len() / 2),
                fit_groups: vec![],
                n: contrasts.fit.len(),
                select_groups: vec![],
                report_groups: vec![],
                chosen_hook: None,
            };
            let probes = fixed.base.iter().map(|(hook, fixed)| (*hook, &fixed.probe));
            let file = folder.work_path().join(format!("{}.safetensors", contrasts.behavior));
            activations::directions(header, probes).write(&file)?;
        }
        Ok(folder.commit()?)
    }

    /// What a checkpoint says of every behavior at every hook point: projections of its scenarios, and how well the fixed
    /// direction and one fit on the checkpoint itself tell held-out contrasts apart. Beside it, by behavior, its activations
    /// on the contrasts that a direction is fit on.
    pub(crate) fn read(
        &self,
        student: &Student,
        scenarios: &[Prompt],
        rng: &ChaCha8Rng,
    ) -> Result<(Vec<Reading>, Vec<OnContrasts<'_>>)> {
        let (mut readings, mut contrasted) = (vec![], vec![]);
        for (contrasts, fixed) in &self.behaviors {
            let own = format!("{}/", contrasts.behavior);
            let own = scenarios.iter().filter(|scenario| scenario.id.starts_with(&own));
            let rows: Vec<DataRow> =
                own.map(|one| DataRow::chat(one.id.clone(), one.messages.clone())).collect();
            let captured = contrasts.capture(student, &self.plan)?;
            let scenarios = capture(student, &rows, &self.plan)?;
            readings.extend(contrasts.read(&scenarios, &captured, fixed, self.resampling, rng)?);
            contrasted.push((contrasts.behavior.as_str(), captured.fit));
        }
        Ok((readings, contrasted))
    }
}

/// A behavior and a checkpoint's activations on its contrasts.
type OnContrasts<'a> = (&'a str, Activations);

/// Directions fit on a checkpoint itself: on all contrasts of a behavior, and on each half of the pairs.
pub(crate) struct Refit {
    pub(crate) behavior: String,
    pub(crate) hook: HookPoint,
    pub(crate) direction: Array1<f64>,
    pub(crate) halves: [Array1<f64>; 2],
}

impl FixedDirections {
    /// The fixed direction of a behavior at a hook point, where there is one.
    pub(crate) fn direction(&self, behavior: &str, hook: HookPoint, on: FitOn) -> Option<&Array1<f64>> {
        let (_, origins) = self.behaviors.iter().find(|(contrasts, _)| contrasts.behavior == behavior)?;
        let fixed = match on {
            FitOn::Base => &origins.base,
            FitOn::Teachers => &origins.teachers,
        };
        fixed.get(&hook).map(|fixed| &fixed.probe.direction)
    }

    /// Directions of every behavior at every hook point, fit on `student`.
    pub(crate) fn refit(&self, student: &Student) -> Result<Vec<Refit>> {
        let mut refit = vec![];
        for (contrasts, _) in &self.behaviors {
            let fit = capture(student, &contrasts.fit, &self.plan)?;
            for &hook in self.plan.points() {
                let data = contrasts.dataset(&fit, hook)?;
                let half = |odd: usize| -> Result<Array1<f64>> {
                    let rows = (0..data.n_rows()).filter(|row| data.clusters()[*row] % 2 == odd);
                    let half = data.select("half of the pairs", &rows.collect::<Vec<_>>())?;
                    Ok(difference_of_means(&half)?.direction)
                };
                refit.push(Refit {
                    behavior: contrasts.behavior.clone(),
                    hook,
                    direction: difference_of_means(&data)?.direction,
                    halves: [half(0)?, half(1)?],
                });
            }
        }
        Ok(refit)
    }
}

/// Activations of a checkpoint on one behavior's contrasts.
struct Contrasted {
    fit: Activations,
    held_out: Activations,
}

impl Contrasts {
    fn capture(&self, student: &Student, plan: &CapturePlan) -> Result<Contrasted> {
        Ok(Contrasted {
            fit: capture(student, &self.fit, plan)?,
            held_out: capture(student, &self.held_out, plan)?,
        })
    }

    /// Directions at every hook point of the plan, fit on the base.
    fn fix(&self, base: &Student, plan: &CapturePlan, draws: Draws) -> Result<BTreeMap<HookPoint, Fixed>> {
        fix(&capture(base, &self.fit, plan)?, plan, &self.behavior, draws)
    }

    /// What a checkpoint says at every hook point: its scenarios' projections, and how well the fixed direction and
    /// one fit on the checkpoint itself tell held-out contrasts apart.
    fn read(
        &self,
        scenarios: &Activations,
        Contrasted { fit, held_out }: &Contrasted,
        fixed: &Origins,
        resampling: Resampling,
        rng: &ChaCha8Rng,
    ) -> Result<Vec<Reading>> {
        let mut readings = vec![];
        for (hook, on_base) in &fixed.base {
            let (seen, teachers) = (scenarios.tensors[hook].view(), fixed.teachers.get(hook));
            let report = self.dataset(held_out, *hook)?;
            let refit = difference_of_means(&self.dataset(fit, *hook)?)?;
            let auroc = |probe: &Probe| {
                let scores = probe.project(report.x())?;
                auroc_interval(&scores, report.labels(), report.clusters(), resampling, &stream(rng, 0))
            };
            readings.push(Reading {
                behavior: self.behavior.clone(),
                hook: *hook,
                projections: on_base.units(seen)?,
                on_teachers: teachers.map_or(Ok(vec![]), |fixed| fixed.units(seen))?,
                controls: on_base.control_means(seen)?,
                controls_on_teachers: teachers
                    .map_or(Ok(ControlMeans::default()), |fixed| fixed.control_means(seen))?,
                fixed: auroc(&on_base.probe)?.into(),
                refit: auroc(&refit)?.into(),
                cosine: on_base.probe.direction.dot(&refit.direction),
            });
        }
        Ok(readings)
    }

    fn dataset(&self, captured: &Activations, hook: HookPoint) -> Result<Dataset> {
        activations::dataset(captured, hook, &[], Path::new(&self.behavior))
    }
}

fn difference_of_means(data: &Dataset) -> Result<Probe> {
    Ok(fit(Method::DifferenceOfMeans, data, &FitOptions::default())?)
}

fn capture(student: &Student, rows: &[DataRow], plan: &CapturePlan) -> Result<Activations> {
    let rows = student.prepare(rows)?;
    Ok(student.capture(&rows, plan, &mut CaptureOptions::default())?)
}
