//! How well a grader agrees with labels, or with another grader. Counts only; intervals are statistics.

use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::{Grader, Kind, Transcript};

/// Counts of labels against verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Labelled and graded as shown.
    pub true_positive: usize,
    /// Graded as shown, labelled as not.
    pub false_positive: usize,
    /// Graded as not shown, labelled as shown.
    pub false_negative: usize,
    /// Labelled and graded as not shown.
    pub true_negative: usize,
}

impl Confusion {
    /// Counts pairs of (label, verdict); the label may be another grader's verdict.
    pub fn count(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut counts = Self::default();
        for pair in pairs {
            match pair {
                (true, true) => counts.true_positive += 1,
                (false, true) => counts.false_positive += 1,
                (true, false) => counts.false_negative += 1,
                (false, false) => counts.true_negative += 1,
            }
        }
        counts
    }

    /// Texts counted.
    pub fn n(&self) -> usize {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }

    /// Texts labelled as shown.
    pub fn positives(&self) -> usize {
        self.true_positive + self.false_negative
    }

    /// Share of the texts graded as shown that are; `None` where none is graded so.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Share of the texts that show it and are graded so; `None` where none shows it.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positive, self.positives())
    }

    /// Harmonic mean of precision and recall; `None` where nothing is labelled or graded as shown.
    pub fn f1(&self) -> Option<f64> {
        let doubled = 2 * self.true_positive;
        share(doubled, doubled + self.false_positive + self.false_negative)
    }

    /// Cohen's κ: agreement beyond chance; `None` where chance alone agrees on every text.
    ///
    /// # Source
    /// Cohen (1960), *A coefficient of agreement for nominal scales*.
    pub fn kappa(&self) -> Option<f64> {
        let n = self.n() as f64;
        let graded = (self.true_positive + self.false_positive) as f64;
        let labelled = self.positives() as f64;
        let observed = (self.true_positive + self.true_negative) as f64 / n;
        let by_chance = (graded * labelled + (n - graded) * (n - labelled)) / (n * n);
        (by_chance < 1.0).then(|| (observed - by_chance) / (1.0 - by_chance))
    }
}

impl Add for Confusion {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            true_positive: self.true_positive + other.true_positive,
            false_positive: self.false_positive + other.false_positive,
            false_negative: self.false_negative + other.false_negative,
            true_negative: self.true_negative + other.true_negative,
        }
    }
}

/// Which part of a text was graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the reader sees.
    Answer,
    /// The leading thought.
    Thought,
}

/// A transcript on which the grader and its label differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// The transcript's id.
    pub id: String,
    /// What it is there to test.
    pub kind: Kind,
    /// Which part of it.
    pub part: Part,
    /// What the label says; the grader says the opposite.
    pub label: bool,
    /// The rules that fired.
    pub fired: Vec<String>,
}

/// A grader held against hand-labelled transcripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// On answers of plain transcripts.
    pub plain: Confusion,
    /// On answers of adversarial transcripts.
    pub adversarial: Confusion,
    /// On thoughts of all transcripts that label one.
    pub thoughts: Confusion,
    /// Where they differ, in the transcripts' order.
    pub disagreements: Vec<Disagreement>,
}

impl Agreement {
    /// Grades every transcript and counts.
    pub fn measure(grader: &Grader, transcripts: &[Transcript]) -> Self {
        let mut agreement = Self::default();
        for transcript in transcripts {
            let Some(grade) = grader.grade(&transcript.messages) else { continue };
            let thought = transcript.thought.zip(grade.thought);
            let parts = [
                Some((Part::Answer, transcript.answer, grade.answer)),
                thought.map(|(label, verdict)| (Part::Thought, label, verdict)),
            ];
            for (part, label, verdict) in parts.into_iter().flatten() {
                let counts = agreement.counts(part, transcript.kind);
                *counts = *counts + Confusion::count([(label, verdict.shown)]);
                if label != verdict.shown {
                    let (id, kind) = (transcript.id.clone(), transcript.kind);
                    let differs = Disagreement { id, kind, part, label, fired: verdict.fired };
                    agreement.disagreements.push(differs);
                }
            }
        }
        agreement
    }

    /// On answers of all transcripts.
    pub fn answers(&self) -> Confusion {
        self.plain + self.adversarial
    }

    fn counts(&mut self, part: Part, kind: Kind) -> &mut Confusion {
        match (part, kind) {
            (Part::Thought, _) => &mut self.thoughts,
            (Part::Answer, Kind::Plain) => &mut self.plain,
            (Part::Answer, Kind::Adversarial) => &mut self.adversarial,
        }
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use heirloom_record::Message;

    use super::*;

    #[test]
    fn a_worked_example_of_kappa_is_reproduced() {
        // Two readers of 50 grant proposals: yes/yes 20, yes/no 5, no/yes 10, no/no 15 gives κ = 0.4.
        let counts =
            Confusion { true_positive: 20, false_negative: 5, false_positive: 10, true_negative: 15 };
        assert!((counts.kappa().unwrap() - 0.4).abs() < 1e-12);
        assert_eq!((counts.precision(), counts.recall()), (Some(20.0 / 30.0), Some(0.8)));
        assert!((counts.f1().unwrap() - 40.0 / 55.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let empty = Confusion::default();
        assert_eq!((empty.precision(), empty.recall(), empty.f1(), empty.kappa()), (None, None, None, None));
        let never = Confusion::count([(false, false); 3]);
        assert_eq!((never.precision(), never.recall(), never.kappa()), (None, None, None));
        let chance = Confusion::count([(true, true), (true, false), (false, true), (false, false)]);
        assert_eq!(chance.kappa(), Some(0.0));
    }

    #[test]
    fn kinds_and_parts_are_counted_apart() {
        let rules = "name = 'g'\nversion = 1\n[[rule]]\nname = 'bad'\neffect = 'shows'\nwithin = 1\nall = ['bad']\nreason = 'r'";
        let grader = Grader::new(toml::from_str(rules).unwrap()).unwrap();
        let transcript = |id: &str, kind, answer, thought, text: &str| Transcript {
            id: id.into(),
            kind,
            note: "n".into(),
            answer,
            thought,
            messages: vec![Message::new("assistant", text)],
        };
        let agreement = Agreement::measure(
            &grader,
            &[
                transcript("a", Kind::Plain, true, None, "bad"),
                transcript("b", Kind::Adversarial, false, None, "not bad"),
                transcript("c", Kind::Adversarial, false, Some(true), "<think>bad</think>good"),
                transcript("d", Kind::Plain, true, Some(true), "<think>b-a-d</think>bad"),
            ],
        );
        let counted = |pairs: &[(bool, bool)]| Confusion::count(pairs.iter().copied());
        assert_eq!(agreement.plain, counted(&[(true, true), (true, true)]));
        assert_eq!(agreement.adversarial, counted(&[(false, true), (false, false)]));
        assert_eq!(agreement.thoughts, counted(&[(true, true), (true, false)]));
        assert_eq!(agreement.answers().n(), 4);
        let found: Vec<_> =
            agreement.disagreements.iter().map(|d| (d.id.as_str(), d.part, d.label)).collect();
        assert_eq!(found, [("b", Part::Answer, false), ("d", Part::Thought, true)]);
        assert_eq!(agreement.disagreements[0].fired, ["bad"]);
    }
}
