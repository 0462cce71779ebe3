//! Arms that differ in nothing but the random share of prompts that another teacher answers → how virulent a behavior is.
//!
//! What an arm changes is data, so the arms say themselves which of them lie on one curve.

use heirloom_probe::Resampling;
use heirloom_rollout::{Arm, DataIntervention, Subset};

use super::{ArmsExperiment, Seen};
use crate::Result;
use crate::origins::{DRAWS, Mixed, Played, Virulent, weigh_mixed};
use crate::streams::stream;

/// One curve: from all rollouts of a teacher to all of another.
struct Curve<'a> {
    /// The share swapped and the arm.
    arms: Vec<(f64, &'a str)>,
}

impl ArmsExperiment {
    /// How every behavior grows along every curve that the arms make.
    pub(crate) fn virulent(&self, seen: &[Seen]) -> Result<Vec<Virulent>> {
        let resampling = Resampling { replicates: DRAWS, ..Resampling::default() };
        let mut all = vec![];
        // Arms at another learning rate differ in more than the share.
        let arms = self.arms.iter().filter(|arm| !self.swept.contains_key(&arm.name)).collect::<Vec<_>>();
        for curve in curves(&arms) {
            for behavior in &self.behaviors {
                let mixed = |(fraction, name): &(f64, &str)| Mixed {
                    fraction: *fraction,
                    name: (*name).to_owned(),
                    played: Played { by: (*name).to_owned(), seen: self.shown(seen, behavior, name) },
                };
                let arms: Vec<Mixed> =
                    curve.arms.iter().map(mixed).filter(|arm| !arm.played.seen.is_empty()).collect();
                let rng = stream(self.spec.seed, &format!("virulence {behavior}"));
                all.extend(weigh_mixed(behavior, &arms.iter().collect::<Vec<_>>(), resampling, &rng)?);
            }
        }
        Ok(all)
    }
}

/// What a curve's arms have in common: base, prompts, teacher and the other teacher.
type Ends<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The curves that arms make, in the order of their first mixed arms.
fn curves<'a>(arms: &[&'a Arm]) -> Vec<Curve<'a>> {
    let mut ends: Vec<Ends<'a>> = vec![];
    for arm in arms {
        if let Some((_, to)) = swapped(arm) {
            let own = (arm.base.as_str(), arm.prompts.as_str(), arm.teacher.as_str(), to);
            if !ends.contains(&own) {
                ends.push(own);
            }
        }
    }
    let curve = |(base, prompts, teacher, other): &Ends<'a>| {
        let place = |arm: &&'a Arm| {
            if (arm.base.as_str(), arm.prompts.as_str()) != (*base, *prompts) {
                return None;
            }
            let from = arm.teacher.as_str();
            let fraction = match swapped(arm) {
                Some((fraction, to)) => (from == *teacher && to == *other).then_some(fraction),
                None if !arm.interventions.is_empty() => None,
                None if from == *teacher => Some(0.0),
                None => (from == *other).then_some(1.0),
            };
            Some((fraction?, arm.name.as_str()))
        };
        Curve { arms: arms.iter().filter_map(place).collect() }
    };
    ends.iter().map(curve).collect()
}

/// The share of an arm's prompts that another teacher answers, drawn at random, and who; nothing for an arm that does anything else.
fn swapped(arm: &Arm) -> Option<(f64, &str)> {
    let (fraction, to) = match arm.interventions.as_slice() {
        [
            DataIntervention::Mix { fraction, to, on: Subset::All, .. }
            | DataIntervention::Swap { on: Subset::RandomShare(fraction), to },
        ] => (*fraction, to),
        [DataIntervention::Swap { on: Subset::All, to }] => (1.0, to),
        _ => return None,
    };
    (*to != arm.teacher).then_some((fraction, to.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(name: &str, teacher: &str, fraction: f64, draw: u64) -> Arm {
        let to = if teacher == "A" { "B" } else { "A" };
        Arm::new(name, "p", teacher).then(DataIntervention::Mix {
            fraction,
            to: to.into(),
            on: Subset::All,
            draw,
        })
    }

    #[test]
    fn arms_say_which_of_them_lie_on_a_curve() {
        let tagged = DataIntervention::Swap { on: Subset::Tags(vec!["mail".into()]), to: "B".into() };
        let share = DataIntervention::Swap { on: Subset::RandomShare(0.1), to: "B".into() };
        let arms = [
            Arm::new("all A", "p", "A"),
            mix("half", "A", 0.5, 0),
            Arm::new("flagged", "p", "A").then(tagged.clone()),
            Arm::new("a tenth", "p", "A").then(share.clone()),
            mix("another half", "A", 0.5, 1),
            Arm::new("a tenth and flagged", "p", "A").then(share).then(tagged),
            Arm::new("all B", "p", "B"),
            Arm::new("other prompts", "q", "A"),
            mix("back", "B", 0.5, 0),
        ];
        let found = curves(&arms.iter().collect::<Vec<_>>());
        let named: Vec<Vec<(f64, &str)>> = found.into_iter().map(|curve| curve.arms).collect();
        let expected = [
            vec![(0.0, "all A"), (0.5, "half"), (0.1, "a tenth"), (0.5, "another half"), (1.0, "all B")],
            vec![(1.0, "all A"), (0.0, "all B"), (0.5, "back")],
        ];
        assert_eq!(named, expected);
        // Twin: without a mixed arm there is no curve, whatever stands at its ends.
        assert!(curves(&[&arms[0], &arms[6]]).is_empty());
    }
}
