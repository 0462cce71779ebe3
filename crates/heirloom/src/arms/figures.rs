//! Table → what is drawn of it: emergence, swap against drop, teacher against prompts, interpolation, origins.

use std::collections::BTreeMap;

use heirloom_figure::{
    Against, Arm, ArmBarsSpec, Behavior, BehaviorArms, BehaviorShares, CosinesSpec, Drawing, EmergenceSpec,
    FigureSpec, HeatMapSpec, InterpolationSpec, OriginBarsSpec, Quantity, Share, TeacherPromptsSpec,
    TrajectoriesSpec, VerdictTableSpec,
};
use heirloom_record::Metric;

use super::ranked;
use super::spec::{ArmLabel, ArmsSpec, BehaviorPanel, MixLabel, Role};
use crate::words::number;

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
            let map = HeatMapSpec { quantity, ..HeatMapSpec::new(behaviors.clone(), arm.clone()) };
            drawn.push(Drawing::new("projection-by-layer", FigureSpec::HeatMap(map)));
            for (name, fit_on) in [("auroc-by-layer", "base"), ("auroc-by-layer-refit", "checkpoint")] {
                let map = HeatMapSpec {
                    quantity: auroc(fit_on),
                    ..HeatMapSpec::new(behaviors.clone(), arm.clone())
                };
                drawn.push(Drawing::new(name, FigureSpec::HeatMap(map)));
            }
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
            ..TeacherPromptsSpec::new(behaviors.clone(), cells)
        };
        drawn.push(Drawing::new("teacher-against-prompts", FigureSpec::TeacherPrompts(spec_of)));
    }

    let mixes: Vec<&MixLabel> = figures.interpolation.iter().filter(|mix| ran(&mix.arm)).collect();
    if mixes.len() > 1 {
        let (mut random, mut redrawn): (Vec<Share>, Vec<Share>) = (vec![], vec![]);
        for mix in &mixes {
            let share = Share { fraction: mix.fraction, arm: Arm::new(&mix.arm, heirloom_figure::Role::Mix) };
            // The line goes through the first arm of a share.
            let is_again = random.iter().any(|other| other.fraction.to_bits() == share.fraction.to_bits());
            if is_again { redrawn.push(share) } else { random.push(share) }
        }
        let areas = |behavior: &Behavior| {
            metrics.iter().filter(|row| row.metric == "virulence" && row.behavior == behavior.name).count()
        };
        let area = behaviors.iter().all(|behavior| areas(behavior) == 1).then(|| "virulence".to_owned());
        let panel = |panel: &BehaviorPanel| BehaviorShares {
            behavior: behavior(panel),
            random: random.clone(),
            redrawn: redrawn.clone(),
            alone: panel.flagged.iter().filter(|flagged| ran(&flagged.arm)).map(flagged).collect(),
        };
        let panels = figures.behaviors.iter().map(panel).collect();
        let spec_of = InterpolationSpec { base: Some(base), area, ..InterpolationSpec::new(panels) };
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
    drawn.extend(turned(spec, metrics));
    drawn
}

/// How well a direction tells held-out contrasts of a checkpoint apart.
fn auroc(fit_on: &str) -> Quantity {
    Quantity {
        fit_on: Some(fit_on.into()),
        scored_on: Some("held-out contrasts".into()),
        unit: "seeds".into(),
        range: Some((0.0, 1.0)),
        level: Some((0.5, "chance".into())),
        ..Quantity::share("auroc", "AUROC")
    }
}

/// From the least to the greatest, once where they read alike.
fn range(least: f64, most: f64) -> String {
    let [least, most] = [least, most].map(number);
    if least == most { least } else { format!("{least} to {most}") }
}

/// Cosines of directions fit anew: between the arms that a behavior's panels show, and between checkpoints of the reference.
fn turned(spec: &ArmsSpec, metrics: &[Metric]) -> Vec<Drawing> {
    let hook = spec.measure.headline;
    let mut drawn = vec![];
    for panel in &spec.figures.behaviors {
        let rows = || metrics.iter().filter(|row| row.behavior == panel.behavior && row.hook == Some(hook));
        let of = |metric: &str, row: &Metric, arm: Option<&String>| {
            row.metric == metric && row.arm.as_ref() == arm
        };
        for (against, arm, name) in [
            (Against::Arms, None, "cosines-of-arms"),
            (Against::Checkpoints, Some(&spec.reference), "cosines-of-checkpoints"),
        ] {
            let mut fits: Vec<&str> = vec![];
            for fit in rows().filter(|row| of("cosine", row, arm)).filter_map(|row| row.fit_on.as_deref()) {
                if !fits.contains(&fit) {
                    fits.push(fit);
                }
            }
            let ran = |name: &String| fits.contains(&format!("arm:{name}").as_str());
            let shown = panel.lines.iter().map(|label| label.arm.clone()).filter(ran);
            // What students start from comes first.
            let base = fits.first().and_then(|fit| fit.strip_prefix("arm:")).map(str::to_owned);
            let names: Vec<String> = match against {
                Against::Arms => base.into_iter().chain(shown).collect(),
                Against::Checkpoints => vec![],
            };
            if fits.is_empty() || (against == Against::Arms && names.len() < 2) {
                continue;
            }
            let behavior = behavior(panel);
            let cosines = CosinesSpec {
                names: names.clone(),
                arm: arm.cloned(),
                hook: Some(hook),
                ends: true,
                ..CosinesSpec::new(behavior, against)
            };
            let is_shown = |row: &&Metric| {
                let named = |cell: &Option<String>| {
                    let name = cell.as_deref().and_then(|cell| cell.strip_prefix("arm:"));
                    names.is_empty() || names.iter().any(|known| Some(known.as_str()) == name)
                };
                named(&row.fit_on) && named(&row.scored_on)
            };
            let among = |metric: &str, number: fn(&Metric) -> Option<f64>| -> Vec<f64> {
                let own = rows().filter(|row| of(metric, row, arm)).filter(is_shown);
                own.filter(|row| metric == "cosine_of_halves" || row.fit_on != row.scored_on)
                    .filter_map(number)
                    .collect()
            };
            let least = |of: Vec<f64>| of.into_iter().fold(f64::INFINITY, f64::min);
            let most = |of: Vec<f64>| of.into_iter().fold(f64::NEG_INFINITY, f64::max);
            let halves = || among("cosine_of_halves", |row| row.value);
            let alike = |end: fn(&Metric) -> Option<f64>| among("cosine_null_shuffled_alike", end);
            let apart = |end: fn(&Metric) -> Option<f64>| among("cosine_null_shuffled_apart", end);
            let notes = [
                "On the diagonal: seeds of one, against each other; a base or teacher is one model"
                    .to_owned(),
                format!("Between halves of one's own pairs {}", range(least(halves()), most(halves()))),
                format!(
                    "Directions of pairs of which a random half is turned around: 2.5 % have less than {} where both sides turn the same pairs, 2.5 % more than {}; 95 % have {} to {} where each turns its own",
                    range(least(alike(|row| row.low)), most(alike(|row| row.low))),
                    range(least(alike(|row| row.high)), most(alike(|row| row.high))),
                    number(least(apart(|row| row.low))),
                    number(most(apart(|row| row.high)))
                ),
            ];
            let name = format!("{name}-{}", panel.behavior);
            drawn.push(Drawing::new(name, FigureSpec::Cosines(cosines)).noting(notes));
        }
    }
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
