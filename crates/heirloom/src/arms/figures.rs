//! Table → what is drawn of it: emergence, swap against drop, teacher against prompts, interpolation, origins.

use std::collections::BTreeMap;

use heirloom_figure::{
    Arm, ArmBarsSpec, Behavior, BehaviorArms, BehaviorShares, Drawing, EmergenceSpec, FigureSpec,
    HeatMapSpec, InterpolationSpec, OriginBarsSpec, Quantity, Share, TeacherPromptsSpec, TrajectoriesSpec,
    VerdictTableSpec,
};
use heirloom_record::Metric;

use super::ranked;
use super::spec::{ArmLabel, ArmsSpec, BehaviorPanel, MixLabel, Role};

/// What the file asks for, of the arms that were run.
pub(crate) fn drawings(spec: &ArmsSpec, metrics: &[Metric]) -> Vec<Drawing> {
    let figures = &spec.figures;
    if figures.behaviors.is_empty() {
        return vec![];
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
        let tracks = vec![Quantity::rate(), projection.clone()];
        let spec_of = EmergenceSpec { tracks, ..EmergenceSpec::new(lines.clone()) };
        drawn.push(Drawing::new("emergence", FigureSpec::Emergence(spec_of)));
        if spec.measure.teachers.is_some() {
            drawn.push(Drawing::new("trajectories", FigureSpec::Trajectories(paths(spec, lines))));
        }
        if ran(&spec.reference) {
            let arm = Arm::new(&spec.reference, heirloom_figure::Role::Full);
            let quantity = Quantity { hooks: BTreeMap::new(), ..projection };
            let map = HeatMapSpec { quantity, ..HeatMapSpec::new(behaviors.clone(), arm) };
            drawn.push(Drawing::new("projection-by-layer", FigureSpec::HeatMap(map)));
        }
    }

    let bars =
        ArmBarsSpec { references: vec![base.clone()], ..ArmBarsSpec::new(columns(|panel| &panel.bars)) };
    drawn.push(Drawing::new("swap-against-drop", FigureSpec::ArmBars(bars)));

    if let Some(grid) = &figures.grid {
        let cell = |name: &String| ran(name).then(|| Arm::new(name, heirloom_figure::Role::Full));
        let cells = grid.arms.each_ref().map(|row| row.each_ref().map(cell));
        let spec_of = TeacherPromptsSpec {
            teachers: grid.teachers.clone(),
            prompts: grid.prompts.clone(),
            base: Some(base.clone()),
            ..TeacherPromptsSpec::new(behaviors, cells)
        };
        drawn.push(Drawing::new("teacher-against-prompts", FigureSpec::TeacherPrompts(spec_of)));
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
        drawn.push(Drawing::new("interpolation", FigureSpec::Interpolation(spec_of)));
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
        drawn.push(Drawing::new("origins", FigureSpec::OriginBars(bars)));
        let probability = "share of joint draws of the arms' rates in which the rule reads them so";
        let verdicts =
            VerdictTableSpec { behaviors: asked, probability: probability.into(), unit: "draws".into() };
        drawn.push(Drawing::new("verdicts", FigureSpec::VerdictTable(verdicts)));
    }
    drawn.extend(ranked::drawing(spec, metrics));
    drawn
}

/// Arms in the plane of the direction between two teachers and that of the base's contrasts.
fn paths(spec: &ArmsSpec, columns: Vec<BehaviorArms>) -> TrajectoriesSpec {
    let hooks: BTreeMap<_, _> =
        columns.iter().map(|column| (column.behavior.name.clone(), spec.measure.headline)).collect();
    let mut paths = TrajectoriesSpec::new(columns);
    for quantity in [&mut paths.x, &mut paths.y] {
        quantity.hooks.clone_from(&hooks);
    }
    paths
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
