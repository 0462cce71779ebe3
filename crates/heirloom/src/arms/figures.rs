//! Table → pictures: emergence, swap against drop, teacher against prompts, interpolation.

use std::path::{Path, PathBuf};

use heirloom_figure::{
    Arm, ArmBarsSpec, Behavior, BehaviorArms, BehaviorShares, EmergenceSpec, InterpolationSpec,
    OriginBarsSpec, Quantity, Share, TeacherPromptsSpec, VerdictTableSpec, arm_bars, emergence,
    interpolation, origin_bars, teacher_prompts, verdict_table,
};
use heirloom_record::Metric;

use super::spec::{ArmLabel, ArmsSpec, BehaviorPanel, MixLabel, Role};
use crate::Result;
use crate::stages::figures::write;

/// Draws what the file asks for, of the arms that were run.
pub(crate) fn draw(spec: &ArmsSpec, metrics: &[Metric], folder: &Path) -> Result<Vec<PathBuf>> {
    let figures = &spec.figures;
    if figures.behaviors.is_empty() {
        return Ok(vec![]);
    }
    let ran = |name: &str| metrics.iter().any(|row| row.metric == "rate" && row.arm.as_deref() == Some(name));
    let behaviors: Vec<Behavior> = figures.behaviors.iter().map(behavior).collect();
    let arms = |labels: &[ArmLabel]| -> Vec<Arm> {
        labels.iter().filter(|label| ran(&label.arm)).map(arm).collect()
    };
    let base = Arm::new("base", heirloom_figure::Role::Base).labeled("base, before SFT");
    // Of the fixed directions, the one that is drawn.
    let fit_on = if spec.measure.teachers.is_some() { "teachers" } else { "base" };
    let mut drawn = vec![];

    let columns = |of: fn(&BehaviorPanel) -> &[ArmLabel]| -> Vec<BehaviorArms> {
        let column = |panel| BehaviorArms { behavior: behavior(panel), arms: arms(of(panel)) };
        figures.behaviors.iter().map(column).collect()
    };
    let lines = columns(|panel| &panel.lines);
    if lines.iter().all(|column| !column.arms.is_empty()) {
        let hooks = behaviors.iter().map(|behavior| (behavior.name.clone(), spec.measure.headline));
        let projection =
            Quantity { hooks: hooks.collect(), fit_on: Some(fit_on.into()), ..Quantity::projection() };
        let tracks = vec![Quantity::rate(), projection];
        drawn
            .push(("emergence", emergence(metrics, &EmergenceSpec { tracks, ..EmergenceSpec::new(lines) })?));
    }

    let bars =
        ArmBarsSpec { references: vec![base.clone()], ..ArmBarsSpec::new(columns(|panel| &panel.bars)) };
    drawn.push(("swap-against-drop", arm_bars(metrics, &bars)?));

    if let Some(grid) = &figures.grid {
        let cell = |name: &String| ran(name).then(|| Arm::new(name, heirloom_figure::Role::Full));
        let cells = grid.arms.each_ref().map(|row| row.each_ref().map(cell));
        let spec_of = TeacherPromptsSpec {
            teachers: grid.teachers.clone(),
            prompts: grid.prompts.clone(),
            base: Some(base.clone()),
            ..TeacherPromptsSpec::new(behaviors, cells)
        };
        drawn.push(("teacher-against-prompts", teacher_prompts(metrics, &spec_of)?));
    }

    let mixes: Vec<&MixLabel> = figures.interpolation.iter().filter(|mix| ran(&mix.arm)).collect();
    if mixes.len() > 1 {
        let random = mixes
            .iter()
            .map(|mix| Share { fraction: mix.fraction, arm: Arm::new(&mix.arm, heirloom_figure::Role::Mix) });
        let random: Vec<Share> = random.collect();
        let panel = |panel: &BehaviorPanel| BehaviorShares {
            behavior: behavior(panel),
            random: random.clone(),
            alone: panel.flagged.iter().filter(|flagged| ran(&flagged.arm)).map(flagged).collect(),
        };
        let panels = figures.behaviors.iter().map(panel).collect();
        let spec_of = InterpolationSpec { base: Some(base), ..InterpolationSpec::new(panels) };
        drawn.push(("interpolation", interpolation(metrics, &spec_of)?));
    }

    let weighed = |panel: &&BehaviorPanel| {
        metrics.iter().any(|row| row.behavior == panel.behavior && row.metric == "verdict_several-left")
    };
    let asked = figures.behaviors.iter().filter(weighed);
    let asked: Vec<Behavior> = asked.map(behavior).collect();
    if !asked.is_empty() {
        let mut bars = OriginBarsSpec::new(asked.clone()).with_projection();
        for quantity in bars.rate.iter_mut().chain(&mut bars.projection) {
            quantity.unit = "scenarios".into();
        }
        if let Some(projection) = &mut bars.projection {
            projection.fit_on = Some(fit_on.into());
        }
        drawn.push(("origins", origin_bars(metrics, &bars)?));
        let of_rate: Vec<Metric> = metrics.iter().filter(|row| row.hook.is_none()).cloned().collect();
        let probability = "share of joint draws of the arms' rates in which the rule reads them so";
        let spec =
            VerdictTableSpec { behaviors: asked, probability: probability.into(), unit: "draws".into() };
        drawn.push(("verdicts", verdict_table(&of_rate, &spec)?));
    }
    drawn.into_iter().map(|(name, figure)| write(folder, name, &figure)).collect()
}

fn behavior(panel: &BehaviorPanel) -> Behavior {
    Behavior { name: panel.behavior.clone(), label: panel.label.clone() }
}

fn arm(label: &ArmLabel) -> Arm {
    Arm::new(&label.arm, role(label.role)).labeled(&label.label)
}

fn flagged(mix: &MixLabel) -> Share {
    Share { fraction: mix.fraction, arm: Arm::new(&mix.arm, heirloom_figure::Role::Swap).labeled("flagged") }
}

fn role(role: Role) -> heirloom_figure::Role {
    use heirloom_figure::Role as Drawn;
    match role {
        Role::Full => Drawn::Full,
        Role::Opposite => Drawn::Opposite,
        Role::Prompts => Drawn::Prompts,
        Role::Swap => Drawn::Swap,
        Role::Drop => Drawn::Drop,
        Role::Insert => Drawn::Insert,
        Role::Mix => Drawn::Mix,
        Role::RandomSwap => Drawn::RandomSwap,
        Role::RandomDrop => Drawn::RandomDrop,
        Role::Base => Drawn::Base,
        Role::Other => Drawn::Other,
    }
}
