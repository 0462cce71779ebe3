//! Grading stored rollouts, and holding two graders' grades of them against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use heirloom_record::{GradeRow, Rollout};

use crate::{Confusion, Grader, Part};

/// One grade for each rollout, in their order. Nothing is sampled: the same rollouts and rules give the same rows.
///
/// The answer and the thought before it are graded apart; a rollout cut off inside its thought has an empty answer.
pub fn grade_rollouts(grader: &Grader, behavior: &str, rollouts: &[Rollout]) -> Vec<GradeRow> {
    let row = |rollout: &Rollout| {
        let grade = grader.grade_text(rollout.answer());
        let (thought, thought_fired) =
            grade.thought.map_or((None, vec![]), |verdict| (Some(verdict.shown), verdict.fired));
        GradeRow {
            rollout: rollout.id.clone(),
            prompt: rollout.prompt.clone(),
            behavior: behavior.into(),
            grader: grade.grader,
            version: grade.version,
            sha256: grade.sha256,
            answer: grade.answer.shown,
            thought,
            fired: grade.answer.fired,
            thought_fired,
            evidence: grade.answer.evidence,
        }
    };
    rollouts.iter().map(row).collect()
}

/// Two graders on the same rollouts. Displays as a block of text, with n and κ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The behavior.
    pub behavior: String,
    /// Name and version of the grader that the counts take as the label.
    pub first: String,
    /// Name and version of the other.
    pub second: String,
    /// On answers.
    pub answers: Confusion,
    /// On thoughts, where both graded one.
    pub thoughts: Confusion,
    /// Rollouts that only one of them graded.
    pub unmatched: usize,
    /// Where they differ: rollout and part, in the first grader's order.
    pub disagreements: Vec<(String, Part)>,
}

impl Comparison {
    /// Counts the verdicts of two graders on each rollout that both graded.
    pub fn of(first: &[GradeRow], second: &[GradeRow]) -> Self {
        let named = |rows: &[GradeRow]| {
            rows.first().map_or("no grades".into(), |row| format!("{} {}", row.grader, row.version))
        };
        let ids =
            |rows: &[GradeRow]| -> BTreeSet<String> { rows.iter().map(|row| row.rollout.clone()).collect() };
        let others: BTreeMap<&str, &GradeRow> =
            second.iter().map(|row| (row.rollout.as_str(), row)).collect();
        let mut comparison = Self {
            behavior: first.iter().chain(second).next().map_or_else(String::new, |row| row.behavior.clone()),
            first: named(first),
            second: named(second),
            answers: Confusion::default(),
            thoughts: Confusion::default(),
            unmatched: ids(first).symmetric_difference(&ids(second)).count(),
            disagreements: vec![],
        };
        for row in first {
            let Some(other) = others.get(row.rollout.as_str()) else { continue };
            comparison.add(row, Part::Answer, row.answer, other.answer);
            if let (Some(label), Some(verdict)) = (row.thought, other.thought) {
                comparison.add(row, Part::Thought, label, verdict);
            }
        }
        comparison
    }

    fn add(&mut self, row: &GradeRow, part: Part, label: bool, verdict: bool) {
        let counts = match part {
            Part::Answer => &mut self.answers,
            Part::Thought => &mut self.thoughts,
        };
        *counts = *counts + Confusion::count([(label, verdict)]);
        if label != verdict {
            self.disagreements.push((row.rollout.clone(), part));
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} against {}", self.behavior, self.second, self.first)?;
        let heads = ["n", "both", "first only", "second only", "neither", "κ"];
        write!(
            f,
            "\n  {:<9}{:>7}{:>7}{:>12}{:>13}{:>9}{:>7}",
            "", heads[0], heads[1], heads[2], heads[3], heads[4], heads[5]
        )?;
        for (part, counts) in [("answers", self.answers), ("thoughts", self.thoughts)] {
            if counts.n() == 0 {
                continue;
            }
            let Confusion { true_positive, false_positive, false_negative, true_negative } = counts;
            let kappa = counts.kappa().map_or("–".into(), |kappa| format!("{kappa:.2}"));
            write!(
                f,
                "\n  {part:<9}{:>7}{true_positive:>7}{false_negative:>12}{false_positive:>13}{true_negative:>9}{kappa:>7}",
                counts.n()
            )?;
        }
        if self.unmatched > 0 {
            write!(f, "\n  graded by one of them only: {}", self.unmatched)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use heirloom_record::{Message, Prompt};

    use super::*;

    fn grader(word: &str) -> Grader {
        let rules = format!(
            "name = 'says {word}'\nversion = 2\n[[rule]]\nname = 'word'\neffect = 'shows'\nwithin = 1\nall = ['{word}']\nreason = 'r'"
        );
        Grader::new(toml::from_str(&rules).unwrap()).unwrap()
    }

    fn rollouts(answers: &[&str]) -> Vec<Rollout> {
        let prompt = |id: usize| Prompt {
            id: format!("p{id}"),
            source: "A".into(),
            tags: vec![],
            messages: vec![Message::new("user", "bad")],
        };
        let rollout = |(id, answer): (usize, &&str)| Rollout::new("t", &prompt(id), 0, answer, vec![], true);
        answers.iter().enumerate().map(rollout).collect()
    }

    #[test]
    fn answers_and_thoughts_are_graded_apart_and_again_alike() {
        let rollouts = rollouts(&["A bad day.", "<think>bad</think>Fine.", "<think>bad", "Fine."]);
        let grader = grader("bad");
        let rows = grade_rollouts(&grader, "badness", &rollouts);
        let verdicts: Vec<_> = rows.iter().map(|row| (row.answer, row.thought)).collect();
        assert_eq!(verdicts, [(true, None), (false, Some(true)), (false, Some(true)), (false, None)]);
        assert_eq!((rows[0].rollout.as_str(), rows[0].prompt.as_str()), ("t/p0/0", "p0"));
        assert_eq!(
            (rows[0].fired.as_slice(), rows[0].evidence.as_str()),
            (["word".to_owned()].as_slice(), "a bad day.")
        );
        assert_eq!((rows[1].fired.len(), rows[1].thought_fired.len()), (0, 1));
        assert_eq!(rows[0].sha256, grader.sha256());
        assert_eq!(grade_rollouts(&grader, "badness", &rollouts), rows);
    }

    #[test]
    fn two_graders_are_counted_on_what_both_graded() {
        let rollouts = rollouts(&["bad mad", "bad", "mad", "fine", "<think>bad</think>fine"]);
        let first = grade_rollouts(&grader("bad"), "badness", &rollouts);
        let second = grade_rollouts(&grader("mad"), "badness", &rollouts[..4]);
        let comparison = Comparison::of(&first, &second);
        let pairs = [(true, true), (true, false), (false, true), (false, false)];
        assert_eq!(comparison.answers, Confusion::count(pairs));
        assert_eq!((comparison.thoughts.n(), comparison.unmatched), (0, 1));
        let differ: Vec<_> = comparison.disagreements.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(differ, ["t/p1/0", "t/p2/0"]);
        let printed = comparison.to_string();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines[0], "badness: says mad 2 against says bad 2");
        assert_eq!(
            lines[2].split_whitespace().collect::<Vec<_>>(),
            ["answers", "4", "1", "1", "1", "1", "0.00"]
        );
        assert_eq!(lines[3].trim(), "graded by one of them only: 1");
        let itself = Comparison::of(&first, &first);
        assert_eq!((itself.answers.kappa(), itself.disagreements.len(), itself.unmatched), (Some(1.0), 0, 0));
        assert_eq!(itself.thoughts, Confusion::count([(true, true)]));
    }
}
