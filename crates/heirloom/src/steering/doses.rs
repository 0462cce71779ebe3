//! Answers by strength as a table, and what is drawn of it.

use heirloom_figure::{Behavior, DoseResponseSpec, Drawing, FigureSpec};
use heirloom_probe::interval::quantile;
use heirloom_probe::rate::Estimate;
use heirloom_record::Dose;

use super::about::{About, At};
use super::answers::{Answered, Seen};
use super::bench::{Doing, Edits, Family};
use super::weigh::Weighed;

const METRICS: [&str; 2] = ["rate", "coherence"];

/// Rates and coherence of every direction and null family at every strength, and the base's opinion of the answers.
pub(super) fn table(edits: &Edits, answered: &Answered, weighed: &Weighed, about: &About<'_>) -> Vec<Dose> {
    let mut rows = vec![];
    for (behavior, (name, _)) in about.behaviors.iter().enumerate() {
        let writer = Writer { behavior: name, about };
        for direction in 0..about.behaviors.len() {
            let added = if direction == behavior {
                "direction".to_owned()
            } else {
                format!("direction of {}", about.behaviors[direction].0)
            };
            let (rate, coherence) = &weighed.unsteered[behavior];
            rows.extend(writer.measured(&added, 0.0, [rate, coherence]));
            rows.extend(writer.log_prob(&added, 0.0, &answered.unsteered[behavior]));
            let response = &weighed.responses[direction][behavior];
            for dose in &response.responses {
                rows.extend(writer.measured(&added, dose.strength, [&dose.rate, &dose.coherence]));
            }
            let own = edits.looks.iter().zip(&answered.looks).filter(|(look, _)| look.vector == direction);
            for (look, seen) in own {
                if let Doing::Add(strength) = look.doing {
                    rows.extend(writer.log_prob(&added, strength, &seen[behavior]));
                }
            }
            if let Some(slope) = &response.slope {
                rows.push(writer.estimate(&added, 0.0, "slope", slope));
            }
        }
        for (family, added) in [(Family::Random, "random"), (Family::Difference, "difference")] {
            let vectors: Vec<usize> = edits.of(family).collect();
            for strength in [0.0].into_iter().chain(about.search.strengths.iter().copied()) {
                let own = edits.looks.iter().zip(&answered.looks);
                let own = own
                    .filter(|(look, _)| vectors.contains(&look.vector) && look.doing == Doing::Add(strength));
                let seen: Vec<&Seen> = own.map(|(_, seen)| &seen[behavior]).collect();
                // Without any strength, every control is the unsteered model.
                let seen =
                    if seen.is_empty() { vec![&answered.unsteered[behavior]; vectors.len()] } else { seen };
                rows.push(writer.draws(added, strength, METRICS[0], seen.iter().map(|seen| seen.rate())));
                rows.push(writer.draws(
                    added,
                    strength,
                    METRICS[1],
                    seen.iter().map(|seen| seen.coherence()),
                ));
            }
        }
    }
    rows
}

/// The own behavior of each direction over strength.
pub(super) fn drawing(weighed: &Weighed, about: &About<'_>) -> Drawing {
    let behaviors = about.behaviors.iter();
    let behaviors =
        behaviors.map(|(name, label)| Behavior { name: name.clone(), label: label.clone() }).collect();
    let spec = DoseResponseSpec {
        floor: Some((100.0 * weighed.floor).round() / 100.0),
        ..DoseResponseSpec::new(behaviors)
    };
    Drawing::new("dose-response", FigureSpec::DoseResponse(spec)).noting([format!(
        "Added at {}; directions fit on {}. Bands of controls are theirs at each strength; verdicts compare \
         each control at its own best strength",
        if about.at == At::LastPrompt { "the last prompt token alone" } else { "every token" },
        about.fits()
    )])
}

struct Writer<'a> {
    behavior: &'a str,
    about: &'a About<'a>,
}

impl Writer<'_> {
    fn row(&self, added: &str, strength: f64, metric: &str) -> Dose {
        Dose {
            behavior: self.behavior.into(),
            arm: Some(self.about.arm.clone()),
            direction: added.into(),
            hook: self.about.hook,
            strength,
            metric: metric.into(),
            value: None,
            low: None,
            high: None,
            n: None,
            interval: None,
        }
    }

    fn measured(&self, added: &str, strength: f64, found: [&Estimate; 2]) -> [Dose; 2] {
        [0, 1].map(|index| self.estimate(added, strength, METRICS[index], found[index]))
    }

    fn estimate(&self, added: &str, strength: f64, metric: &str, found: &Estimate) -> Dose {
        Dose {
            value: Some(found.value),
            low: Some(found.low),
            high: Some(found.high),
            n: i64::try_from(found.n).ok(),
            interval: Some(found.describe(self.about.unit, "scenarios")),
            ..self.row(added, strength, metric)
        }
    }

    /// How likely the base finds an answer's tokens, on average.
    fn log_prob(&self, added: &str, strength: f64, seen: &Seen) -> Option<Dose> {
        seen.likelihood().map(|value| Dose {
            value: Some(value),
            n: i64::try_from(seen.log_prob.len()).ok(),
            ..self.row(added, strength, "log_prob_of_base")
        })
    }

    fn draws(&self, added: &str, strength: f64, metric: &str, values: impl Iterator<Item = f64>) -> Dose {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let [low, middle, high] = [0.025, 0.5, 0.975].map(|q| quantile(&sorted, q));
        Dose {
            value: Some(middle),
            low: Some(low),
            high: Some(high),
            n: i64::try_from(sorted.len()).ok(),
            interval: Some("middle 95 % of draws".into()),
            ..self.row(added, strength, metric)
        }
    }
}
