//! What a check will take, before it starts.

use std::fmt;

use serde::Serialize;

use crate::steering::weigh::LEVEL;

/// What steering a model of one's own will take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SteerPlan {
    /// Edits along directions and controls, at every strength.
    pub edits: usize,
    /// Students.
    pub students: usize,
    /// Scenarios of all behaviors.
    pub scenarios: usize,
    /// Answers drawn, those without an edit among them.
    pub answers: usize,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    /// The least p-value that so few controls leave after correction over the directions.
    pub least_p: f64,
}

impl SteerPlan {
    /// Of so many directions and controls of each kind.
    pub(super) fn new(
        edits: usize,
        (students, scenarios): (usize, usize),
        max_new_tokens: usize,
        (directions, controls): (usize, usize),
    ) -> Self {
        let answers = (edits + 1) * students * scenarios;
        let least_p = (directions as f64 / (controls + 1) as f64).min(1.0);
        Self { edits, students, scenarios, answers, max_new_tokens, least_p }
    }
}

impl fmt::Display for SteerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edits, students, scenarios, answers, max_new_tokens, least_p } = self;
        let noun = if *students == 1 { "student" } else { "students" };
        write!(
            f,
            "{answers} answers of at most {max_new_tokens} tokens: {students} {noun} on {scenarios} scenarios, unsteered and under \
             {edits} edits"
        )?;
        if *least_p > LEVEL {
            write!(
                f,
                "\nno direction can be found causal: with so few controls no p-value is below {least_p:.3}"
            )?;
        }
        Ok(())
    }
}
