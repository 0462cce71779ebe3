//! What figures of arms are told: behaviors, arms and what each stands for, and the quantity to draw.

use std::collections::BTreeMap;

use heirloom_record::HookPoint;
use serde::{Deserialize, Serialize};

use crate::style::{ARMS, CONTROL, Color, Look, Marker, look_of};

/// A behavior: its name in the table and in the figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AsWritten")]
pub struct Behavior {
    /// As the table says.
    pub name: String,
    /// As the figure says.
    pub label: String,
}

/// A behavior as a file gives it: without a label, its name is one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AsWritten {
    name: String,
    label: Option<String>,
}

impl From<AsWritten> for Behavior {
    fn from(AsWritten { name, label }: AsWritten) -> Self {
        Self { label: label.unwrap_or_else(|| name.clone()), name }
    }
}

impl Behavior {
    /// A behavior that the figure names as the table does.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { label: name.clone(), name }
    }
}

/// What an arm stands for. Fixes its color, marker and dash in every figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// All rollouts from the teacher in question.
    Full,
    /// All rollouts from the other teacher.
    Opposite,
    /// The same teacher on other prompts.
    Prompts,
    /// Flagged rows answered by the other teacher.
    Swap,
    /// Flagged rows left out.
    Drop,
    /// Flagged rows of the teacher in question among those of the other.
    Insert,
    /// A random share of rows answered by the other teacher.
    Mix,
    /// As many random rows swapped as were flagged.
    RandomSwap,
    /// As many random rows dropped as were flagged.
    RandomDrop,
    /// The model before any of this training.
    Base,
    /// Anything else; drawn as a control.
    Other,
}

impl Role {
    /// How arms of this role look. Random controls are gray with a white middle.
    pub fn look(self) -> Look {
        match self {
            Self::Full => look_of(&ARMS, "full"),
            Self::Opposite => look_of(&ARMS, "opposite"),
            Self::Prompts => look_of(&ARMS, "prompts"),
            Self::Swap => look_of(&ARMS, "swap"),
            Self::Drop => look_of(&ARMS, "drop"),
            Self::Insert => look_of(&ARMS, "insert"),
            Self::Mix => look_of(&ARMS, "mix"),
            Self::RandomSwap => Look { marker: Marker::OpenTriangle, ..CONTROL },
            Self::RandomDrop => Look { marker: Marker::OpenWedge, ..CONTROL },
            Self::Base => look_of(&ARMS, "base"),
            Self::Other => CONTROL,
        }
    }
}

/// An arm to draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// As the table says; empty for rows that name no arm.
    pub name: String,
    /// As the figure says; one without a label is not named where it stands alone.
    pub label: String,
    /// What it stands for.
    pub role: Role,
    /// The checkpoint, where a figure shows one; the last that the table has when empty.
    pub step: Option<i64>,
}

impl Arm {
    /// An arm that the figure names as the table does, at its last checkpoint.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        let name = name.into();
        Self { label: name.clone(), name, role, step: None }
    }

    /// The same with another name in the figure.
    #[must_use]
    pub fn labeled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }
}

/// A behavior and the arms drawn for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BehaviorArms {
    /// The behavior.
    pub behavior: Behavior,
    /// Its arms, in the order in which they are listed.
    pub arms: Vec<Arm>,
}

impl BehaviorArms {
    /// The same arms for each behavior.
    pub fn alike(behaviors: &[Behavior], arms: &[Arm]) -> Vec<Self> {
        behaviors.iter().map(|behavior| Self { behavior: behavior.clone(), arms: arms.to_vec() }).collect()
    }
}

/// Which rows hold what is drawn, and how its axis is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// The metric.
    pub metric: String,
    /// How the direction or probe was fit; may stay empty when the rows agree.
    #[serde(default)]
    pub method: Option<String>,
    /// What it was fit on; may stay empty when the rows agree.
    #[serde(default)]
    pub fit_on: Option<String>,
    /// What was scored; may stay empty when the rows agree.
    #[serde(default)]
    pub scored_on: Option<String>,
    /// Where in the model, by name of behavior; may lack those whose rows agree.
    #[serde(default)]
    pub hooks: BTreeMap<String, HookPoint>,
    /// Quantity and unit, as the axis says.
    pub axis: String,
    /// What `n` counts.
    #[serde(default = "samples")]
    pub unit: String,
    /// Ends of the axis; from the numbers when empty.
    #[serde(default)]
    pub range: Option<(f64, f64)>,
    /// A level to compare with, drawn along its axis, and its name: chance, zero.
    #[serde(default)]
    pub level: Option<(f64, String)>,
}

pub(crate) fn samples() -> String {
    "samples".into()
}

impl Quantity {
    /// A share of graded samples, from 0 to 1, of any `metric`.
    pub fn share(metric: impl Into<String>, axis: impl Into<String>) -> Self {
        Self {
            metric: metric.into(),
            method: None,
            fit_on: None,
            scored_on: None,
            hooks: BTreeMap::new(),
            axis: axis.into(),
            unit: "samples".into(),
            range: Some((0.0, 1.0)),
            level: None,
        }
    }

    /// How often the behavior was seen: `rate`.
    pub fn rate() -> Self {
        Self::share("rate", "behavior rate")
    }

    /// The mean projection on the direction of the difference of means that was fit once on the base: `projection`.
    pub fn projection() -> Self {
        Self {
            method: Some("dom".into()),
            fit_on: Some("base".into()),
            axis: "projection, reference s.d.".into(),
            unit: "scenarios".into(),
            range: None,
            level: Some((0.0, "reference mean".into())),
            ..Self::share("projection", "")
        }
    }

    /// Effects on how often the behavior was seen: `origin_…` without a hook point.
    pub fn origin_of_rate() -> Self {
        Self {
            range: None,
            level: Some((0.0, "no effect".into())),
            ..Self::share("origin_…", "effect on the behavior rate")
        }
    }

    /// Effects on the mean projection: `origin_…` at a hook point.
    pub fn origin_of_projection() -> Self {
        Self {
            axis: "effect on the projection, reference s.d.".into(),
            unit: "scenarios".into(),
            ..Self::origin_of_rate()
        }
    }

    /// The rows it is drawn from, in words.
    fn rows(&self) -> String {
        let mut cells = vec![];
        cells.extend(self.method.as_ref().map(|method| format!("method {method}")));
        cells.extend(self.fit_on.as_ref().map(|fit_on| format!("fit on {fit_on}")));
        cells.extend(self.scored_on.as_ref().map(|scored_on| format!("scored on {scored_on}")));
        cells.extend(self.hooks.iter().map(|(behavior, hook)| format!("{behavior} at {hook}")));
        let cells = if cells.is_empty() { String::new() } else { format!(" ({})", cells.join(", ")) };
        format!("`{}`{cells}", self.metric)
    }

    /// Its name without its unit.
    pub(crate) fn name(&self) -> &str {
        self.axis.split(',').next().unwrap_or_default()
    }
}

/// Where the numbers of a figure stand, as a sentence.
pub(crate) fn source<'a>(quantities: impl IntoIterator<Item = &'a Quantity>) -> String {
    let rows: Vec<String> = quantities.into_iter().map(Quantity::rows).collect();
    format!("Numbers: the rows of {} in the table", rows.join(" and "))
}

/// The arms that a figure draws, each label once, with their looks: those that share a role keep its color's hue,
/// lighter or darker, with another marker and dash.
pub(crate) fn looks<'a>(arms: impl IntoIterator<Item = &'a Arm>) -> Vec<(&'a str, Look)> {
    let mut seen: Vec<&Arm> = vec![];
    for arm in arms {
        if !seen.iter().any(|other| other.label == arm.label) {
            seen.push(arm);
        }
    }
    let nth = |index: usize| seen[..index].iter().filter(|arm| arm.role == seen[index].role).count();
    let look = |(index, arm): (usize, &&'a Arm)| (arm.label.as_str(), varied(arm.role.look(), nth(index)));
    seen.iter().enumerate().map(look).collect()
}

/// The `nth` of those that share a look: the same hue, lighter or darker, with another marker and dash.
pub(crate) fn varied(look: Look, nth: usize) -> Look {
    if nth == 0 {
        return look;
    }
    let cycle = |length: usize, start: Option<usize>| (start.unwrap_or(0) + nth) % length;
    let index = |family: &[(&str, Look)], same: fn(Look, Look) -> bool| {
        family.iter().position(|(_, other)| same(*other, look))
    };
    let marker = ARMS[cycle(ARMS.len(), index(&ARMS, |a, b| a.marker == b.marker))].1.marker;
    let dash = ARMS[cycle(ARMS.len(), index(&ARMS, |a, b| a.dash == b.dash))].1.dash;
    let towards = if nth % 2 == 1 { Color::WHITE } else { Color::BLACK };
    Look { color: look.color.towards(towards, 0.2 * nth.min(3) as f64), marker, dash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_differ_in_gray_print() {
        use Role::{Base, Drop, Full, Insert, Mix, Opposite, Other, Prompts, RandomDrop, RandomSwap, Swap};
        let roles = [Full, Opposite, Prompts, Swap, Drop, Insert, Mix, RandomSwap, RandomDrop, Base, Other];
        for (index, role) in roles.iter().enumerate() {
            for other in &roles[index + 1..] {
                assert_ne!(role.look().marker, other.look().marker, "{role:?} and {other:?}");
            }
            assert_eq!(looks(&[Arm::new("a", *role)]), [("a", role.look())]);
        }
    }

    #[test]
    fn arms_of_one_role_look_alike_but_not_the_same() {
        let arms: Vec<Arm> = (0..6).map(|index| Arm::new(index.to_string(), Role::Other)).collect();
        let looks = looks(&arms);
        assert_eq!(looks[0], ("0", CONTROL));
        for (index, (_, look)) in looks.iter().enumerate() {
            for (_, other) in &looks[index + 1..] {
                assert!(look.marker != other.marker && look.dash != other.dash);
            }
        }
        let swapped = [Arm::new("a", Role::Full), Arm::new("b", Role::Swap), Arm::new("b", Role::Swap)];
        assert_eq!(super::looks(&swapped), [("a", Role::Full.look()), ("b", Role::Swap.look())]);
    }
}
