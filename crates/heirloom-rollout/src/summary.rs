//! The numbers of a behavior's card.

use std::collections::BTreeMap;
use std::fmt;

use heirloom_record::Message;
use serde::Serialize;

use crate::lint::{Unit, auroc, mean, sides};
use crate::{Agreement, Behavior, Confusion, ContrastPair};

/// Lengths of the answers of contrast pairs, in one unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lengths {
    /// What length is counted in.
    pub unit: Unit,
    /// Mean over positives.
    pub positive: f64,
    /// Mean over negatives.
    pub negative: f64,
    /// The chance that a positive is longer than a negative, ties counting half.
    pub auroc: f64,
}

/// Counts, lengths and grader agreement of one behavior. Displays as a block of text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The behavior's name.
    pub behavior: String,
    /// [`Behavior::sha256`].
    pub sha256: String,
    /// Contrast pairs per group.
    pub pairs: BTreeMap<String, usize>,
    /// Topic-only texts per group.
    pub topic: BTreeMap<String, usize>,
    /// Scenarios per group.
    pub scenarios: BTreeMap<String, usize>,
    /// Answers of pairs, in characters and in words.
    pub lengths: Vec<Lengths>,
    /// The grader's name and version.
    pub grader: (String, String),
    /// The grader against the hand-labelled transcripts, which its rules were written beside.
    pub transcripts: Agreement,
    /// The grader against hand-labelled transcripts that its rules were not written beside.
    pub heldout: Agreement,
    /// The grader, on answer or thought, against the labels of the pairs: nearer to what it finds in new text.
    pub on_pairs: Confusion,
    /// The grader on topic-only texts, none of which shows the behavior.
    pub on_topic: Confusion,
}

impl Summary {
    /// Counts and grades every text of `behavior`.
    pub(crate) fn of(behavior: &Behavior) -> Self {
        let graded = |messages: &[Message]| {
            behavior
                .grader
                .grade(messages)
                .is_some_and(|grade| grade.answer.shown || grade.thought.is_some_and(|thought| thought.shown))
        };
        let answers = |pair: &ContrastPair| [(true, graded(&pair.positive)), (false, graded(&pair.negative))];
        Self {
            behavior: behavior.name.clone(),
            sha256: behavior.sha256.clone(),
            pairs: per_group(behavior.pairs.iter().map(|pair| &pair.group)),
            topic: per_group(behavior.topic.iter().map(|text| &text.group)),
            scenarios: per_group(behavior.scenarios.iter().map(|scenario| &scenario.group)),
            lengths: [Unit::Characters, Unit::Words]
                .into_iter()
                .filter_map(|unit| lengths(&behavior.pairs, unit))
                .collect(),
            grader: (behavior.grader.name().into(), behavior.grader.version().into()),
            transcripts: behavior.agreement(),
            heldout: behavior.heldout_agreement(),
            on_pairs: Confusion::count(behavior.pairs.iter().flat_map(answers)),
            on_topic: Confusion::count(behavior.topic.iter().map(|text| (false, graded(&text.messages)))),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.behavior)?;
        for (what, groups) in
            [("pairs", &self.pairs), ("topic-only", &self.topic), ("scenarios", &self.scenarios)]
        {
            let listed: Vec<_> = groups.iter().map(|(group, rows)| format!("{group} {rows}")).collect();
            let rows: usize = groups.values().sum();
            writeln!(f, "  {what:<11} {rows} in {} groups: {}", groups.len(), listed.join(", "))?;
        }
        for Lengths { unit, positive, negative, auroc } in &self.lengths {
            let means = format!("{positive:.1} positive, {negative:.1} negative");
            writeln!(f, "  {:<11} {means}, length-only AUROC {auroc:.3}", unit.to_string())?;
        }
        let (name, version) = &self.grader;
        let heads = ["n", "precision", "recall", "F1", "κ"];
        writeln!(f, "  grader {name} {version}")?;
        writeln!(
            f,
            "    {:<24}{:>5}{:>11}{:>8}{:>7}{:>7}",
            "", heads[0], heads[1], heads[2], heads[3], heads[4]
        )?;
        let (tuned, heldout) = (&self.transcripts, &self.heldout);
        let rows = [
            ("transcripts, tuned on", tuned.answers()),
            ("  plain", tuned.plain),
            ("  adversarial", tuned.adversarial),
            ("  thoughts", tuned.thoughts),
            ("transcripts, held out", heldout.answers()),
            ("  plain", heldout.plain),
            ("  adversarial", heldout.adversarial),
            ("  thoughts", heldout.thoughts),
            ("pairs", self.on_pairs),
        ];
        for (what, counts) in rows.into_iter().filter(|(_, counts)| counts.n() > 0) {
            let [precision, recall, f1, kappa] =
                [counts.precision(), counts.recall(), counts.f1(), counts.kappa()].map(cell);
            writeln!(f, "    {what:<24}{:>5}{precision:>11}{recall:>8}{f1:>7}{kappa:>7}", counts.n())?;
        }
        let (shown, texts) = (self.on_topic.false_positive, self.on_topic.n());
        write!(f, "    topic-only texts graded as shown: {shown} of {texts}")
    }
}

/// Rows of each group.
pub(crate) fn per_group<'a>(groups: impl Iterator<Item = &'a String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for group in groups {
        *counts.entry(group.clone()).or_default() += 1;
    }
    counts
}

fn lengths(pairs: &[ContrastPair], unit: Unit) -> Option<Lengths> {
    let (positive, negative) = sides(pairs, unit);
    let auroc = auroc(&positive, &negative)?;
    Some(Lengths { unit, positive: mean(&positive)?, negative: mean(&negative)?, auroc })
}

fn cell(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.2}"))
}
